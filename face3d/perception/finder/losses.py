"""What a finder's sight of known pictures costs."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from face3d.perception.finder.architecture import SIZE_UNIT, Finds, cells
from face3d.perception.finder.scenes import Scenes

SHARES = {"score": 1.0, "box": 2.0, "points": 2.0, "pose": 0.5}
"""Weights of the terms."""
CENTRAL, NEAR = 0.2, 0.4
"""How far from a face's middle its cells lie, and up to where it does not matter what cells say; over its side."""
OCTAVES = 1.2
"""How much larger or smaller than SIZE_UNIT strides, in powers of two, a face is that a grid finds."""
EASY, RARE_SHARE = 2.0, 0.5
"""Focal loss (Lin et al. 2017): the power of what is missing, and the share of cells that hold a face."""
TOLERANCE = 0.1
"""Error, over the face's side, at which its cost goes from quadratic to linear."""


def losses(finds: Finds, truth: Scenes) -> dict[str, Float[Tensor, ""]]:
    """The terms before their weights: focal loss of the score; errors of the box's corners and of the points over the
    face's side; 1 - the cosine of the angle of the pose, halved. All but the first are means over cells with faces."""
    places, strides = cells(truth.pixels.shape[2], truth.pixels.shape[3], truth.pixels.device)
    face, unclear = assigned(truth, places, strides)
    found = face >= 0
    certainty = finds.score.sigmoid()
    missing = torch.where(found, 1 - certainty, certainty)
    surprise = functional.binary_cross_entropy_with_logits(finds.score, found.float(), reduction="none")
    score = (torch.where(found, RARE_SHARE, 1 - RARE_SHARE) * missing**EASY * ~unclear * surprise).sum()
    picture, cell = found.nonzero(as_tuple=True)
    chosen = face[picture, cell]
    box, points = truth.box[picture, chosen], truth.points[picture, chosen]
    side = (box[:, 2:] - box[:, :2]).amax(1).clamp(min=1)
    count = max(len(side), 1)
    turned = torch.einsum("nij,nij->n", finds.rotation[picture, cell], truth.rotation[picture, chosen])
    return {
        "score": score / count,
        "box": _off((finds.box[picture, cell] - box) / side[:, None]) / count,
        "points": _off((finds.points[picture, cell] - points).flatten(1) / side[:, None]) / count,
        "pose": (1 - (turned - 1) / 2).sum() / count,
    }


def assigned(
    truth: Scenes, places: Float[Tensor, "cell 2"], strides: Float[Tensor, " cell"]
) -> tuple[Int[Tensor, "batch cell"], Bool[Tensor, "batch cell"]]:
    """Which face each cell is to find, -1 for none; and which cells lie about a face, but not at its middle."""
    middle, side = (truth.box[..., :2] + truth.box[..., 2:]) / 2, (truth.box[..., 2:] - truth.box[..., :2]).amax(-1)
    away = (places[:, None] - middle[:, None]).abs().amax(-1)
    away = away.masked_fill(~truth.there[:, None], torch.inf)
    step = strides[:, None].expand_as(away)
    octaves = (side.clamp(min=1)[:, None] / (SIZE_UNIT * step)).log2()
    fitting = (
        (octaves.abs() < OCTAVES) | (step == strides.min()) & (octaves < 0) | (step == strides.max()) & (octaves > 0)
    )
    inside = fitting & (away < CENTRAL * side[:, None] + 0.5 * step)
    nearest, face = away.masked_fill(~inside, torch.inf).min(-1)
    found = nearest.isfinite()
    unclear = (away < NEAR * side[:, None] + 0.5 * step).any(-1) & ~found
    return face.masked_fill(~found, -1), unclear


def _off(error: Float[Tensor, "face value"]) -> Float[Tensor, ""]:
    return functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=TOLERANCE).mean(1).sum()
