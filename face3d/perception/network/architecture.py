"""The network that sees faces: one light backbone, and small heads that read it.

A convolutional pyramid looks at a crop. Tokens, one a class of pixel and one each for pose, identity and expression,
read its coarsest level through a small transformer (as FaceXFormer and SegFace do); a pixel is of the class whose token
is most like its features. Dense landmarks are expectations over their own maps (integral regression, Sun et al. 2018),
refined from the features where each map looks; these features also say how far off the landmark may be (Gaussian
deviation, as in Wood et al. 2022) and whether it is seen. Identity and expression are told from where the landmarks
are, along principal directions each in its own deviation, beside their tokens and the coarsest features.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from face3d.synth.classes import CLASSES

LANDMARKS = 494
"""MediaPipe's 478 and eight along the edge of each row of teeth."""
IDENTITIES, EXPRESSIONS = 48, 52
"""Leading directions of the population, in units of its deviation; ARKit's shapes."""
TOKENS = (*CLASSES, "pose", "identity", "expression")
SHAPES, LEAST_SHAPE = 160, 0.02
"""Principal directions of where landmarks are, and a deviation that is added to theirs, in spreads of a face."""
NARROWEST, WIDEST = -6.5, 0.0
"""Natural logarithms of the least and the greatest deviation of a landmark, in sides of the crop."""


@dataclass(frozen=True)
class Size:
    """How large a network is.

    Attributes:
        side: pixels a side of the crop that it sees; a multiple of 16.
        width: channels at half of that resolution.
        blocks: residual blocks at each coarser level.
    """

    side: int
    width: int
    blocks: int


SIZES = {"small": Size(128, 16, 1), "full": Size(128, 24, 2), "large": Size(192, 48, 3)}


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network makes of a batch of crops. Places are in sides of the crop, (0, 0) its top-left corner.

    Attributes:
        landmarks, log_deviation: mean, and logarithm of the deviation along each axis.
        visible: logits.
        classes: logits at half of the crop's resolution.
        rotation: of the skull, to the camera's axes with y up and z towards it.
        identity, identity_log_deviation: IDENTITIES coordinates in the population.
        expression, expression_log_deviation: weights of ARKIT_NAMES.
    """

    landmarks: Float[Tensor, "batch landmark 2"]
    log_deviation: Float[Tensor, "batch landmark"]
    visible: Float[Tensor, "batch landmark"]
    classes: Float[Tensor, "batch class half half"]
    rotation: Float[Tensor, "batch 3 3"]
    identity: Float[Tensor, "batch identity"]
    identity_log_deviation: Float[Tensor, "batch identity"]
    expression: Float[Tensor, "batch 52"]
    expression_log_deviation: Float[Tensor, "batch 52"]


class FaceNetwork(nn.Module):
    """See the module's docstring."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        w = size.width
        widths = (w, 2 * w, 3 * w, 5 * w)
        self.stem = _Convolution(3, w, stride=2)
        self.levels = nn.ModuleList(
            nn.Sequential(_Convolution(a, b, stride=2), *(_Block(b) for _ in range(size.blocks)))
            for a, b in pairwise(widths)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(widths[1:], widths[:-1], strict=True))
        self.merges = nn.ModuleList(_Convolution(a, a) for a in widths[:-1])
        self.tokens = nn.Parameter(0.02 * torch.randn(len(TOKENS), 4 * w))
        self.enter = nn.Conv2d(widths[-1], 4 * w, 1)
        self.places = nn.Parameter(0.02 * torch.randn((size.side // 16) ** 2, 4 * w))
        layer = nn.TransformerDecoderLayer(4 * w, 4, 8 * w, 0.0, batch_first=True, norm_first=True)
        self.reader = nn.TransformerDecoder(layer, 2, nn.LayerNorm(4 * w))
        self.class_features = nn.Linear(4 * w, w)
        self.class_bias = nn.Parameter(torch.zeros(len(CLASSES)))
        self.maps = nn.Conv2d(3 * w, LANDMARKS, 1)
        self.seen_there = nn.Linear(3 * w, 4)
        self.offsets = nn.Linear(4 * w, 4 * LANDMARKS)
        self.pose = nn.Linear(4 * w, 6)
        self.register_buffer("usual", torch.zeros(2 * LANDMARKS))
        self.register_buffer("whitening", torch.zeros(2 * LANDMARKS, SHAPES))
        self.identity = _Head(SHAPES + widths[-1] + 4 * w, 2 * IDENTITIES)
        self.expression = _Head(SHAPES + widths[-1] + 4 * w, 2 * EXPRESSIONS)
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Float[Tensor, "batch 3 side side"]) -> Sight:
        """Pixels are sRGB in [-1, 1]."""
        features = [self.stem(pixels.contiguous(memory_format=torch.channels_last))]
        for level in self.levels:
            features.append(level(features[-1]))
        known = self.enter(features[-1]).flatten(2).transpose(1, 2) + self.places
        tokens = self.reader(self.tokens.expand(pixels.shape[0], -1, -1), known)
        merged = features[-1]
        for index in (2, 1, 0):
            larger = functional.interpolate(self.laterals[index](merged), scale_factor=2.0, mode="nearest")
            merged = self.merges[index](features[index] + larger)
            if index == 2:
                eighth = merged
        pose, identity, expression = tokens[:, len(CLASSES) :].unbind(1)
        landmarks, log_deviation, visible = self._landmarks(eighth, pose)
        named = self.class_features(tokens[:, : len(CLASSES)])
        classes = torch.einsum("btc,bchw->bthw", named, merged) + self.class_bias[:, None, None]
        shape = (normalised(landmarks.detach()) - self.usual) @ self.whitening
        whole = torch.cat([shape, features[-1].mean((2, 3))], 1)
        who, how = (
            head(torch.cat([whole, token], 1)).unflatten(1, (2, -1))
            for head, token in ((self.identity, identity), (self.expression, expression))
        )
        return Sight(
            landmarks=landmarks,
            log_deviation=log_deviation,
            visible=visible,
            classes=classes,
            rotation=rotation_of(self.pose(pose)),
            identity=who[:, 0],
            identity_log_deviation=who[:, 1].clamp(-4, 2),
            expression=how[:, 0],
            expression_log_deviation=how[:, 1].clamp(-5, 1),
        )

    def whiten(self, landmarks: Float[Tensor, "face landmark 2"]) -> None:
        """Tell how landmarks of faces lie: what varies least (a pout, a hundredth of a turned head) the heads could not
        find by themselves."""
        shapes = normalised(landmarks)
        self.usual = shapes.mean(0)
        _, deviations, directions = torch.linalg.svd(shapes - self.usual, full_matrices=False)
        deviations = deviations[:SHAPES] / len(shapes) ** 0.5 + LEAST_SHAPE
        self.whitening = directions[:SHAPES].T / deviations

    def _landmarks(
        self, features: Float[Tensor, "batch channel row column"], whole: Float[Tensor, "batch token"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = features.shape[-2:]
        share = self.maps(features).flatten(2).softmax(-1)
        y, x = torch.meshgrid(
            (torch.arange(rows, device=share.device) + 0.5) / rows,
            (torch.arange(columns, device=share.device) + 0.5) / columns,
            indexing="ij",
        )
        places = torch.stack([x, y], -1).flatten(0, 1).to(share)
        there = self.seen_there(share @ features.flatten(2).transpose(1, 2))
        own = there + self.offsets(whole).unflatten(1, (LANDMARKS, 4))
        landmarks = share @ places + 0.1 * own[..., :2]
        return landmarks, (own[..., 2] - 3.5).clamp(NARROWEST, WIDEST), own[..., 3]


def rotation_of(columns: Float[Tensor, "batch 6"]) -> Float[Tensor, "batch 3 3"]:
    """Two columns made orthonormal and their cross product (Zhou et al. 2019); zeros give the identity."""
    a, b = (columns + columns.new_tensor([1.0, 0, 0, 0, 1.0, 0])).unflatten(1, (2, 3)).unbind(1)
    first = functional.normalize(a, dim=-1)
    second = functional.normalize(b - (first * b).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def normalised(landmarks: Float[Tensor, "batch landmark 2"]) -> Float[Tensor, "batch _coordinate"]:
    """About their middle, in their spread."""
    centred = landmarks - landmarks.mean(1, keepdim=True)
    return (centred / centred.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6)).flatten(1)


class _Head(nn.Sequential):
    def __init__(self, before: int, after: int) -> None:
        super().__init__(nn.Linear(before, 256), nn.ReLU(inplace=True), nn.Linear(256, after))


class _Convolution(nn.Sequential):
    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        )


class _Block(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _Convolution(width, width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.second(self.first(x))))
