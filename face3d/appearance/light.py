"""Light on a face, and the skin it falls on."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from renderers import spherical_harmonics_shade

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Rec. 709."""
SKIN_LUMINANCE = 0.28
"""Linear albedo of skin in the middle of what people have, 0.06 to 0.55."""
SKIN_RANGE = (0.05, 0.5)
SKIN_HUE = (1.46, 0.90, 0.66)
"""Skin's linear albedo over its luminance, averaged over light and dark tones."""
HUE_TRUST = 0.6
"""How much of a photo's own hue is taken for the skin's, the rest for the light's."""
DIRECTION_RIDGE = 0.001
"""How much energy in the light's directional terms costs, relative to one pixel's error; half the sphere is unseen."""
ROBUST = 0.12
"""Relative deviation at which a pixel begins to be taken for no skin, or shadow."""
ITERATIONS = 8


def separate_skin_and_light(
    radiance: Float[Tensor, "pixel 3"],
    normals: Float[Tensor, "pixel 3"],
    greyscale: bool,
) -> tuple[Float[Tensor, "3"], Float[Tensor, "9 3"]]:
    """Skin colour, and the light as spherical harmonics, that together explain pixels of bare skin.

    One surface under one light says nothing of how bright either is: skin is pulled half-way (in logarithms) from what
    the photo shows to the middle of human skin, and its hue partly to skin's. Then the light is linear least squares
    (Ramamoorthi & Hanrahan 2001), reweighted against outliers.

    Args:
        radiance: linear.
        normals: unit, in the world.
        greyscale: the photo has no colour, so skin gets none.
    """
    typical = radiance.median(0).values.clamp(min=1e-3)
    skin = skin_colour(typical, greyscale)
    target = radiance / skin
    basis = spherical_harmonics_shade(normals, torch.eye(9, dtype=normals.dtype))
    weight = torch.ones(len(radiance), dtype=radiance.dtype)
    ridge = torch.diag(torch.tensor([0.0] + [1.0] * 3 + [4.0] * 5, dtype=radiance.dtype))
    coefficients = torch.zeros(9, 3, dtype=radiance.dtype)
    for _ in range(ITERATIONS):
        weighted = basis * weight[:, None]
        normal = weighted.mT @ basis / weight.sum() + DIRECTION_RIDGE * ridge
        coefficients = torch.linalg.solve(normal, weighted.mT @ target / weight.sum())
        shading = (basis @ coefficients).clamp(min=1e-3)
        error = ((target - shading) / shading.mean(0)).norm(dim=1)
        weight = 1.0 / (1.0 + (error / ROBUST).square())
    return skin, coefficients


def skin_colour(typical: Float[Tensor, "3"], greyscale: bool) -> Float[Tensor, "3"]:
    """Linear albedo of the skin of a face whose typical pixel in a photo is `typical`."""
    weights = torch.tensor(LUMINANCE, dtype=typical.dtype)
    seen = float(typical @ weights)
    luminance = float(np.clip(np.sqrt(seen * SKIN_LUMINANCE), *SKIN_RANGE))
    if greyscale:
        return torch.full_like(typical, luminance)
    hue = HUE_TRUST * typical / seen + (1 - HUE_TRUST) * torch.tensor(SKIN_HUE, dtype=typical.dtype)
    return (luminance * hue / (hue @ weights)).clamp(0.01, 0.9)


def shading(normals: Float[Tensor, "*shape 3"], light: Float[Tensor, "9 3"]) -> Float[Tensor, "*shape 3"]:
    """What a white surface returns under `light`, kept above a tenth of its average so that it can be divided by."""
    average = light[0] / (2 * np.sqrt(np.pi))
    return spherical_harmonics_shade(normals, light).maximum(0.1 * average.abs())
