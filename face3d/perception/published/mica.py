"""MICA (Zielonka et al. 2022): features by which a face is recognised to the metric shape of FLAME's neutral head.

The features are ArcFace's (Deng et al. 2019) with its 100-layer residual network on crops of 112 x 112; four layers
lead from them to FLAME's 300 coefficients of identity.
"""

from collections.abc import Mapping
from typing import ClassVar

import cv2
import numpy as np
import roma
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from face3d.errors import Face3DError
from face3d.perception.published.interface import Coefficients, PublishedNetwork
from morphable.flame import Flame

SIDE = 112
FEATURES, SHAPES = 512, 300
WIDTHS, BLOCKS = (64, 128, 256, 512), (3, 13, 30, 3)
FIVE_POINTS = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""Where ArcFace's crops have the eyes, the tip of the nose and the corners of the mouth, those on the image's left
first; the centre of the top-left pixel is at (0, 0)."""
THEIR_LANDMARKS = (468, 473, 1, 61, 291)
"""MediaPipe's for these: irises, tip of the nose, corners of the mouth."""
SAME_MODEL = 1e-4
"""Metres between the FLAME that a file holds and the user's, which are stored in different precision."""


class Mica(PublishedNetwork):
    """See the module's docstring."""

    name: ClassVar[str] = "mica"
    parts: ClassVar[Mapping[str, str]] = {"arcface.": "recognition.", "flameModel.regressor.": "regressor."}

    def __init__(self) -> None:
        super().__init__()
        self.recognition = _Recognition()
        self.regressor = _Regressor()

    def forward(self, crops: Float[Tensor, "batch 3 112 112"]) -> Float[Tensor, "batch 300"]:
        """Crops are sRGB in [-1, 1]."""
        return self.regressor(functional.normalize(self.recognition(crops)))

    def read(self, image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 3"]) -> Coefficients:
        crop = aligned_crop(image, landmarks[list(THEIR_LANDMARKS), :2])
        with torch.inference_mode():
            shape = self(torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1)
        return Coefficients(shape[0].numpy())

    @classmethod
    def require_model(cls, model: Flame, tensors: Mapping[str, Tensor], file: str) -> None:
        theirs = tensors.get("flameModel.generator.v_template"), tensors.get("flameModel.generator.shapedirs")
        ours = model.mean + model.origin, model.identity_basis.permute(1, 2, 0)
        for there, here in zip(theirs, ours, strict=True):
            if there is not None and not _alike(there[..., : here.shape[-1]], here):
                raise Face3DError(
                    f"{file} was taught with another release of FLAME than the model {model.name!r}; add that one."
                )


def aligned_crop(
    image: UInt8[np.ndarray, "height width 3"], points: Float[np.ndarray, "5 2"]
) -> UInt8[np.ndarray, "112 112 3"]:
    """The face as ArcFace sees it: rotated, scaled and shifted so that the points come as near as they can to
    FIVE_POINTS; black beyond the image."""
    here, there = torch.from_numpy(points.astype(np.float64) - 0.5), torch.from_numpy(FIVE_POINTS)
    rotation, shift, scale = roma.rigid_points_registration(here, there, compute_scaling=True)
    matrix = torch.cat([scale * rotation, shift[:, None]], 1).numpy()
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR).astype(np.uint8)


def _alike(there: Tensor, here: Tensor) -> bool:
    return there.shape == here.shape and bool((there.float() - here).abs().max() < SAME_MODEL)


class _Recognition(nn.Module):
    """ArcFace's network. Names are those of its published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        before = WIDTHS[0]
        for index, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            layers = [_Block(before, width, 2), *(_Block(width, width, 1) for _ in range(blocks - 1))]
            self.add_module(f"layer{index + 1}", nn.Sequential(*layers))
            before = width
        self.bn2 = nn.BatchNorm2d(before)
        self.fc = nn.Linear(before * (SIDE // 16) ** 2, FEATURES)
        self.features = nn.BatchNorm1d(FEATURES)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(crops)))
        for index in range(len(WIDTHS)):
            x = self.get_submodule(f"layer{index + 1}")(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))


class _Block(nn.Module):
    """Normalised before the first convolution, and not activated after the sum."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(inner)) + self.downsample(x)


class _Regressor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.ModuleList([nn.Linear(FEATURES, SHAPES), *(nn.Linear(SHAPES, SHAPES) for _ in range(3))])
        self.output = nn.Linear(SHAPES, SHAPES)

    def forward(self, features: Tensor) -> Tensor:
        for layer in self.network:
            features = functional.leaky_relu(layer(features), 0.2)
        return self.output(features)
