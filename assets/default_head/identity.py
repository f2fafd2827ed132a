"""How people differ: a linear basis with a unit-variance prior, from sampled adults."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class IdentityBasis:
    mean: Float[Tensor, "vertex 3"]
    modes: Float[Tensor, "identity vertex 3"]
    """Displacements at one standard deviation, strongest first."""


def principal_modes(people: Float[Tensor, "person vertex 3"], aligned: slice, count: int, spread: float) -> IdentityBasis:
    """Principal modes of people of true size, rigidly aligned on the vertices `aligned`.

    Deviations from the mean are scaled so that their root mean square over those vertices is `spread` metres.
    """
    people = aligned_to_mean(people, aligned)
    mean = people.mean(0)
    deviations = people - mean
    size = deviations[:, aligned].square().sum(-1).mean().sqrt()
    deviations = deviations * (spread / size)
    flat = deviations.flatten(1)
    _, vectors = torch.linalg.eigh((flat @ flat.T / len(flat)).double())
    vectors = vectors.flip(1)[:, :count]
    modes = vectors.T.float() @ flat / len(flat) ** 0.5
    largest = modes.gather(1, modes.abs().argmax(1, keepdim=True))
    modes = modes * largest.sign()
    return IdentityBasis(mean, modes.unflatten(1, mean.shape))


def aligned_to_mean(people: Float[Tensor, "person vertex 3"], aligned: slice) -> Float[Tensor, "person vertex 3"]:
    """Rigid generalised Procrustes alignment (Gower 1975), without scale."""
    mean = people.mean(0)
    for _ in range(3):
        people = rigidly_aligned(people, mean, aligned)
        mean = people.mean(0)
    return people


def rigidly_aligned(
    points: Float[Tensor, "person vertex 3"], target: Float[Tensor, "vertex 3"], aligned: slice
) -> Float[Tensor, "person vertex 3"]:
    """Each set of points moved rigidly onto the target, least squares over the vertices `aligned` (Kabsch 1976)."""
    source, goal = points[:, aligned], target[aligned]
    source_centre, goal_centre = source.mean(1, keepdim=True), goal.mean(0)
    u, _, vt = torch.linalg.svd((source - source_centre).mT @ (goal - goal_centre))
    sign = torch.linalg.det(u @ vt).sign()
    u = torch.cat([u[..., :2], u[..., 2:] * sign[:, None, None]], -1)
    return (points - source_centre) @ (u @ vt) + goal_centre
