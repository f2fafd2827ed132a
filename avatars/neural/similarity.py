"""How alike pictures are."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

WINDOW, DEVIATION = 11, 1.5
"""Of structural similarity, pixels (Wang et al. 2004)."""


def structural_similarity(
    one: Float[Tensor, "height width channel"], other: Float[Tensor, "height width channel"]
) -> Float[Tensor, "height width channel"]:
    """Of each pixel's neighbourhood, 1 where alike (Wang et al., "Image Quality Assessment", 2004).

    Args:
        one, other: values in [0, 1]; beyond the edges they count as 0.
    """
    mx, my, xx, yy, xy = _Blur.apply(torch.stack([one, other, one * one, other * other, one * other])).unbind(0)
    a, b = 0.01**2, 0.03**2
    similar = (2 * mx * my + a) * (2 * (xy - mx * my) + b)
    return similar / ((mx * mx + my * my + a) * (xx - mx * mx + yy - my * my + b))


class _Blur(torch.autograd.Function):
    """By a Gaussian window, which is its own transpose. (torch's convolutions of single channels are 50 times slower on
    the CPU.)"""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return _blurred(images)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _blurred(gradient)


def _blurred(images: Float[Tensor, "image height width channel"]) -> Float[Tensor, "image height width channel"]:
    if images.device.type == "cpu":
        blurred = [
            cv2.GaussianBlur(image, (WINDOW, WINDOW), DEVIATION, borderType=cv2.BORDER_CONSTANT)
            for image in images.contiguous().numpy()
        ]
        return torch.as_tensor(np.stack(blurred)).view_as(images)
    away = torch.arange(WINDOW, device=images.device) - WINDOW // 2
    weights = torch.exp(-0.5 * (away / DEVIATION) ** 2)
    window = weights / weights.sum()
    flat = images.permute(0, 3, 1, 2).flatten(0, 1)[:, None]
    across = torch.nn.functional.conv2d(flat, window.view(1, 1, 1, -1), padding=(0, WINDOW // 2))
    down = torch.nn.functional.conv2d(across, window.view(1, 1, -1, 1), padding=(WINDOW // 2, 0))
    return down.view(len(images), -1, *images.shape[1:3]).permute(0, 2, 3, 1)
