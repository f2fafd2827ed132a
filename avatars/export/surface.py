"""Seams and normals: what a file needs to know about a surface beyond its vertices and triangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

TEXTURES = {
    "eye_left": "eyes",
    "eye_right": "eyes",
    "teeth_upper": "teeth",
    "teeth_lower": "teeth",
}
"""The texture of a part, where it is not called as the part."""

ROUGHNESS = {"head": 0.5, "eyes": 0.08, "teeth": 0.25, "tongue": 0.4, "lashes": 0.9}
"""Of each material, set by eye under three.js's lights: skin is satin, eyes and teeth are wet."""

NORMAL_STEP = 1e-3
"""A shape leaves normals alone that it would turn by less than this (radians)."""


class Split(NamedTuple):
    """A surface whose vertices have one texture coordinate each.

    `sources` names the vertex that each split vertex copies; the first `count` are the vertices themselves, in order,
    and the copies along the seams follow.
    """

    sources: Int[np.ndarray, " split"]
    uv: Float[np.ndarray, "split 2"]
    triangles: Int[np.ndarray, "triangle 3"]


def split_seams(
    triangles: Int[np.ndarray, "triangle 3"],
    uv_triangles: Int[np.ndarray, "triangle 3"],
    uv: Float[np.ndarray, "coordinate 2"],
    count: int,
) -> Split:
    """Gives each of `count` vertices a copy for every further texture coordinate that its triangles use."""
    corners = np.stack([triangles.ravel(), uv_triangles.ravel()], axis=1)
    pairs, pair_of_corner = np.unique(corners, axis=0, return_inverse=True)
    is_copy = np.concatenate([[False], pairs[1:, 0] == pairs[:-1, 0]])

    split_of_pair = pairs[:, 0].copy()
    split_of_pair[is_copy] = count + np.arange(is_copy.sum())
    sources = np.concatenate([np.arange(count), pairs[is_copy, 0]])
    split_uv = np.zeros((len(sources), 2), dtype=np.float32)
    split_uv[split_of_pair] = uv[pairs[:, 1]]
    return Split(sources, split_uv, split_of_pair[pair_of_corner.ravel()].reshape(-1, 3))


def vertex_normals(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]
) -> Float[np.ndarray, "vertex 3"]:
    """Unit normals, each the area-weighted mean over the triangles around a vertex; +z where there is none."""
    a, b, c = np.moveaxis(vertices[triangles].astype(np.float64), 1, 0)
    facing = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    corners = triangles.ravel()
    sums = np.stack([np.bincount(corners, facing[:, axis], len(vertices)) for axis in range(3)], axis=1)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), [0.0, 0.0, 1.0]).astype(np.float32)


def shape_normals(
    neutral: Float[np.ndarray, "vertex 3"],
    shapes: Float[np.ndarray, "shape vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "shape vertex 3"]]:
    """The neutral's `vertex_normals`, and what each shape adds to those that it turns by NORMAL_STEP or more."""
    normals = vertex_normals(neutral, triangles)
    turns = np.stack([vertex_normals(neutral + offsets, triangles) - normals for offsets in shapes])
    turns[np.linalg.norm(turns, axis=2) < NORMAL_STEP] = 0
    return normals, turns
