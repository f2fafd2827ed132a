"""Triangle meshes as surfaces: the nearest point on them, their normals, areas and Laplacian."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
import trimesh
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from morphable.closest_point import closest_points

CANDIDATES = 12
"""Samples near a point whose triangles are tried; more than meet in a vertex."""
FINEST = 6
"""Samples along a side of a triangle, at most."""
TURNED_AWAY = 0.02
"""Metres that points count as further apart when their normals are at right angles."""


@dataclass(frozen=True)
class Footpoints:
    """The nearest points on a surface.

    Attributes:
        triangles: that each lies on.
        barycentric: where on it.
        points: in space.
        distances: from the points asked for.
    """

    triangles: Int[np.ndarray, " point"]
    barycentric: Float[np.ndarray, "point 3"]
    points: Float[np.ndarray, "point 3"]
    distances: Float[np.ndarray, " point"]


@dataclass(frozen=True)
class Surface:
    """A triangle mesh; counter-clockwise from outside. Everything derived from it is computed once, when asked for."""

    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]

    def closest(
        self, points: Float[np.ndarray, "point 3"], normals: Float[np.ndarray, "point 3"] | None = None
    ) -> Footpoints:
        """The nearest point of the surface to each point.

        Args:
            points: metres, if there are normals; else any unit.
            normals: of the points, unit; what faces another way then counts as further off, so that a point of the
                upper lip does not find the lower one where they touch. The nearest among the triangles of the nearest
                samples of the surface is given: exact for nearly all points, and off by up to some tenths of a
                millimetre for a few of a hundred on long triangles.
        """
        if normals is None:
            feet, distances, triangles, barycentric = closest_points(points, self.vertices, self.triangles)
            return Footpoints(triangles, barycentric, feet, distances)
        samples, owners = self._samples
        asked = np.concatenate([points, TURNED_AWAY / 2**0.5 * normals], 1)
        count = min(CANDIDATES, len(owners))
        near = owners[samples.query(asked, count)[1].reshape(len(points), count)]
        corners = self.corners[near.ravel()]
        feet = trimesh.triangles.closest_point(corners, np.repeat(points, count, 0)).reshape(len(points), count, 3)
        distances = np.linalg.norm(feet - points[:, None], axis=2)
        best = distances.argmin(1)
        each = np.arange(len(points))
        chosen, feet = near[each, best], feet[each, best]
        barycentric = trimesh.triangles.points_to_barycentric(self.corners[chosen], feet, method="cramer")
        barycentric = np.where(np.isfinite(barycentric).all(1, keepdims=True), barycentric.clip(0, 1), 1 / 3)
        return Footpoints(chosen, barycentric / barycentric.sum(1, keepdims=True), feet, distances[each, best])

    def at(
        self, triangles: Int[np.ndarray, " point"], barycentric: Float[np.ndarray, "point 3"]
    ) -> Float[np.ndarray, "point 3"]:
        """Points given by their triangles and where they lie on them."""
        return np.einsum("pk,pki->pi", barycentric, self.corners[triangles])

    @cached_property
    def corners(self) -> Float[np.ndarray, "triangle 3 3"]:
        return np.asarray(self.vertices[self.triangles], dtype=float)

    @cached_property
    def areas(self) -> Float[np.ndarray, " triangle"]:
        return np.linalg.norm(self._crosses, axis=1) / 2

    @cached_property
    def triangle_normals(self) -> Float[np.ndarray, "triangle 3"]:
        """Unit; 0 where a triangle has no area."""
        return _normalised(self._crosses)

    @cached_property
    def normals(self) -> Float[np.ndarray, "vertex 3"]:
        """Unit normals at the vertices, weighed by area; 0 where no triangle is."""
        total = self.incidence.T @ np.repeat(self._crosses, 3, axis=0)
        return _normalised(total)

    @cached_property
    def incidence(self) -> scipy.sparse.csr_matrix:
        """(3 triangle, vertex): which vertex each corner of a triangle is."""
        return selection(self.triangles.ravel(), len(self.vertices))

    @cached_property
    def boundary(self) -> Bool[np.ndarray, " vertex"]:
        """Vertices on edges that belong to one triangle alone."""
        edges = np.sort(self.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
        pairs, counts = np.unique(edges, axis=0, return_counts=True)
        on = np.zeros(len(self.vertices), bool)
        on[pairs[counts == 1]] = True
        return on

    @cached_property
    def stiffness(self) -> scipy.sparse.csr_matrix:
        """Cotangent Laplacian: fᵀ S f is the Dirichlet energy ∫|∇f|² of f (Pinkall & Polthier 1993)."""
        size = len(self.vertices)
        total = scipy.sparse.csr_matrix((size, size))
        for corner in range(3):
            i, j, k = (self.triangles[:, (corner + step) % 3] for step in range(3))
            a, b = (self.vertices[other] - self.vertices[i] for other in (j, k))
            sine = np.maximum(np.linalg.norm(np.cross(a, b), axis=1), 1e-12)
            half_cotangent = np.clip((a * b).sum(1) / sine, 0.02, 50) / 2
            total += scipy.sparse.csr_matrix((half_cotangent, (j, k)), (size, size))
        total = total + total.T
        return (scipy.sparse.diags(np.asarray(total.sum(1))[:, 0]) - total).tocsr()

    @cached_property
    def masses(self) -> Float[np.ndarray, " vertex"]:
        """A third of the area around each vertex."""
        return np.bincount(self.triangles.ravel(), np.repeat(self.areas / 3, 3), len(self.vertices))

    @cached_property
    def _crosses(self) -> Float[np.ndarray, "triangle 3"]:
        a, b, c = np.moveaxis(self.corners, 1, 0)
        return np.cross(b - a, c - a)

    @cached_property
    def _samples(self) -> tuple[cKDTree, Int[np.ndarray, " sample"]]:
        """Points all over the surface, about as far apart as its vertices are, with their normals as further
        coordinates, in metres; and whose triangles they are."""
        longest = np.linalg.norm(self.corners - np.roll(self.corners, 1, axis=1), axis=2).max(1)
        parts = np.clip(np.ceil(longest / max(np.median(longest), 1e-12)), 1, FINEST).astype(int)
        points, owners = [], []
        for count in np.unique(parts):
            members = np.flatnonzero(parts == count)
            weights = _inner_grid(count)
            points.append(np.einsum("sk,tki->tsi", weights, self.corners[members]).reshape(-1, 3))
            owners.append(np.repeat(members, len(weights)))
        whose = np.concatenate(owners)
        places = [np.concatenate(points), TURNED_AWAY / 2**0.5 * self.triangle_normals[whose]]
        return cKDTree(np.concatenate(places, 1)), whose


def selection(columns: Int[np.ndarray, " row"], width: int) -> scipy.sparse.csr_matrix:
    """The matrix that picks the given rows of a vector of `width`."""
    rows = np.arange(len(columns))
    return scipy.sparse.csr_matrix((np.ones(len(columns)), (rows, columns)), (len(columns), width))


def _inner_grid(count: int) -> Float[np.ndarray, "sample 3"]:
    """Barycentric coordinates of the centres of the `count`² triangles into which a triangle divides."""
    up = [(i + 1 / 3, j + 1 / 3) for i in range(count) for j in range(count - i)]
    down = [(i + 2 / 3, j + 2 / 3) for i in range(count - 1) for j in range(count - 1 - i)]
    first, second = np.array(up + down).T / count
    return np.stack([first, second, 1 - first - second], 1)


def _normalised(vectors: Float[np.ndarray, "item 3"]) -> Float[np.ndarray, "item 3"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 0, vectors / np.where(lengths > 0, lengths, 1), 0.0)
