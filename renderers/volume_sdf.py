"""Volume rendering of signed distances: their density, and samples whose opacity is right to a known error (Yariv et
al., "Volume Rendering of Neural Implicit Surfaces" (VolSDF), 2021).

Signed distances are in metres, below 0 inside. Tensors of all rays have as many samples each.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

BISECTIONS = 10
"""Of the interval in which the sharpest safe density lies."""
Distances = Callable[[Float[Tensor, "ray sample"]], Float[Tensor, "ray sample"]]
"""Signed distances at places along each ray."""


def laplace_density(
    distance: Float[Tensor, "*sample"], beta: float | Float[Tensor, "*sample"]
) -> Float[Tensor, "*sample"]:
    """Density per metre: the cumulative Laplace distribution of -distance over its scale (equations 2 and 3, with
    α = 1 / β): 1 / β deep inside, half of that on the surface, nothing far outside.

    Args:
        distance: signed, metres.
        beta: metres; above 0.
    """
    near = 0.5 * torch.exp(-distance.abs() / beta)
    return torch.where(distance > 0, near, 1 - near) / beta


def opacity_error_bound(
    places: Float[Tensor, "ray sample"], distance: Float[Tensor, "ray sample"], beta: Float[Tensor, "ray 1"]
) -> Float[Tensor, "ray interval"]:
    """What the opacity by the rectangle rule can be off by at most anywhere in each interval (equations 12 to 15).

    Args:
        places: along each ray, rising, metres.
        distance: signed, there; of a surface, so that it changes by no more than one goes.
        beta: of the density, for each ray.
    """
    before, worst = _thickness_and_error(places, distance, beta)
    # Past exp(50) it does not matter by how much the bound is too large.
    return torch.exp(-before) * torch.expm1(worst.cumsum(-1).clamp(max=50))


def least_distance(
    length: Float[Tensor, "ray interval"], distance: Float[Tensor, "ray sample"]
) -> Float[Tensor, "ray interval"]:
    """How near the surface can be to any point of an interval, from the distances at its ends (the paper's d*): spheres
    of those radii about the ends are empty. Where they touch it may be anywhere; else, where the third side of a
    triangle of them is the interval, its height."""
    one, other = distance.abs()[:, :-1], distance.abs()[:, 1:]
    half = (length + one + other) / 2
    square = half * (half - length) * (half - one) * (half - other)
    height = 2 * square.clamp(min=0).sqrt() / length.clamp(min=1e-12)
    obtuse = (one.square() - other.square()).abs() >= length.square()
    near = torch.where(obtuse, torch.minimum(one, other), height)
    return torch.where(one + other <= length, 0, near)


def safe_beta(places: Float[Tensor, "ray sample"], error: float) -> Float[Tensor, "ray 1"]:
    """A scale of the density at which no opacity is off by more than `error`, whatever the surface (lemma 2)."""
    return (places.diff(dim=-1).square().sum(-1, keepdim=True) / (4 * math.log1p(error))).sqrt()


@torch.no_grad()
def error_bounded_samples(
    places: Float[Tensor, "ray sample"],
    distances: Distances,
    beta: float,
    *,
    error: float = 0.1,
    rounds: int = 5,
    more: int = 32,
) -> tuple[Float[Tensor, "ray denser"], Float[Tensor, "ray denser"], Float[Tensor, "ray 1"]]:
    """Places at which the opacity is known to `error`, by adding some where it is not (after algorithm 1).

    Args:
        places: to begin with, rising along each ray, metres.
        distances: to ask for more.
        beta: of the density, metres.
        error: that the opacity may have.
        rounds: of adding places, at most.
        more: places that a round adds on each ray.

    Returns:
        Places, the distances there, and for each ray the scale, `beta` or more, at which the bound holds for them:
        where rounds did not suffice, the density has to be that much softer to be right.
    """
    distance = distances(places)
    wanted = torch.full_like(places[:, :1], beta)
    for _ in range(rounds):
        if float(opacity_error_bound(places, distance, wanted).max()) <= error:
            break
        before, worst = _thickness_and_error(places, distance, wanted)
        # Cut into n pieces an interval's error is an n-th: in all it is least if n goes as the error's root.
        new = by_weight(places, (torch.exp(-before) * worst).sqrt(), more)
        places, order = torch.cat([places, new], 1).sort(dim=1)
        distance = torch.cat([distance, distances(new)], 1).gather(1, order)
    return places, distance, _least_beta(places, distance, wanted, error)


def by_weight(
    places: Float[Tensor, "ray sample"],
    weights: Float[Tensor, "ray interval"],
    count: int,
    random: torch.Generator | None = None,
) -> Float[Tensor, "ray count"]:
    """Places spread over each ray's intervals in proportion to weights, rising (inverse transform).

    Args:
        places: ends of the intervals, rising, metres.
        weights: not below 0; a ray without any is sampled evenly.
        count: of new places.
        random: to move them by up to half of their distance in share; without it they are even.
    """
    share = weights + 1e-6 * weights.mean(-1, keepdim=True) + 1e-12
    ends = torch.nn.functional.pad(share.cumsum(-1), (1, 0))
    total = ends[:, -1:]
    within = 0.5 if random is None else torch.rand(len(places), count, generator=random).to(places)
    wanted = (torch.arange(count, device=places.device) + within).to(places) / count * total
    interval = torch.searchsorted(ends, wanted.contiguous(), right=True).clamp(1, share.shape[1]) - 1
    start, rise = ends.gather(1, interval), share.gather(1, interval)
    low, high = places.gather(1, interval), places.gather(1, interval + 1)
    return low + ((wanted - start) / rise).clamp(0, 1) * (high - low)


def _thickness_and_error(
    places: Float[Tensor, "ray sample"], distance: Float[Tensor, "ray sample"], beta: Float[Tensor, "ray 1"]
) -> tuple[Float[Tensor, "ray interval"], Float[Tensor, "ray interval"]]:
    """Optical thickness before each interval by the rectangle rule, and by how much that of the interval is off at
    most (equation 12)."""
    length = places.diff(dim=-1)
    depth = laplace_density(distance, beta)[:, :-1] * length
    worst = length.square() / (4 * beta.square()) * torch.exp(-least_distance(length, distance) / beta)
    return depth.cumsum(-1) - depth, worst


def _least_beta(
    places: Float[Tensor, "ray sample"],
    distance: Float[Tensor, "ray sample"],
    beta: Float[Tensor, "ray 1"],
    error: float,
) -> Float[Tensor, "ray 1"]:
    """The least scale from `beta` up at which each ray's bound is below `error`, by bisection."""
    low, high = beta, torch.maximum(beta, safe_beta(places, error))
    good = opacity_error_bound(places, distance, low).amax(-1, keepdim=True) <= error
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        enough = opacity_error_bound(places, distance, middle).amax(-1, keepdim=True) <= error
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return torch.where(good, beta, high)
