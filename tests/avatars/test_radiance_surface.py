"""The surface of a still head from pictures with known cameras: how it begins, and what it needs."""

import numpy as np
import pytest
import torch
import trimesh

from avatars.radiance.surface import COARSE, DistanceField, Views, start_distances
from morphable.surface import Surface
from renderers import Camera

RADIUS = 0.05


@pytest.fixture(scope="module")
def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)


@pytest.mark.parametrize("lowest", [-1.0, -0.9 * RADIUS])
def test_distances_from_the_start_are_signed(ball: trimesh.Trimesh, lowest: float) -> None:
    """Also where it is open below."""
    kept = (ball.vertices[ball.faces][..., 1] > lowest).all(1)
    low, found = start_distances(np.array(ball.vertices), np.array(ball.faces)[kept])
    grid = np.stack(np.meshgrid(*(np.arange(count) for count in found.shape), indexing="ij"), -1)
    points = low + COARSE * grid
    expected = np.linalg.norm(points, axis=-1) - RADIUS
    near = (points[..., 1] > -0.4 * RADIUS) & (np.abs(expected) < 0.03)
    assert np.abs(found - expected)[near].max() < 0.0025
    assert np.mean(np.sign(found) == np.sign(expected)) > 0.99


def test_nothing_learned_gives_the_start_back(ball: trimesh.Trimesh) -> None:
    pytest.importorskip("skimage")
    made = DistanceField.about(np.array(ball.vertices), np.array(ball.faces)).mesh()
    off = np.abs(np.linalg.norm(made.vertices, axis=1) - RADIUS)
    assert off.max() < 0.002
    assert np.median(off) < 0.0005
    normals = Surface(made.vertices, made.triangles).normals
    assert (normals * made.vertices).sum(1).min() > 0
    assert made.colours.shape == made.vertices.shape
    assert 0 <= made.colours.min() <= made.colours.max() <= 1


def test_pictures_have_masks_and_cameras() -> None:
    camera = Camera.looking_at((0.0, 0.0, 1.0), (0, 0, 0), (0, 1, 0), 0.5, (8, 6))
    picture, mask = np.zeros((8, 6, 3), np.uint8), np.zeros((8, 6), np.uint8)
    Views([picture] * 2, [mask] * 2, [camera] * 2)
    with pytest.raises(ValueError, match="two pictures or more"):
        Views([picture], [mask], [camera])
    with pytest.raises(ValueError, match="its picture has"):
        Views([picture, picture.transpose(1, 0, 2)], [mask] * 2, [camera] * 2)


def test_learning_moves_what_it_asks() -> None:
    """Distances have gradients to the tables that move the surface, and none to those that colour it."""
    ball = trimesh.creation.icosphere(subdivisions=2, radius=RADIUS)
    field = DistanceField.about(np.array(ball.vertices), np.array(ball.faces))
    field.moves.requires_grad_()
    field.looks.requires_grad_()
    field.distances(torch.tensor([[0.0, RADIUS, 0.0]])).sum().backward()
    assert field.moves.grad is not None
    assert float(field.moves.grad.abs().sum()) > 0
    assert field.looks.grad is None
