"""What a scene is made of: pieces of surface with colours of their own, beside the head."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from face3d.synth.classes import INDEX

Mesh = tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "triangle 3"], Float[np.ndarray, "vertex 3"]]
"""Vertices (metres), triangles, and unit normals of vertices."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A mesh in one class.

    Attributes:
        vertices: in the world, metres.
        triangles: of its own vertices; both sides are drawn.
        normals: unit normals, or tangents where it is fibres.
        colour: linear albedo.
        name: its class.
        gloss: how strongly it shines.
        openness: share of the sky that each vertex sees.
        opacity: 1, or less for what is drawn over all else that lies behind it.
        strip: triangles of each lock, where the piece is locks of hair; else 0.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    normals: Float[np.ndarray, "vertex 3"]
    colour: Float[np.ndarray, "vertex 3"]
    name: str
    gloss: float = 0.1
    openness: Float[np.ndarray, " vertex"] | None = None
    opacity: float = 1.0
    strip: int = 0

    @property
    def index(self) -> int:
        return INDEX[self.name]


def grid_triangles(rows: int, columns: int, closed: bool = False) -> Int[np.ndarray, "triangle 3"]:
    """Of a grid of vertices, row by row; with its last column joined to the first one if closed."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    following = (j + 1) % columns
    a, b, c, d = i * columns + j, i * columns + following, (i + 1) * columns + j, (i + 1) * columns + following
    return np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])


def ring_mesh(places: Float[np.ndarray, "row column 3"]) -> Mesh:
    """A surface through rows of places, each of them a closed ring."""
    rows, columns, _ = places.shape
    vertices, triangles = places.reshape(-1, 3).astype(np.float32), grid_triangles(rows, columns, closed=True)
    return vertices, triangles, normals_of(vertices, triangles)


def normals_of(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]
) -> Float[np.ndarray, "vertex 3"]:
    """Unit normals of vertices, weighed by area."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(faces[:, k], 3), len(vertices)) for k in range(3)], 1
    ).astype(np.float32)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)


def unit(vectors: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 3"]:
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-9)


def tube(
    path: Float[np.ndarray, "point 3"],
    radius: Float[np.ndarray, " point"] | float,
    sides: int = 6,
    closed: bool = False,
) -> Mesh:
    """A tube around a path. A closed path joins its end to its start."""
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent = unit(along)
    spare = np.where(np.abs(tangent[:, 1:2]) > 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    first = unit(np.cross(tangent, spare))
    second = np.cross(tangent, first)
    turn = np.arange(sides) / sides * 2 * np.pi
    normals = first[:, None] * np.cos(turn)[:, None] + second[:, None] * np.sin(turn)[:, None]
    vertices = path[:, None] + normals * np.broadcast_to(radius, len(path))[:, None, None]
    triangles = grid_triangles(len(path), sides, closed=True)
    if closed:
        last, here = (len(path) - 1) * sides, np.arange(sides)
        there = (here + 1) % sides
        joint = [np.stack([last + here, here, last + there], 1), np.stack([last + there, here, there], 1)]
        triangles = np.concatenate([triangles, *joint])
    return vertices.reshape(-1, 3).astype(np.float32), triangles[:, ::-1], normals.reshape(-1, 3).astype(np.float32)


def joined(parts: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _, _ in parts[:-1]])
    triangles = np.concatenate([t + start for (_, t, _), start in zip(parts, starts, strict=True)])
    return np.concatenate([p[0] for p in parts]), triangles, np.concatenate([p[2] for p in parts])


def plain(vertices: np.ndarray, colour: Sequence[float] | np.ndarray) -> Float[np.ndarray, "vertex 3"]:
    """One colour for all vertices."""
    return np.broadcast_to(np.asarray(colour, np.float32), (len(vertices), 3))
