"""The square about a face that DECA and those after it see."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

SIDE = 224


def boxed_crop(
    image: UInt8[np.ndarray, "height width 3"], points: Float[np.ndarray, "point 2"], margin: float
) -> UInt8[np.ndarray, "224 224 3"]:
    """The upright square about the box of the points, as wide as the mean of the box's width and height, times the
    margin; black beyond the image. Its edges are at the centres of the crop's outermost pixels."""
    low, high = points.min(0) - 0.5, points.max(0) - 0.5
    extent = max(int((high - low).mean() * margin), 1)
    scale = (SIDE - 1) / extent
    corner = (low + high) / 2 - extent / 2
    matrix = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR).astype(np.uint8)
