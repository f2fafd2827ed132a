"""The square about a face that the network sees."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

CROP_SCALE = 1.55
"""Side of the square over that of the box about the face's landmarks."""


@dataclass(frozen=True)
class Crop:
    """A square of an image, which may be turned and reach beyond it.

    Attributes:
        x, y: its centre, in the image's pixels.
        extent: its side, in the image's pixels.
        turn: radians by which its x axis is turned from the image's, clockwise as it is seen.
    """

    x: float
    y: float
    extent: float
    turn: float = 0.0

    def matrix(self, side: int) -> Float[np.ndarray, "2 3"]:
        """Image coordinates to those of the crop at `side` pixels a side."""
        scale = side / self.extent
        cos, sin = scale * np.cos(self.turn), scale * np.sin(self.turn)
        turned = np.array([[cos, sin], [-sin, cos]])
        shift = side / 2 - turned @ (self.x, self.y)
        return np.concatenate([turned, shift[:, None]], 1)

    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """From the axes of the image's camera (y up) to those of one that is turned as the crop is."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])

    def cut(self, image: np.ndarray, side: int) -> np.ndarray:
        """The crop of (height, width, channel) at `side` pixels a side, black beyond it; averaged if reduced."""
        factor = int(np.ceil(self.extent / side / 1.5))
        fine = max(factor, 1) * side
        matrix = self.matrix(fine)
        matrix[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5
        cut = cv2.warpAffine(image, matrix, (fine, fine), flags=cv2.INTER_LINEAR)
        return cut if fine == side else cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)

    def into(self, points: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point 2"]:
        """Places in the image as parts of the crop's side."""
        matrix = self.matrix(1)
        return points @ matrix[:, :2].T + matrix[:, 2]

    def out_of(self, places: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point 2"]:
        """The inverse of `into`."""
        matrix = self.matrix(1)
        return (places - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


def about(box: tuple[float, float, float, float]) -> Crop:
    """The upright crop about the box (x0, y0, x1, y1) of a face's landmarks."""
    x0, y0, x1, y1 = box
    return Crop((x0 + x1) / 2, (y0 + y1) / 2, CROP_SCALE * max(x1 - x0, y1 - y0))
