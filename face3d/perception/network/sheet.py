"""What the network reads in faces, for a person to judge."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from face3d.perception.network.reading import FaceReading
from face3d.synth.classes import COLOURS
from face3d.synth.sheet import with_landmarks

CELL = 320
"""Pixels a side of each picture on the sheet."""
RADIUS = 1.5
"""Of a landmark on it, pixels."""
SHARE_OF_CLASSES = 0.6


def sheet_of_readings(
    faces: Sequence[tuple[UInt8[np.ndarray, "height width 3"], FaceReading]],
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """A row for each face of a photo: the crop that was read, its classes over it, the landmarks seen and hidden.
    sRGB."""
    return np.concatenate([np.concatenate(_cells(*face), 1) for face in faces])


def _cells(image: np.ndarray, reading: FaceReading) -> list[UInt8[np.ndarray, "side side 3"]]:
    picture = reading.crop.cut(image, CELL)
    colours = np.array(COLOURS, np.uint8)[reading.classes]
    classes = cv2.resize(colours, (CELL, CELL), interpolation=cv2.INTER_NEAREST)
    over = (SHARE_OF_CLASSES * classes + (1 - SHARE_OF_CLASSES) * picture).astype(np.uint8)
    places = CELL * reading.crop.into(reading.landmarks)
    return [picture, over, with_landmarks(picture, places, reading.visible > 0.5, RADIUS)]
