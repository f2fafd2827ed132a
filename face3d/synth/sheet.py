"""Synthetic photos side by side, for a person to judge."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from face3d.synth.classes import COLOURS
from face3d.synth.photo import SyntheticPhoto

SEEN, HIDDEN = (60, 255, 60), (255, 60, 60)
"""Colours of landmarks, sRGB."""


def sheet(photos: Sequence[SyntheticPhoto], labels: bool = False) -> UInt8[np.ndarray, "height width 3"]:
    """The photos in rows; with labels, beside each its classes, its landmarks and its normals. sRGB."""
    cells = [np.concatenate(_labelled(each), 1) if labels else each.pixels() for each in photos]
    columns = max(1, round(np.sqrt(len(cells) / (4 if labels else 1))))
    blank = [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.concatenate((cells + blank)[i : i + columns], 1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows)


def _labelled(photo: SyntheticPhoto) -> list[UInt8[np.ndarray, "size size 3"]]:
    pixels = photo.pixels()
    marked = pixels.copy()
    for (x, y), seen in zip(photo.landmarks, photo.visible, strict=True):
        cv2.circle(marked, (round(8 * x - 4), round(8 * y - 4)), 7, SEEN if seen else HIDDEN, -1, cv2.LINE_AA, shift=3)
    normals = np.where(photo.normals.any(-1, keepdims=True), 127.5 * (photo.normals + 1), 0).astype(np.uint8)
    return [pixels, np.array(COLOURS, np.uint8)[photo.classes], marked, normals]
