"""DECA (Feng et al. 2021) and EMOCA (Daněček et al. 2022): FLAME's coefficients from a crop of 224 x 224.

A residual network of 50 layers (He et al. 2016) and two more give 236 numbers: 100 of shape, 50 of albedo, 50 of
expression, rotations of head and jaw, camera and light. EMOCA keeps that and asks a second network, taught on
emotions, for the expression. DECA's detail maps are left out.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from face3d.perception.published.crop import boxed_crop
from face3d.perception.published.interface import Coefficients, PublishedNetwork

SIZES = {"shape": 100, "albedo": 50, "expression": 50, "rotation": 3, "jaw": 3, "camera": 3, "light": 27}
MARGIN = 1.1 * 1.25
"""Side of the crop over the mean of width and height of the 68 landmarks' box."""
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
JAW = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
OTHER_JAW = (377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
"""MediaPipe's points at the edges of the box of iBUG's 68, which DECA's crop is cut by."""


class Deca(PublishedNetwork):
    """See the module's docstring."""

    name: ClassVar[str] = "deca"
    parts: ClassVar[Mapping[str, str]] = {"E_flame.": "coarse."}

    def __init__(self) -> None:
        super().__init__()
        self.coarse = _Encoder(sum(SIZES.values()))

    def forward(self, crops: Float[Tensor, "batch 3 224 224"]) -> dict[str, Tensor]:
        """SIZES' coefficients. Crops are sRGB in [0, 1]."""
        return dict(zip(SIZES, self.coarse(crops).split(list(SIZES.values()), 1), strict=True))

    def read(self, image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 3"]) -> Coefficients:
        crop = torch.from_numpy(boxed_crop(image, landmarks[[*BROWS, *JAW, *OTHER_JAW], :2], MARGIN))
        with torch.inference_mode():
            told = self(crop.permute(2, 0, 1)[None].float() / 255)
        found = {name: each[0].numpy() for name, each in told.items()}
        return Coefficients(**found | {"light": found["light"].reshape(9, 3)})


class Emoca(Deca):
    """See the module's docstring."""

    name: ClassVar[str] = "emoca"
    parts: ClassVar[Mapping[str, str]] = {"E_flame.": "coarse.", "E_expression.": "expressive."}

    def __init__(self) -> None:
        super().__init__()
        self.expressive = _Encoder(SIZES["expression"])

    def forward(self, crops: Float[Tensor, "batch 3 224 224"]) -> dict[str, Tensor]:
        return super().forward(crops) | {"expression": self.expressive(crops)}


class _Encoder(nn.Module):
    """Names are those of the published weights."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encoder = _ResNet50()
        self.layers = nn.Sequential(nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, outputs))

    def forward(self, crops: Tensor) -> Tensor:
        return self.layers(self.encoder(crops))


class _ResNet50(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 3, 1)
        self.layer2 = _stage(256, 128, 4, 2)
        self.layer3 = _stage(512, 256, 6, 2)
        self.layer4 = _stage(1024, 512, 3, 2)

    def forward(self, crops: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(crops))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class _Bottleneck(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
            if before != 4 * width
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


def _stage(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = _Bottleneck(before, width, stride)
    return nn.Sequential(first, *(_Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)))
