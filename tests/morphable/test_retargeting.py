"""FLAME ↔ ARKit on a head of FLAME's layout, whose 52 shapes are made of what FLAME can do, or of what it cannot."""

import numpy as np
import pytest
import torch

from benchmarks.flame_layout import flame_arrays
from morphable import ARKIT_NAMES
from morphable.flame import flame_from
from morphable.retargeting import FlameExpression, arkit_from_flame, flame_from_arkit

JAW_OPEN = ARKIT_NAMES.index("jawOpen")


@pytest.fixture(scope="module")
def flame():
    return flame_from(flame_arrays(), "flame", "generic_model.pkl")


@pytest.fixture(scope="module")
def shapes(flame):
    """Mixes of FLAME's components; jawOpen turns FLAME's jaw."""
    mixes = np.random.default_rng(1).normal(size=(52, 100))
    made = np.einsum("ek,kvi->evi", mixes, flame.native_expression_basis.double().numpy())
    made[JAW_OPEN] = moved(flame, np.zeros(100), np.array([0.2, 0, 0]))
    return made


def moved(flame, components, jaw):
    pose = torch.zeros(2, 5, 3)
    pose[0, 2] = torch.as_tensor(jaw)
    expression = torch.as_tensor(np.stack([components, 0 * components]), dtype=torch.float32)
    vertices = flame.native(torch.zeros(2, 300), expression, pose)[0]
    return (vertices[0] - vertices[1]).double().numpy()


def test_flame_does_what_the_weights_do(flame, shapes):
    weights = np.zeros(52)
    weights[[3, 30]] = 0.5, 0.2
    weights[JAW_OPEN] = 1.0
    found, left = flame_from_arkit(flame, np.zeros(300), shapes, weights)
    goal = np.tensordot(weights, shapes, 1)
    reached = moved(flame, found.components, found.jaw)
    size = np.sqrt(np.square(goal).sum(1).mean())
    assert np.sqrt(np.square(goal - reached).sum(1).mean()) < 0.05 * size
    assert left == pytest.approx(1000 * np.sqrt(np.square(goal - reached).sum(1).mean()), rel=0.1)


def test_the_jaw_opens_for_jaw_open(flame, shapes):
    weights = np.zeros(52)
    weights[JAW_OPEN] = 1.0
    found, left = flame_from_arkit(flame, np.zeros(300), shapes, weights)
    assert found.jaw == pytest.approx([0.2, 0, 0], abs=0.02)
    assert np.abs(found.components).max() < 0.3
    assert left < 0.2


def test_there_and_back(flame, shapes):
    weights = np.random.default_rng(3).uniform(0, 0.6, 52)
    expression, _ = flame_from_arkit(flame, np.zeros(300), shapes, weights)
    back, left = arkit_from_flame(flame, np.zeros(300), shapes, expression)
    assert (back >= 0).all() and (back <= 1).all()
    assert np.abs(back - weights).mean() < 0.05
    assert left < 0.5


def test_what_cannot_be_done_is_reported(flame, shapes):
    """A motion outside of the 52 shapes' span stays as residual, in millimetres."""
    components = np.zeros(100)
    components[:] = -np.einsum("ek,e->k", np.random.default_rng(1).normal(size=(52, 100)), np.ones(52)) / 5
    expression = FlameExpression(components, np.zeros(3))
    goal = moved(flame, components, np.zeros(3))
    weights, left = arkit_from_flame(flame, np.zeros(300), shapes, expression)
    reached = np.tensordot(weights, shapes, 1)
    assert left == pytest.approx(1000 * np.sqrt(np.square(goal - reached).sum(1).mean()), rel=0.1)
    assert left > 1
