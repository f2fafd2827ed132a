"""The density of signed distances, and samples with a bounded error, on a ball whose opacity is known."""

import math

import pytest
import torch

from renderers.volume_sdf import (
    by_weight,
    error_bounded_samples,
    laplace_density,
    least_distance,
    opacity_error_bound,
    safe_beta,
)

BALL = 0.1
"""Radius, metres."""


@pytest.fixture
def ball():
    """Signed distances along rays that pass the centre of a ball, the first through it, the last beside it."""
    miss = torch.linspace(0, 1.5 * BALL, 24, dtype=torch.float64)[:, None]
    return lambda places: (miss.square() + (places - 0.5).square()).sqrt() - BALL


def uniform(count: int, rays: int = 24) -> torch.Tensor:
    return torch.linspace(0.2, 0.8, count, dtype=torch.float64).repeat(rays, 1)


def opacity(places: torch.Tensor, distance: torch.Tensor, beta: torch.Tensor | float) -> torch.Tensor:
    """By the rectangle rule, before each place."""
    depth = (laplace_density(distance, beta)[:, :-1] * places.diff(dim=-1)).cumsum(-1)
    return torch.nn.functional.pad(-torch.expm1(-depth), (1, 0))


def true_opacity(places: torch.Tensor, ball, beta: torch.Tensor | float) -> torch.Tensor:
    dense = uniform(50_001)
    found = opacity(dense, ball(dense), beta)
    index = ((places - 0.2) / (dense[0, 1] - dense[0, 0])).round().long().clamp(0, dense.shape[1] - 1)
    return found.gather(1, index)


def test_the_density_is_the_cumulative_laplace_distribution():
    distance, beta = torch.linspace(-0.05, 0.05, 101, dtype=torch.float64), 0.01
    expected = torch.distributions.Laplace(0.0, beta).cdf(-distance) / beta
    torch.testing.assert_close(laplace_density(distance, beta), expected)
    grown = distance.clone().requires_grad_()
    scale = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(laplace_density, (grown[::7] + 1e-3, scale))


@pytest.mark.parametrize("beta", [0.002, 0.01, 0.05])
def test_no_opacity_is_off_by_more_than_the_bound(ball, beta):
    places = uniform(65)
    each = torch.full((24, 1), beta, dtype=torch.float64)
    bound = opacity_error_bound(places, ball(places), each)
    error = (opacity(places, ball(places), beta) - true_opacity(places, ball, beta)).abs()[:, 1:]
    assert bool((error <= bound + 1e-4).all())
    assert float(error.max()) > 1e-3 or beta == 0.05


def test_the_surface_is_nowhere_nearer_than_is_said(ball):
    places = uniform(33)
    said = least_distance(places.diff(dim=-1), ball(places))
    inner = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None, None]
    between = places[:, :-1] + inner * places.diff(dim=-1)
    nearest = torch.stack([ball(each).abs() for each in between]).amin(0)
    assert bool((said <= nearest + 1e-9).all())
    assert float((said > 0.5 * nearest).double().mean()) > 0.8


def test_a_safe_scale_is_safe(ball):
    places = uniform(33)
    bound = opacity_error_bound(places, ball(places), safe_beta(places, 0.1))
    assert float(bound.max()) <= 0.1


def test_places_are_added_until_the_error_is_bounded(ball):
    asked = []

    def counted(places: torch.Tensor) -> torch.Tensor:
        asked.append(places.shape[1])
        return ball(places)

    beta, error = 0.004, 0.05
    places, distance, scale = error_bounded_samples(uniform(33), counted, beta, error=error, rounds=6)
    torch.testing.assert_close(distance, ball(places))
    assert bool((places.diff(dim=-1) >= 0).all())
    assert float(opacity_error_bound(places, distance, scale).max()) <= error + 1e-9
    assert float((scale == beta).double().mean()) > 0.8  # all but rays along the surface
    off = (opacity(places, distance, scale) - true_opacity(places, ball, scale)).abs()
    assert float(off.max()) <= error
    even = uniform(sum(asked))
    evenly = opacity_error_bound(even, ball(even), torch.full_like(scale, beta)).amax(-1)
    assert float((evenly <= error).double().mean()) < 0.5


def test_too_few_rounds_make_the_density_softer(ball):
    places, distance, scale = error_bounded_samples(uniform(17), ball, 1e-3, error=0.1, rounds=1)
    assert float(scale.max()) > 2e-3
    assert float(opacity_error_bound(places, distance, scale).max()) <= 0.1 + 1e-9


def test_places_by_weight_are_where_weight_is():
    places = torch.tensor([[0.0, 1.0, 2.0, 4.0]])
    found = by_weight(places, torch.tensor([[1.0, 0.0, 3.0]]), 4000)
    assert float((found < 1).float().mean()) == pytest.approx(0.25, abs=1e-3)
    assert float((found > 2).float().mean()) == pytest.approx(0.75, abs=1e-3)
    assert float(found[found > 2].mean()) == pytest.approx(3.0, abs=0.01)
    assert bool((found.diff() >= 0).all())
    moved = by_weight(places, torch.zeros(1, 3), 9, torch.Generator().manual_seed(0))
    assert bool((moved.diff() >= 0).all())
    assert bool(((moved >= 0) & (moved <= 4)).all())
    assert math.isfinite(float(moved.sum()))
