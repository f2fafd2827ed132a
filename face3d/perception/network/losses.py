"""What a network's sight of known crops costs."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from face3d.perception.network.architecture import Sight
from face3d.perception.network.examples import UNKNOWN, Batch

SHARES = {
    "landmarks": 1.0,
    "places": 20.0,
    "visible": 0.5,
    "classes": 1.0,
    "overlap": 1.0,
    "pose": 2.0,
    "identity": 1.0,
    "expression": 2.0,
}
"""Weights of the terms."""
BETA = 0.5
"""How far the weight that a deviation takes from its error is given back (Seitzer et al. 2022, beta-NLL)."""
LANDMARK_DEVIATION = 0.03
"""In sides of the crop: where weighted and plain likelihoods of landmarks count the same."""


def losses(sight: Sight, truth: Batch) -> dict[str, Float[Tensor, ""]]:
    """The terms before their weights: Gaussian likelihoods of landmarks and coefficients, absolute errors of landmarks,
    cross entropies of visibility and classes, the overlap of classes (Dice), and the angle of the pose."""
    away = (sight.landmarks - truth.landmarks).square().sum(-1)
    classes = functional.interpolate(sight.classes, truth.classes.shape[-2:], mode="nearest").float()
    return {
        "landmarks": (gaussian(away, sight.log_deviation, 2) * truth.known).sum() / truth.known.sum(),
        "places": ((away + 1e-8).sqrt() * truth.known).sum() / truth.known.sum(),
        "visible": functional.binary_cross_entropy_with_logits(sight.visible, truth.visible),
        "classes": functional.cross_entropy(classes, truth.classes, ignore_index=UNKNOWN),
        "overlap": missing_overlap(classes, truth.classes),
        "pose": (1 - (torch.einsum("bii->b", sight.rotation.mT @ truth.rotation) - 1) / 2).mean(),
        "identity": gaussian((sight.identity - truth.identity).square(), sight.identity_log_deviation, 1).mean(),
        "expression": gaussian(
            (sight.expression - truth.expression).square(), sight.expression_log_deviation, 1
        ).mean(),
    }


def gaussian(
    squared: Float[Tensor, "*shape"], log_deviation: Float[Tensor, "*shape"], dimensions: int
) -> Float[Tensor, "*shape"]:
    """Negative log likelihood of squared distances under a Gaussian of so many dimensions, less a constant, weighted
    by its deviation to the power of twice BETA; of landmarks, in LANDMARK_DEVIATION."""
    likelihood = dimensions * log_deviation + 0.5 * squared * torch.exp(-2 * log_deviation)
    usual = LANDMARK_DEVIATION if dimensions == 2 else 1.0
    return likelihood * torch.exp(2 * BETA * log_deviation.detach()) * (1 / usual)


def missing_overlap(
    logits: Float[Tensor, "batch class row column"], classes: Int[Tensor, "batch row column"]
) -> Float[Tensor, ""]:
    """1 - Dice, the mean over the classes that are there, so that rare and small ones count as much as others."""
    known = (classes != UNKNOWN)[:, None]
    share = logits.softmax(1) * known
    truth = functional.one_hot(classes.where(classes != UNKNOWN, 0), logits.shape[1]).permute(0, 3, 1, 2) * known
    both = (share * truth).sum((0, 2, 3))
    size = truth.sum((0, 2, 3))
    dice = (2 * both + 1) / (share.sum((0, 2, 3)) + size + 1)
    return 1 - dice[size > 0].mean()
