"""Linear light and sRGB (IEC 61966-2-1)."""

import torch
from jaxtyping import Float
from torch import Tensor


def linear_to_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Encode linear values. Gradients are finite everywhere; values below 0 continue the straight part of the curve.

    >>> linear_to_srgb(torch.tensor([0.0, 0.0031308, 1.0]))
    tensor([0.0000, 0.0404, 1.0000])
    """
    bright = 1.055 * linear.clamp(min=0.0031308).pow(1.0 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, bright)


def srgb_to_linear(encoded: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Decode sRGB values in [0, 1]; the inverse of `linear_to_srgb`.

    >>> srgb_to_linear(torch.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.2140, 1.0000])
    """
    bright = ((encoded.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4)
    return torch.where(encoded <= 0.04045, encoded / 12.92, bright)
