import numpy as np
import pytest
import trimesh

from morphable.surface import Surface


@pytest.fixture(scope="module")
def ball() -> Surface:
    mesh = trimesh.creation.icosphere(3)
    return Surface(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def test_closest_points_are_those_of_an_exhaustive_search(model):
    skin = model.parts["head"]
    vertices, triangles = model.mean[skin.vertices].double().numpy(), model.triangles[skin.triangles].long().numpy()
    mesh = trimesh.Trimesh(vertices, triangles, process=False)
    generator = np.random.default_rng(0)
    points = vertices[generator.integers(0, len(vertices), 300)] + generator.normal(0, 3e-3, (300, 3))
    found = Surface(vertices, triangles).closest(points)
    _, distances, _ = trimesh.proximity.closest_point_naive(mesh, points)
    feet = Surface(vertices, triangles).at(found.triangles, found.barycentric)
    np.testing.assert_allclose(feet, found.points, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(feet - points, axis=1), found.distances, atol=1e-12)
    assert (found.distances < distances + 1e-9).all()


def test_long_thin_triangles_are_found_along_their_whole_length():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 0.01, 0], [5, 5, 5], [5.01, 5, 5], [5, 5.01, 5]], float)
    triangles = np.array([[0, 1, 2], [3, 4, 5], [4, 3, 5]])
    found = Surface(vertices, triangles).closest(np.array([[0.7, 0, 0.2]]))
    np.testing.assert_allclose(found.points, [[0.7, 0, 0]], atol=1e-9)


def test_normals_and_areas_of_a_ball(ball):
    np.testing.assert_allclose(ball.normals, ball.vertices, atol=0.02)
    assert ball.areas.sum() == pytest.approx(4 * np.pi, rel=0.02)
    assert ball.masses.sum() == pytest.approx(ball.areas.sum())
    assert not ball.boundary.any()


def test_dirichlet_energy_of_a_height(ball):
    """∫|∇z|² over the unit sphere is 8π/3; of a constant it is 0."""
    height = ball.vertices[:, 2]
    assert height @ ball.stiffness @ height == pytest.approx(8 * np.pi / 3, rel=0.02)
    np.testing.assert_allclose(ball.stiffness @ np.ones(len(height)), 0, atol=1e-9)


def test_boundary_of_half_a_ball(ball):
    half = Surface(ball.vertices, ball.triangles[(ball.vertices[ball.triangles][..., 2] > -1e-9).all(1)])
    np.testing.assert_allclose(half.vertices[half.boundary][:, 2], 0, atol=0.2)
    assert half.boundary.sum() > 10
