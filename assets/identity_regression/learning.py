"""From pictures of known heads to a linear estimate of identity, with its error."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from assets.identity_regression.sampling import Sighting
from face3d.fitting.identity_regression import features, normalised

YAWS = (-0.9, -0.45, 0.0, 0.45, 0.9)
DIRECTIONS = 160
REACH = 0.9
"""Radians from a knot within which heads look its way."""
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 1e5)
"""Candidates for the penalty on weights; held-out heads choose one for each coefficient."""
HELD_OUT = 0.15
SHARED = 0.5
"""The part of the error that two photos of a person share. Drawn heads share none of it; people differ from all that is
drawn in ways that each of their photos shows."""
ALIGNMENTS = 5


def learned(
    sightings: Sequence[Sighting], mean: Float[Tensor, " identity"], factor: Float[Tensor, "identity identity"]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """What `face3d.fitting.identity_regression.IdentityRegression` holds, and how well it does on held-out heads.

    Args:
        mean, factor: of the population that the heads were drawn from.
    """
    template = _template(sightings)
    laid = [normalised(each.observation, template) for each in sightings]
    shapes = torch.stack([aligned for aligned, *_ in laid])
    directions = _principal((shapes - template).flatten(1))
    inputs = torch.stack(
        [
            features(directions, template, *each, sighting.observation)
            for each, sighting in zip(laid, sightings, strict=True)
        ]
    )
    identities = torch.stack([torch.as_tensor(each.identity) for each in sightings]).double()
    goals = torch.linalg.solve(factor, (identities - mean).mT).mT
    yaw = torch.tensor([turn for _, turn, _ in laid], dtype=torch.float64)
    heads = torch.unique(goals[:, 0], return_inverse=True)[1]
    held = heads % round(1 / HELD_OUT) == 0

    weights, covariances, unexplained = [], [], []
    for knot in YAWS:
        near = (1 - (yaw - knot).abs() / REACH).clamp(min=0)
        tried = torch.stack([_ridge(inputs, goals, near * ~held, ridge) for ridge in RIDGES])
        share = near[held] / near[held].sum()
        errors = torch.einsum("h,rhk->rk", share, (goals[held] - inputs[held] @ tried.mT).square())
        best, each = errors.argmin(0), torch.arange(goals.shape[1])
        error = goals[held] - inputs[held] @ tried[best, each].mT
        covariances.append(_covariance(error, share))
        whole = torch.stack([_ridge(inputs, goals, near, ridge) for ridge in RIDGES])
        weights.append(whole[best, each])
        unexplained.append(float(errors[best, each].mean()))
    tensors = {
        "mean": mean.float(),
        "factor": factor.float(),
        "template": template.float(),
        "directions": directions.half(),
        "yaws": torch.tensor(YAWS),
        "weights": torch.stack(weights).half(),
        "covariances": torch.stack(covariances).half(),
        "shared": torch.tensor(SHARED),
    }
    return tensors, dict(zip(map(str, YAWS), unexplained, strict=True))


def _template(sightings: Sequence[Sighting]) -> Float[Tensor, "478 3"]:
    """Mean landmarks of pictures laid over each other, in units of their root mean square radius."""
    facing = min(sightings, key=lambda each: abs(float(each.rotation[0, 2])) + abs(float(each.rotation[1, 2])))
    template = _standard(torch.as_tensor(facing.observation.landmarks).double())
    for _ in range(ALIGNMENTS):
        template = _standard(torch.stack([normalised(each.observation, template)[0] for each in sightings]).mean(0))
    return template


def _standard(points: Float[Tensor, "478 3"]) -> Float[Tensor, "478 3"]:
    centred = points - points.mean(0)
    return centred / centred.square().sum(1).mean().sqrt()


def _principal(rows: Float[Tensor, "picture 1434"]) -> Float[Tensor, "feature 1434"]:
    """Directions along which the rows have unit variance, strongest first."""
    values, vectors = torch.linalg.eigh(rows.mT @ rows / len(rows))
    order = values.argsort(descending=True)[:DIRECTIONS]
    return (vectors[:, order] / values[order].sqrt()).mT


def _ridge(inputs: Tensor, goals: Tensor, share: Tensor, ridge: float) -> Float[Tensor, "identity input"]:
    weighted = inputs * share[:, None]
    penalty = torch.full((inputs.shape[1],), ridge, dtype=torch.float64)
    penalty[0] = 1e-6
    return torch.linalg.solve(weighted.mT @ inputs + penalty.diag(), weighted.mT @ goals).mT


def _covariance(error: Tensor, share: Tensor) -> Float[Tensor, "identity identity"]:
    """Drawn towards its diagonal, as there are few held-out heads, and no larger than the prior's."""
    sample = (error * share[:, None]).mT @ error
    effective = 1 / share.square().sum()
    trust = effective / (effective + len(sample))
    covariance = trust * sample + (1 - trust) * sample.diagonal().diag()
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(max=0.999)) @ vectors.mT
