"""A photo of a head, and how the head was held in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from morphable import Head
from renderers import Camera

REACHES = ((0.6, 1.0), (0.15, 0.5))
"""Reach and share of the two smooth fields that corrections are sums of: the face's shape, and its features."""
NOISE = 0.25
"""Deviation of a landmark over that of the corrections."""


@dataclass(frozen=True, eq=False)
class PosedPhoto:
    """A photo of a head.

    Attributes:
        pixels: sRGB.
        head: whose it is.
        camera: the photo's, in the head's own world, in which the head is at rest.
        weights: of ARKIT_NAMES, in the photo.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    head: Head
    camera: Camera
    weights: Float[np.ndarray, 52]

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.shape != (*self.camera.resolution, 3):
            height, width = self.camera.resolution
            raise ValueError(
                f"the camera needs a photo of {width} x {height} pixels with three channels of 8 bits, "
                f"not {self.pixels.dtype} {self.pixels.shape}"
            )

    def registered(self, shown: Float[np.ndarray, "point 2"], seen: Float[np.ndarray, "point 2"]) -> PosedPhoto:
        """The same with a head moved so that what it would show at some pixels is where it was seen, pixels.

        Between points corrections are smooth (a Gaussian process), far from all of them there are none; vertices move
        across the line of sight and so that the head keeps its expressions.
        """
        unit = float(np.linalg.norm(np.ptp(shown, axis=0))) / 2
        noise = NOISE**2 * sum(share**2 for _, share in REACHES)
        factor = cho_factor(_covariance(shown, shown, unit) + noise * np.eye(len(shown)))
        places = torch.as_tensor(self.head.posed(self.head.layout, self.weights))
        at_vertices = _covariance(self.camera.project(places).double().numpy(), shown, unit)
        moved = torch.as_tensor(at_vertices @ cho_solve(factor, seen - shown), dtype=torch.float32)
        across = moved * self.camera.view(places)[:, 2:] / self.camera.focal
        offsets = torch.nn.functional.pad(across, (0, 1)) @ self.camera.rotation
        return replace(self, head=replace(self.head, neutral=self.head.neutral + offsets.numpy()))


def _covariance(
    one: Float[np.ndarray, "one 2"], other: Float[np.ndarray, "other 2"], unit: float
) -> Float[np.ndarray, "one other"]:
    squared: np.ndarray = cdist(one, other, "sqeuclidean") / unit**2
    fields: np.ndarray = np.sum([share**2 * np.exp(-0.5 * squared / reach**2) for reach, share in REACHES], axis=0)
    return fields
