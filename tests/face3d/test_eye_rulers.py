"""The irises as a ruler, and the pupils."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from face3d.fitting.eye_rulers import (
    LEFT_JOINT,
    RIGHT_JOINT,
    Eye,
    measured,
    pupils_apart,
    pupils_slope,
    size_slope,
    told,
)
from face3d.fitting.gauss_newton import Belief
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
    return gaussian_filter(image, 0.7), Eye(
        np.full(2, SIDE / 2) + 1.5, expected, np.array([0, 0, 0.6]), facing, outline
    )


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


def looking(apart: float, at: np.ndarray, believed: float, radius: float) -> list[Eye]:
    """Eyes that look at a point, as they are taken by one who believes in other centres."""
    eyes = []
    for side in (-1, 1):
        ball, true = np.array([side * believed / 2, 0.0, 0.7]), np.array([side * apart / 2, 0.0, 0.7])
        pupil = true + radius * (at - true) / np.linalg.norm(at - true)
        facing = (pupil - ball) / np.linalg.norm(pupil - ball)
        eyes.append(Eye(np.zeros(2), 14.0, ball, facing, np.zeros((16, 2))))
    return eyes


@pytest.mark.parametrize("apart", [0.06, 0.064, 0.068])
@pytest.mark.parametrize("at", [(0.0, 0.0, 0.0), (0.2, -0.1, -1.0), (0.0, 0.0, -50.0)])
def test_pupils_tell_how_far_apart_the_eyes_are(apart: float, at: tuple[float, float, float]) -> None:
    found = pupils_apart([looking(apart, np.array(at), 0.064, 0.012)], 0.064, 0.012, [0.7])
    assert found is not None
    growth, sigma = found
    assert growth == pytest.approx(np.log(apart / 0.064), abs=0.012)
    many = pupils_apart([looking(apart, np.array(at), 0.064, 0.012)] * 4, 0.064, 0.012, [0.7] * 4)
    assert many is not None and many[1] < sigma
    assert pupils_apart([], 0.064, 0.012, []) is None


def test_slopes_are_derivatives(model: MorphableModel) -> None:
    identity = 0.5 * torch.randn(model.identities, generator=torch.Generator().manual_seed(1)).double()
    step = 1e-4 * torch.ones_like(identity)

    def log_size(some: torch.Tensor) -> torch.Tensor:
        vertices = model.mean.double() + torch.tensordot(some, model.identity_basis.double(), 1)
        face = vertices[model.regions["face"]]
        return (face - face.mean(0)).square().sum(1).mean().sqrt().log()

    measured_slope = log_size(identity + step) - log_size(identity - step)
    assert float(measured_slope) == pytest.approx(2 * float(size_slope(model, identity) @ step), rel=1e-3)

    def log_apart(some: torch.Tensor) -> torch.Tensor:
        joints = model.joint_mean.double() + torch.tensordot(some, model.joint_basis.double(), 1)
        return (joints[LEFT_JOINT] - joints[RIGHT_JOINT]).norm().log() - log_size(some)

    measured_slope = log_apart(identity + step) - log_apart(identity - step)
    assert float(measured_slope) == pytest.approx(2 * float(pupils_slope(model, identity) @ step), rel=1e-3)


def test_belief_moves_towards_the_measured_size_and_grows_surer(model: MorphableModel) -> None:
    before = Belief.prior(model.identities)
    slope = size_slope(model, before.mean)
    after = told(before, before.mean, slope, growth=0.05, sigma=0.03)
    grown, prior = float(slope @ after.mean), float(slope @ slope)
    assert grown == pytest.approx(0.05 * prior / (prior + 0.03**2), rel=1e-6)
    assert torch.logdet(after.precision) > torch.logdet(before.precision)
