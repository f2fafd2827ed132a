"""The colour of the eyes."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from face3d.fitting.evidence import IRISES
from renderers import srgb_to_linear

RING = (0.45, 0.85)
"""Part of the iris's radius between pupil and limbus that shows its colour."""
SMALLEST = 3.0
"""Pixels of radius below which an iris shows no colour of its own."""
HAZEL = (0.07, 0.045, 0.025)
"""Linear; between the brown of most people and lighter eyes, for eyes that cannot be seen."""
LIMITS = (0.008, 0.35)


def iris_colour(
    photo: Float[np.ndarray, "height width 3"],
    landmarks: Float[np.ndarray, "478 2"],
    white: Float[Tensor, "3"],
    openness: float,
) -> Float[Tensor, "3"]:
    """Linear albedo of the irises, from the darker half of their rings, where nothing glints.

    Args:
        photo: sRGB in [0, 1].
        white: what a white surface returns under the photo's light, linear.
        openness: how open the eyes are, from 0 to 1.
    """
    pixels = [_ring_pixels(photo, landmarks[list(iris)]) for iris in IRISES]
    found = np.concatenate(pixels)
    if len(found) < 8 or openness < 0.35:
        return torch.tensor(HAZEL)
    linear = srgb_to_linear(torch.as_tensor(found, dtype=torch.float32))
    brightness = linear.sum(1)
    low, high = brightness.quantile(torch.tensor([0.15, 0.6]))
    kept = linear[(brightness >= low) & (brightness <= high)]
    return (kept.median(0).values / white.clamp(min=0.02)).clamp(*LIMITS)


def _ring_pixels(photo: np.ndarray, iris: Float[np.ndarray, "5 2"]) -> Float[np.ndarray, "pixel 3"]:
    """Pixels between pupil and limbus, left and right of the pupil, which lids cover least."""
    centre = iris[0]
    radius = np.linalg.norm(iris[1:] - centre, axis=1).max()
    if radius < SMALLEST:
        return np.zeros((0, 3))
    height, width = photo.shape[:2]
    left, top = np.clip(np.floor(centre - radius), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(centre + radius), 0, (width, height)).astype(int)
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    distance = np.hypot(dx, dy)
    ring = (distance > RING[0]) & (distance < RING[1]) & (np.abs(dy) < 0.5)
    return photo[top:bottom, left:right][ring]
