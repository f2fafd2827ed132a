"""The iris as a ruler."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from face3d.fitting.gauss_newton import Belief
from face3d.fitting.iris_ruler import Eye, measured, size_slope, sized
from morphable import MorphableModel

SIDE = 200


def drawn_eye(radius: float, turned: float = 0.0, expected: float = 14.0) -> tuple[np.ndarray, Eye]:
    """An almond of white with a dark iris under its upper lid, and what is known of it: too large or too small."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
    lids = np.abs(y + 2) < 0.7 * radius * np.sqrt(np.clip(1 - (x / (2.6 * radius)) ** 2, 0, None))
    iris = np.hypot(x / np.cos(turned), y) < radius
    image = np.where(lids, np.where(iris, 60.0, 220.0), 150.0)
    turn = np.linspace(-1, 1, 9) * 2.6 * radius
    height = 0.7 * radius * np.sqrt(1 - (turn / (2.6 * radius)) ** 2)
    below = np.stack([turn, height - 2], 1)
    above = np.stack([turn, -height - 2], 1)[::-1][1:-1]
    facing = np.array([np.sin(turned), 0.0, -np.cos(turned)])
    outline = np.concatenate([below, above]) + SIDE / 2
    return gaussian_filter(image, 0.7), Eye(np.full(2, SIDE / 2) + 1.5, expected, facing, outline)


@pytest.mark.parametrize("radius", [11.5, 14.0, 16.5])
@pytest.mark.parametrize("turned", [0.0, 0.5])
def test_measures_a_drawn_iris(radius: float, turned: float) -> None:
    image, eye = drawn_eye(radius, turned)
    found = measured([image], [[eye, eye]])
    assert found is not None
    assert np.exp(found[0]) == pytest.approx(radius / 14.0, abs=0.03)


def test_more_photos_are_surer_than_one_but_not_than_people_differ() -> None:
    image, eye = drawn_eye(14.0)
    one, nine = measured([image], [[eye]]), measured([image] * 9, [[eye]] * 9)
    assert one is not None and nine is not None
    assert 0.036 < nine[1] < one[1]


def test_nothing_to_see_is_no_measurement() -> None:
    _, eye = drawn_eye(14.0)
    assert measured([np.full((SIDE, SIDE), 120.0)], [[eye]]) is None
    assert measured([], []) is None


def test_size_slope_is_the_derivative_of_the_size(model: MorphableModel) -> None:
    identity = 0.5 * torch.randn(model.identities, generator=torch.Generator().manual_seed(1)).double()
    step = 1e-4 * torch.ones_like(identity)

    def log_size(some: torch.Tensor) -> torch.Tensor:
        vertices = model.mean.double() + torch.tensordot(some, model.identity_basis.double(), 1)
        face = vertices[model.regions["face"]]
        return (face - face.mean(0)).square().sum(1).mean().sqrt().log()

    measured_slope = log_size(identity + step) - log_size(identity - step)
    assert float(measured_slope) == pytest.approx(2 * float(size_slope(model, identity) @ step), rel=1e-3)


def test_belief_moves_towards_the_measured_size_and_grows_surer(model: MorphableModel) -> None:
    before = Belief.prior(model.identities)
    after = sized(before, model, before.mean, growth=0.05, sigma=0.03)
    slope = size_slope(model, before.mean)
    grown, prior = float(slope @ after.mean), float(slope @ slope)
    assert grown == pytest.approx(0.05 * prior / (prior + 0.03**2), rel=1e-6)
    assert torch.logdet(after.precision) > torch.logdet(before.precision)
