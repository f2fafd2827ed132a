"""Faces in a photo of any size: boxes, five points, poses."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from face3d.errors import Face3DError
from face3d.perception.finder.architecture import STRIDES, FinderNetwork, fused
from face3d.perception.finder.weights import COMMAND, load_finder
from face3d.perception.network.examples import as_input

DETECTOR_VARIABLE = "FACE3D_DETECTOR"
SIDES = (640, 256)
"""Longer sides at which a photo is looked at: the smaller finds faces that fill it."""
SCORE = 0.5
"""Least score of a face."""
SAME_FACE = 0.5
"""Boxes whose intersection is more than this part of the smaller one show one face."""


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face in an image, in its pixels.

    Attributes:
        box: x0, y0, x1, y1 about its landmarks.
        points: right and left iris, tip of the nose, right and left corner of the mouth.
        rotation: of the skull, to the camera's axes with y up and z towards it.
        score: from 0 to 1.
    """

    box: tuple[float, float, float, float]
    points: Float[np.ndarray, "5 2"]
    rotation: Float[np.ndarray, "3 3"]
    score: float


class FaceFinder:
    """Finds faces by the project's own network.

    Args:
        network: as `load_finder` returns it; it becomes this one's.
    """

    def __init__(self, network: FinderNetwork) -> None:
        self.network = fused(network)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """With the network of a file, or of the environment variable FACE3D_DETECTOR.

        Raises:
            Face3DError: there is none, or it is damaged.
        """
        own = path or os.environ.get(DETECTOR_VARIABLE)
        if own is None:
            raise Face3DError(
                f"No detector is there; teach one with `{COMMAND}` and name its file in {DETECTOR_VARIABLE}."
            )
        return cls(load_finder(Path(own)))

    def find(self, image: UInt8[np.ndarray, "height width 3"], least: float = SCORE) -> list[FoundFace]:
        """All faces of an sRGB image that score at least so much, the surest first."""
        found = [face for side in SIDES for face in self._at(image, side, least)]
        kept: list[FoundFace] = []
        for face in sorted(found, key=lambda each: each.score, reverse=True):
            if all(_overlap(face.box, other.box) < SAME_FACE for other in kept):
                kept.append(face)
        return kept

    def _at(self, image: UInt8[np.ndarray, "height width 3"], side: int, least: float) -> list[FoundFace]:
        """The faces of the image at one size, those found twice included."""
        height, width = image.shape[:2]
        scale = side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        whole = [-(-edge // STRIDES[-1]) * STRIDES[-1] for edge in size]
        padded = cv2.copyMakeBorder(small, 0, whole[1] - size[1], 0, whole[0] - size[0], cv2.BORDER_CONSTANT)
        with torch.inference_mode():
            finds = self.network(as_input(torch.from_numpy(padded)[None]))
        score = finds.score[0].sigmoid()
        chosen = score >= least
        each = (finds.box[0][chosen] / scale, finds.points[0][chosen] / scale, finds.rotation[0][chosen], score[chosen])
        return [
            FoundFace(tuple(box.tolist()), points.numpy(), rotation.numpy(), float(sure))
            for box, points, rotation, sure in zip(*each, strict=True)
        ]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over the smaller of two boxes."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(across, 0.0) * max(down, 0.0) / smaller
