"""SMIRK (Retsinas et al. 2024): FLAME's coefficients from a crop of 224 x 224, lively in the expression.

Three MobileNets of the third generation (Howard et al. 2019), in the variant without attention ("minimal"), see pose
and camera; shape; expression, jaw and eyelids. Its renderer, which taught them, is left out.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from face3d.perception.published.crop import boxed_crop
from face3d.perception.published.interface import Coefficients, PublishedNetwork

MARGIN = 1.4
"""Side of the crop over the mean of width and height of the box of MediaPipe's landmarks."""
SHAPES, EXPRESSIONS = 300, 50
SMALL = (
    ((16, 16, 2),),
    ((24, 72, 2), (24, 88, 1)),
    ((40, 96, 2), (40, 240, 1), (40, 240, 1)),
    ((48, 120, 1), (48, 144, 1)),
    ((96, 288, 2), (96, 576, 1), (96, 576, 1)),
)
LARGE = (
    ((16, 16, 1),),
    ((24, 64, 2), (24, 72, 1)),
    ((40, 72, 2), (40, 120, 1), (40, 120, 1)),
    ((80, 240, 2), (80, 200, 1), (80, 184, 1), (80, 184, 1)),
    ((112, 480, 1), (112, 672, 1)),
    ((160, 672, 2), (160, 960, 1), (160, 960, 1)),
)
"""Blocks of MobileNets: channels after each, channels inside, stride. The first block has no inner widening."""
EPSILON = 1e-3
"""Of batch normalisation, as in the framework that the MobileNets come from."""
WIDEST_JAW = 0.2
"""Radians that the jaw may turn or tilt to a side."""


class Smirk(PublishedNetwork):
    """See the module's docstring."""

    name: ClassVar[str] = "smirk"
    parts: ClassVar[Mapping[str, str]] = {
        f"smirk_encoder.{each}_encoder.": f"{each}_encoder." for each in ("pose", "shape", "expression")
    }

    def __init__(self) -> None:
        super().__init__()
        self.pose_encoder = _Encoder(SMALL, 576, "pose_cam_layers", 6)
        self.shape_encoder = _Encoder(LARGE, 960, "shape_layers", SHAPES)
        self.expression_encoder = _Encoder(LARGE, 960, "expression_layers", EXPRESSIONS + 5)

    def forward(self, crops: Float[Tensor, "batch 3 224 224"]) -> dict[str, Tensor]:
        """`Coefficients` by name. Crops are sRGB in [0, 1]."""
        rotation, camera = self.pose_encoder(crops).split(3, 1)
        expression, eyelids, opening, aside = self.expression_encoder(crops).split([EXPRESSIONS, 2, 1, 2], 1)
        return {
            "shape": self.shape_encoder(crops),
            "expression": expression,
            "rotation": rotation,
            "jaw": torch.cat([opening.relu(), aside.clamp(-WIDEST_JAW, WIDEST_JAW)], 1),
            "camera": camera,
            "eyelids": eyelids.clamp(0, 1),
        }

    def read(self, image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 3"]) -> Coefficients:
        crop = torch.from_numpy(boxed_crop(image, landmarks[:, :2], MARGIN))
        with torch.inference_mode():
            told = self(crop.permute(2, 0, 1)[None].float() / 255)
        return Coefficients(**{name: each[0].numpy() for name, each in told.items()})


class _Encoder(nn.Module):
    """Names are those of the published weights, the last layer's among them."""

    def __init__(self, stages: tuple, features: int, last: str, outputs: int) -> None:
        super().__init__()
        self.encoder = _MobileNet(stages, features)
        self.last = last
        self.add_module(last, nn.Sequential(nn.Linear(features, outputs)))

    def forward(self, crops: Tensor) -> Tensor:
        return self.get_submodule(self.last)(self.encoder(crops))


class _MobileNet(nn.Module):
    """Names are those of timm, which the published weights have."""

    def __init__(self, stages: tuple, features: int) -> None:
        super().__init__()
        self.conv_stem = _Convolution(3, 16, 3, 2)
        self.bn1 = nn.BatchNorm2d(16, EPSILON)
        after = (16, *(stage[-1][0] for stage in stages))
        first = nn.Sequential(_Separable(16, stages[0][0][2]))
        middle = [_stage(before, stage) for (before, _), stage in zip(pairwise(after), stages, strict=True)][1:]
        self.blocks = nn.Sequential(first, *middle, nn.Sequential(_Pointwise(after[-1], features)))

    def forward(self, crops: Tensor) -> Tensor:
        return self.blocks(functional.relu(self.bn1(self.conv_stem(crops)))).mean((2, 3))


class _Convolution(nn.Conv2d):
    """Padded so that the output has the input's size over the stride, an odd pixel at the end (TensorFlow's `SAME`)."""

    def __init__(self, before: int, after: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, size, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (size, _), (stride, _) = self.kernel_size, self.stride
        missing = [max((-(-length // stride) - 1) * stride + size - length, 0) for length in (x.shape[3], x.shape[2])]
        return super().forward(functional.pad(x, [side for each in missing for side in (each // 2, each - each // 2)]))


class _Separable(nn.Module):
    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _Convolution(width, width, 3, stride, groups=width)
        self.bn1 = nn.BatchNorm2d(width, EPSILON)
        self.conv_pw = _Convolution(width, width, 1)
        self.bn2 = nn.BatchNorm2d(width, EPSILON)
        self.skips = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv_pw(functional.relu(self.bn1(self.conv_dw(x)))))
        return x + inner if self.skips else inner


class _Inverted(nn.Module):
    """Wide inside, with a shortcut where the size stays."""

    def __init__(self, before: int, after: int, inside: int, stride: int) -> None:
        super().__init__()
        self.conv_pw = _Convolution(before, inside, 1)
        self.bn1 = nn.BatchNorm2d(inside, EPSILON)
        self.conv_dw = _Convolution(inside, inside, 3, stride, groups=inside)
        self.bn2 = nn.BatchNorm2d(inside, EPSILON)
        self.conv_pwl = _Convolution(inside, after, 1)
        self.bn3 = nn.BatchNorm2d(after, EPSILON)
        self.skips = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv_pw(x)))
        inner = self.bn3(self.conv_pwl(functional.relu(self.bn2(self.conv_dw(inner)))))
        return x + inner if self.skips else inner


class _Pointwise(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = _Convolution(before, after, 1)
        self.bn1 = nn.BatchNorm2d(after, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn1(self.conv(x)))


def _stage(before: int, blocks: tuple) -> nn.Sequential:
    layers = []
    for after, inside, stride in blocks:
        layers.append(_Inverted(before, after, inside, stride))
        before = after
    return nn.Sequential(*layers)
