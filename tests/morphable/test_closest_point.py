"""The nearest point on a mesh, against trying every triangle."""

import numpy as np
import pytest
import trimesh

from morphable.closest_point import closest_points


def every_triangle_tried(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = np.repeat(vertices[triangles][None], len(points), 0).reshape(-1, 3, 3)
    feet = trimesh.triangles.closest_point(corners, np.repeat(points, len(triangles), 0))
    distances = np.linalg.norm(feet.reshape(len(points), -1, 3) - points[:, None], axis=2)
    return distances.min(1)


def loose_triangles(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sizes over three decades, slivers among them."""
    count = 300
    sizes = 10 ** random.uniform(-3, 0, (count, 1, 1))
    corners = random.normal(size=(count, 1, 3)) + sizes * random.normal(size=(count, 3, 3))
    corners[:40, 2] = corners[:40, 0] + 1e-2 * (corners[:40, 1] - corners[:40, 0]) + 1e-4 * random.normal(size=(40, 3))
    return corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)


@pytest.mark.parametrize("distance", [0.0, 1e-3, 0.1, 3.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_no_triangle_is_nearer(distance: float, scale: float) -> None:
    random = np.random.default_rng(0)
    vertices, triangles = loose_triangles(random)
    on = vertices[triangles].mean(1)[random.integers(len(triangles), size=150)]
    points = on + distance * random.normal(size=on.shape)
    feet, distances, owners, barycentric = closest_points(points * scale, vertices * scale, triangles)
    assert np.all(distances <= scale * (every_triangle_tried(points, vertices, triangles) + 1e-10))
    assert np.allclose(np.linalg.norm(feet - points * scale, axis=1), distances)
    assert np.allclose(np.einsum("pk,pki->pi", barycentric, vertices[triangles][owners]) * scale, feet)
    assert barycentric.min() >= -1e-12 and np.allclose(barycentric.sum(1), 1)


def test_a_sphere_seen_from_its_middle() -> None:
    ball = trimesh.creation.icosphere(3)
    points = np.random.default_rng(0).normal(size=(400, 3)) * 1e-3
    distances = closest_points(points, ball.vertices, ball.faces)[1]
    assert np.allclose(distances, every_triangle_tried(points, ball.vertices, ball.faces), atol=1e-12)


def test_triangles_without_area_are_their_edges_and_points() -> None:
    vertices = np.array([[0, 0, 0], [2, 0, 0], [1, 0, 0], [9, 9, 9]], float)
    triangles = np.array([[0, 1, 2], [3, 3, 3]])
    feet, distances, owners, _ = closest_points(np.array([[1.5, 3, 0], [9, 9, 5]]), vertices, triangles)
    assert np.allclose(feet, [[1.5, 0, 0], [9, 9, 9]])
    assert np.allclose(distances, [3, 4]) and owners.tolist() == [0, 1]


def test_one_triangle_and_no_points() -> None:
    vertices, triangles = np.eye(3), np.array([[0, 1, 2]])
    assert np.allclose(closest_points(np.ones((1, 3)), vertices, triangles)[0], 1 / 3)
    assert [len(each) for each in closest_points(np.empty((0, 3)), vertices, triangles)] == [0, 0, 0, 0]
