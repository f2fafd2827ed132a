"""Deformation transfer on meshes whose answer is known."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from morphable import ARKIT_NAMES
from morphable.surface import Surface
from morphable.transfer import Transfer, gradient_operator, stiffened


def ball(subdivisions: int) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions, 0.1)
    return Surface(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def test_gradient_of_a_linear_function_is_its_slope():
    surface = ball(2)
    slope = np.array([1.0, -2.0, 0.5])
    found = (gradient_operator(surface) @ (surface.vertices @ slope)).reshape(-1, 3)
    normals = surface.triangle_normals
    np.testing.assert_allclose(found, slope - (normals @ slope)[:, None] * normals, atol=1e-9)


def test_another_triangulation_does_the_same():
    """A ball of other triangles is turned, squeezed and bent as the first is."""
    source, target = ball(4), ball(3)
    target = Surface(Rotation.from_rotvec([0.3, 0.2, 0.1]).apply(target.vertices), target.triangles)

    def bent(points):
        turned = Rotation.from_rotvec([0, 0.4, 0]).apply(points) * [1.1, 0.9, 1.0]
        return turned + np.stack([0.5 * points[:, 1] ** 2 / 0.1, 0 * points[:, 0], 0 * points[:, 0]], 1) - points

    moved = Transfer.between(source, target)(bent(source.vertices)[None])[0]
    np.testing.assert_allclose(moved, bent(target.vertices), atol=1.5e-3)


def test_shapes_are_linear_where_normals_keep_still(model):
    source = ball(3)
    transfer = Transfer.between(source, ball(2))
    shift = np.tile([0.01, 0.02, -0.01], (len(source.vertices), 1))
    np.testing.assert_allclose(
        transfer(np.stack([shift, 0 * shift])), [np.broadcast_to(shift[0], (162, 3)), np.zeros((162, 3))], atol=1e-7
    )


def test_expressions_of_a_finer_head(model):
    """The default head's own skin, each triangle cut in four: vertices that both have move alike, and lids that meet
    on the one meet on the other."""
    skin = model.parts["head"]
    triangles = model.triangles[skin.triangles].long().numpy()
    vertices = model.mean[skin.vertices].double().numpy()
    shapes = model.expressions(torch.zeros(1, model.identities))[0, :, skin.vertices].double().numpy()
    names = ("eyeBlinkLeft", "jawOpen", "mouthSmileRight")
    chosen = shapes[[ARKIT_NAMES.index(name) for name in names]]
    finer, finer_triangles = trimesh.remesh.subdivide(vertices, triangles)
    moved = Transfer.between(Surface(vertices, triangles), Surface(finer, finer_triangles))(chosen)
    off = np.linalg.norm(moved[:, : len(vertices)] - chosen, axis=2)
    assert np.percentile(off, 99) < 0.5e-3
    assert off[:, model.regions["eyelids"].numpy()[: len(vertices)]].mean() < 0.2e-3


def test_parts_beyond_the_source_do_not_fly_away():
    source, far = ball(3), ball(2)
    target = Surface(
        np.concatenate([source.vertices, far.vertices + [0, -0.3, 0]]),
        np.concatenate([source.triangles, far.triangles + len(source.vertices)]),
    )
    moved = Transfer.between(source, target)(np.full((1, len(source.vertices), 3), 0.01))[0]
    assert np.abs(moved - 0.01).max() < 1e-3


def test_what_is_stiff_only_turns_and_shifts():
    points = np.random.default_rng(0).normal(size=(20, 3))
    turn = Rotation.from_rotvec([0.3, -0.5, 0.2])
    exact = turn.apply(points) + [1.0, 2.0, 3.0] - points
    np.testing.assert_allclose(stiffened(points, exact), exact, atol=1e-9)
    noisy = stiffened(points, np.stack([exact + 0.3 * points, -2 * points]))
    for displacement in noisy:
        moved = points + displacement
        assert np.linalg.norm(moved[3] - moved[7]) == pytest.approx(np.linalg.norm(points[3] - points[7]))
