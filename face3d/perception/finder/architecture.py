"""The network that finds faces in a whole picture: on three grids, coarser for larger faces, each cell says whether a
face's middle lies near it, and if so its box, five points on it and how the head is turned (as SCRFD, Guo et al. 2022,
does with anchors, and MOS, Liu et al. 2021, with the pose beside)."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from face3d.perception.network.architecture import rotation_of

STRIDES = (8, 16, 32)
"""Pixels from cell to cell of each grid."""
POINTS = (468, 473, 1, 61, 291)
"""MediaPipe's for the five points: right and left iris, tip of the nose, right and left corner of the mouth."""
STEM, WIDTHS, NECK = (16, 24), (48, 80, 112), 48
"""Channels at half and a quarter of the resolution, at each of STRIDES, and of what the heads read."""
DEPTHS = (2, 2, 2)
SIZE_UNIT = 4.0
"""Side of a face, in strides, for which its cell says zero."""
SAID = 1 + 4 + 2 * len(POINTS) + 6
"""Numbers of a cell: score, box, points, rotation."""
RARE = -4.6
"""Logit of a face in a cell before anything is learned: one in a hundred."""


@dataclass(frozen=True, eq=False)
class Finds:
    """What every cell says, those of all grids in a row, in the picture's pixels.

    Attributes:
        score: logits.
        box: x0, y0, x1, y1 of the face's landmarks.
        points: the five POINTS.
        rotation: of the skull, to the camera's axes with y up and z towards it.
    """

    score: Float[Tensor, "batch cell"]
    box: Float[Tensor, "batch cell 4"]
    points: Float[Tensor, "batch cell 5 2"]
    rotation: Float[Tensor, "batch cell 3 3"]


class FinderNetwork(nn.Module):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_Full(3, STEM[0], 2), _Separable(STEM[0], STEM[1], 2), _Separable(STEM[1], STEM[1]))
        before = (STEM[1], *WIDTHS)
        self.levels = nn.ModuleList(
            nn.Sequential(_Separable(a, b, 2), *(_Separable(b, b) for _ in range(depth)))
            for a, b, depth in zip(before, WIDTHS, DEPTHS, strict=False)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, NECK, 1) for width in WIDTHS)
        self.merges = nn.ModuleList(_Separable(NECK, NECK) for _ in WIDTHS)
        self.looks = nn.Sequential(_Separable(NECK, NECK), _Separable(NECK, NECK))
        self.says = nn.Conv2d(NECK, SAID, 1)
        self.says.weight.data.zero_()
        self.says.bias = nn.Parameter(RARE * (torch.arange(SAID) == 0))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Finds:
        """Pixels are sRGB in [-1, 1]; height and width are multiples of the last stride."""
        features = [self.stem(pixels.contiguous(memory_format=torch.channels_last))]
        for level in self.levels:
            features.append(level(features[-1]))
        merged: list[Tensor] = []
        for index in reversed(range(len(STRIDES))):
            here = self.laterals[index](features[index + 1])
            if merged:
                here = here + functional.interpolate(merged[-1], scale_factor=2.0, mode="nearest")
            merged.append(self.merges[index](here))
        said = [self.says(self.looks(each)).permute(0, 2, 3, 1).flatten(1, 2) for each in reversed(merged)]
        places, strides = cells(pixels.shape[2], pixels.shape[3], pixels.device)
        return _finds(torch.cat(said, 1), places, strides)


def fused(network: FinderNetwork) -> FinderNetwork:
    """The same network, no longer to be taught, with each normalisation made part of the convolution before it."""
    layers = [each for each in network.modules() if isinstance(each, nn.Sequential)]
    for layer in layers:
        for index, (first, second) in enumerate(pairwise(list(layer))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                layer[index], layer[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network


def cells(height: int, width: int, device: torch.device) -> tuple[Float[Tensor, "cell 2"], Float[Tensor, " cell"]]:
    """The middle of each cell of a picture's grids, and its stride; pixels."""
    places, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(
            *((torch.arange(side // stride, device=device) + 0.5) * stride for side in (height, width)), indexing="ij"
        )
        places.append(torch.stack([x, y], -1).flatten(0, 1))
        strides.append(torch.full((len(places[-1]),), float(stride), device=device))
    return torch.cat(places), torch.cat(strides)


def _finds(said: Float[Tensor, "batch cell value"], places: Tensor, strides: Tensor) -> Finds:
    score, middle, side, points, turn = said.float().split([1, 2, 2, 2 * len(POINTS), 6], -1)
    middle = places + strides[:, None] * middle
    side = SIZE_UNIT * strides[:, None] * side.clamp(-4, 4).exp()
    # points are parts of the box, about its middle
    spots = middle[..., None, :] + 0.5 * side[..., None, :] * points.unflatten(-1, (len(POINTS), 2))
    box = torch.cat([middle - side / 2, middle + side / 2], -1)
    return Finds(score[..., 0], box, spots, rotation_of(turn.flatten(0, 1)).unflatten(0, turn.shape[:2]))


class _Full(nn.Sequential):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        )


class _Separable(nn.Sequential):
    """A convolution over space, then one over channels (MobileNet, Howard et al. 2017)."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False),
            nn.BatchNorm2d(before),
            nn.Conv2d(before, after, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )
