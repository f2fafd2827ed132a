from __future__ import annotations

import numpy as np

from avatars.export.surface import split_seams, vertex_normals


def test_seams_split_and_nothing_else(model) -> None:
    split = split_seams(model.triangles, model.uv_triangles, model.uv, len(model.neutral))
    assert np.array_equal(split.sources[split.triangles], model.triangles)
    assert np.array_equal(split.uv[split.triangles], model.uv[model.uv_triangles])
    assert np.array_equal(split.sources[: len(model.neutral)], np.arange(len(model.neutral)))
    assert len(split.sources) == len(model.uv)  # one coordinate for each vertex, two for those on a seam


def test_vertices_without_triangles_stay() -> None:
    split = split_seams(np.array([[3, 1, 2]]), np.array([[0, 1, 2]]), np.eye(3, 2), 5)
    assert np.array_equal(split.sources, np.arange(5))
    assert np.array_equal(split.triangles, [[3, 1, 2]])
    assert np.array_equal(split.uv, [(0, 0), (0, 1), (0, 0), (1, 0), (0, 0)])


def test_normals_point_out_and_ignore_seams(model) -> None:
    part = model.parts["eye_left"].vertices
    normals = vertex_normals(model.neutral, model.triangles)[part]
    eye = model.neutral[part]
    outward = (eye - eye.mean(axis=0)) / 0.012  # its radius
    middle = slice(12, -12)  # the rings at the poles are open
    assert np.all(np.sum(normals * outward, axis=1)[middle] > 0.95)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)


def test_vertices_without_area_still_have_a_normal() -> None:
    normals = vertex_normals(np.zeros((4, 3), dtype=np.float32), np.array([[0, 1, 2]]))
    assert np.array_equal(normals, np.tile([0, 0, 1], (4, 1)))
