"""Synthetic photos side by side, for a person to judge."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from face3d.synth.classes import COLOURS
from face3d.synth.photo import SyntheticPhoto

SEEN, HIDDEN = (60, 255, 60), (255, 60, 60)
"""Colours of landmarks, sRGB."""
RADIUS = 7 / 8
"""Of landmarks, pixels."""


def sheet(photos: Sequence[SyntheticPhoto], labels: bool = False) -> UInt8[np.ndarray, "height width 3"]:
    """The photos in rows; with labels, beside each its classes, its landmarks and its normals. sRGB."""
    cells = [np.concatenate(_labelled(each), 1) if labels else each.pixels() for each in photos]
    columns = max(1, round(np.sqrt(len(cells) / (4 if labels else 1))))
    blank = [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.concatenate((cells + blank)[i : i + columns], 1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows)


def with_landmarks(
    image: UInt8[np.ndarray, "height width 3"],
    landmarks: Float[np.ndarray, "landmark 2"],
    seen: Bool[np.ndarray, " landmark"],
    radius: float,
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy of an image with a disc on each, all numbers in its pixels."""
    marked = image.copy()
    for (x, y), shown in zip(landmarks, seen, strict=True):
        at, colour = (round(8 * x - 4), round(8 * y - 4)), SEEN if shown else HIDDEN
        cv2.circle(marked, at, round(8 * radius), colour, -1, cv2.LINE_AA, shift=3)
    return marked


def _labelled(photo: SyntheticPhoto) -> list[UInt8[np.ndarray, "size size 3"]]:
    pixels = photo.pixels()
    marked = with_landmarks(pixels, photo.landmarks, photo.visible, RADIUS)
    normals = np.where(photo.normals.any(-1, keepdims=True), 127.5 * (photo.normals + 1), 0).astype(np.uint8)
    return [pixels, np.array(COLOURS, np.uint8)[photo.classes], marked, normals]
