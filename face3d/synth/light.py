"""The light of a photo, and its exposure."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from renderers import spherical_harmonics_basis


@dataclass(frozen=True, eq=False)
class Lamp:
    """Parallel light from a unit direction; radiance is what a white surface that faces it returns."""

    towards: Float[Tensor, "3"]
    radiance: Float[Tensor, "3"]
    softness: float


@dataclass(frozen=True, eq=False)
class Lighting:
    """The sky, and lamps of which the first casts shadows.

    Attributes:
        sky: spherical harmonics of the radiance from all around, as `renderers.EnvironmentLight` has them.
        exposure: what a face's mean luminance becomes, linear.
    """

    sky: Float[Tensor, "9 3"]
    lamps: tuple[Lamp, ...]
    exposure: float


def lighting(random: np.random.Generator, ahead: Float[np.ndarray, "3"]) -> Lighting:
    """A sky of a few soft sources, and up to two lamps, mostly on the camera's side, which is `ahead` of the head."""
    sky = torch.zeros(9, 3)
    sky[0] = torch.from_numpy(_tinted(random, 1.0))
    for _ in range(random.integers(1, 5)):
        towards = random.normal(size=3) + 0.6 * ahead + np.array([0.0, 0.5, 0.0])
        towards = torch.from_numpy(towards / np.linalg.norm(towards)).float()
        sky += spherical_harmonics_basis(towards)[:, None] * torch.from_numpy(_tinted(random, random.uniform(0.1, 1.3)))
    lamps = []
    for _ in range(random.choice(3, p=(0.3, 0.5, 0.2))):
        towards = random.normal(0, (0.8, 0.5, 0.8)) + ahead * random.uniform(0.2, 1.2) + np.array([0.0, 0.45, 0.0])
        towards = torch.from_numpy(towards / np.linalg.norm(towards)).float()
        radiance = torch.from_numpy(_tinted(random, np.exp(random.normal(-0.6, 0.8))))
        lamps.append(Lamp(towards, radiance, float(random.uniform(0.0, 0.02))))
    return Lighting(sky, tuple(lamps), float(np.exp(random.normal(np.log(0.25), 0.55))))


def exposed(
    radiance: Float[np.ndarray, "height width 3"],
    behind: Float[np.ndarray, "height width 3"],
    face: Bool[np.ndarray, "height width"],
    exposure: float,
) -> Float[np.ndarray, "height width 3"]:
    """The picture so that its face's mean luminance is what the exposure says, with film's soft shoulder; what is
    behind is added as it is."""
    luminance = radiance[face].mean() if face.any() else radiance.mean()
    scaled = radiance * np.float32(exposure / max(float(luminance), 1e-4)) + behind.astype(np.float32)
    bright = scaled > 0.6
    scaled[bright] = 0.6 + 0.4 * (1 - np.exp((0.6 - scaled[bright]) / 0.4))
    return scaled


def _tinted(random: np.random.Generator, strength: float) -> Float[np.ndarray, "3"]:
    """Between warm and cool."""
    warmth = random.normal(0, 0.13)
    return (strength * np.array([1 + warmth, 1 + 0.2 * random.normal(0, 0.1), 1 - warmth])).clip(0).astype(np.float32)
