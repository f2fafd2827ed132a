"""The nearest point of a triangle mesh, exactly.

A triangle whose centroid is c and whose corners lie within r of it is no nearer to a point p than |p - c| - r. So the
distance to any one triangle bounds where the centroid of the nearest triangle can be, and a k-d tree of centroids finds
all that come into question. Triangles of like size share a tree, so that a few large ones do not widen the search among
the small ones.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

FIRST = 12
"""Triangles of each size that are looked at first; for points near the surface, hardly ever can another be nearer."""
PAIRS = 400_000
"""Points paired with triangles at a time, to bound memory."""
FLAT = 1e-14
"""Squared sine of its angle at or below which a triangle is no more than its edges."""
SLACK = 1e-9
"""By which bounds are widened against rounding, relative to the mesh's size."""


def closest_points(
    points: Float[np.ndarray, "point 3"],
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
) -> tuple[
    Float[np.ndarray, "point 3"],
    Float[np.ndarray, " point"],
    Int[np.ndarray, " point"],
    Float[np.ndarray, "point 3"],
]:
    """The nearest points on the surface, their distances, the triangles they lie on, and where on those.

    Any unit; whatever the triangles' sizes and shapes, those without area included.

    Args:
        points: all finite.
        vertices, triangles: the mesh, of one triangle at least.
    """
    search = _Search(np.asarray(points, float), np.asarray(vertices, float)[triangles])
    sizes = [(members, cKDTree(search.centroids[members])) for members in _of_like_size(search.radii)]
    seen = [search.try_nearest(members, tree) for members, tree in sizes]
    for (members, tree), horizon in zip(sizes, seen, strict=True):
        search.try_within_reach(members, tree, search.distances > horizon)
    barycentric = _barycentric(search.points, search.corners[search.nearest])
    feet = np.einsum("pk,pki->pi", barycentric, search.corners[search.nearest])
    return feet, search.distances, search.nearest, barycentric


class _Search:
    """The nearest triangle known so far for each point, and its distance."""

    def __init__(self, points: Float[np.ndarray, "point 3"], corners: Float[np.ndarray, "triangle 3 3"]) -> None:
        self.points, self.corners = points, corners
        self.centroids = corners.mean(1)
        extent = np.ptp(corners.reshape(-1, 3), axis=0).max()
        self.radii = np.linalg.norm(corners - self.centroids[:, None], axis=2).max(1) + SLACK * extent
        self.nearest = np.zeros(len(points), int)
        self.distances = np.full(len(points), np.inf)

    def try_nearest(self, members: Int[np.ndarray, " member"], tree: cKDTree) -> Float[np.ndarray, " point"]:
        """Tries the few nearest members; returns how near a surface cannot be that belongs to any other of them."""
        count = min(FIRST, len(members))
        ranges, near = tree.query(self.points, range(1, count + 1))
        each = np.arange(len(self.points))
        self._try(each, members[near[:, 0]])
        if count > 1:
            each, ranges_, near_ = np.repeat(each, count - 1), ranges[:, 1:].ravel(), members[near[:, 1:].ravel()]
            hopeful = ranges_ - self.radii[near_] < self.distances[each]
            self._try(each[hopeful], near_[hopeful])
        everything = count == len(members)
        return np.full(len(self.points), np.inf) if everything else ranges[:, -1] - self.radii[members].max()

    def try_within_reach(
        self, members: Int[np.ndarray, " member"], tree: cKDTree, chosen: Bool[np.ndarray, " point"]
    ) -> None:
        """Tries, for the chosen points, all members that may be nearer than what is known."""
        reach = self.distances + self.radii[members].max()
        for each, near in _within(tree, self.points, reach, np.flatnonzero(chosen)):
            triangles = members[near]
            ranges = np.linalg.norm(self.points[each] - self.centroids[triangles], axis=1)
            hopeful = ranges - self.radii[triangles] < self.distances[each]
            self._try(each[hopeful], triangles[hopeful])

    def _try(self, each: Int[np.ndarray, " pair"], triangles: Int[np.ndarray, " pair"]) -> None:
        """Takes up what is nearer among pairs of a point and a triangle; the points in ascending order."""
        if not len(each):
            return
        corners = self.corners[triangles]
        barycentric = _barycentric(self.points[each], corners)
        distances = np.linalg.norm(self.points[each] - np.einsum("pk,pki->pi", barycentric, corners), axis=1)
        start = np.flatnonzero(np.diff(each, prepend=-1))
        least = np.minimum.reduceat(distances, start)
        nearer = (distances == np.repeat(least, np.diff(start, append=len(each)))) & (distances < self.distances[each])
        self.nearest[each[nearer]] = triangles[nearer]
        self.distances[each[nearer]] = distances[nearer]


def _of_like_size(radii: Float[np.ndarray, " triangle"]) -> list[Int[np.ndarray, " member"]]:
    """Triangles grouped by their radii, to a factor of two."""
    octaves = np.floor(np.log2(np.maximum(radii, np.finfo(float).tiny)))
    return [np.flatnonzero(octaves == octave) for octave in np.unique(octaves)]


def _within(
    tree: cKDTree,
    points: Float[np.ndarray, "point 3"],
    reach: Float[np.ndarray, " point"],
    chosen: Int[np.ndarray, " chosen"],
) -> Iterator[tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]]:
    """All pairs of a chosen point and an item of the tree within its reach, in batches; points in ascending order."""
    counts = tree.query_ball_point(points[chosen], reach[chosen], return_length=True)
    for batch in np.split(np.arange(len(chosen)), np.flatnonzero(np.diff(np.cumsum(counts) // PAIRS)) + 1):
        if counts[batch].any():
            found = tree.query_ball_point(points[chosen[batch]], reach[chosen[batch]], return_sorted=False)
            yield np.repeat(chosen[batch], counts[batch]), np.concatenate(found).astype(int)


def _barycentric(
    points: Float[np.ndarray, "pair 3"], corners: Float[np.ndarray, "pair 3 3"]
) -> Float[np.ndarray, "pair 3"]:
    """Where on each triangle the point nearest to its partner lies: at the foot of the perpendicular if that falls
    inside, else on the nearest of the three edges. With v and w the coordinates along ab and ac, the squared distance
    is a quadratic in the scalar products alone."""
    ab, ac, ap = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    bb, bc, cc, pb, pc = (np.einsum("pi,pi->p", *pair) for pair in ((ab, ab), (ab, ac), (ac, ac), (ap, ab), (ap, ac)))
    area = bb * cc - bc * bc
    v, w = _ratio(cc * pb - bc * pc, area), _ratio(bb * pc - bc * pb, area)
    inside = (v >= 0) & (w >= 0) & (v + w <= 1) & (area > FLAT * bb * cc)

    along_ab, along_ac = _share(pb, bb), _share(pc, cc)
    along_bc = _share(bb - bc + pc - pb, bb - 2 * bc + cc)
    zero = np.zeros_like(v)
    vs = np.stack([along_ab, zero, 1 - along_bc])
    ws = np.stack([zero, along_ac, along_bc])
    squares = vs * vs * bb + 2 * vs * ws * bc + ws * ws * cc - 2 * (vs * pb + ws * pc)
    edge = squares.argmin(0)[None]
    v = np.where(inside, v, np.take_along_axis(vs, edge, 0)[0])
    w = np.where(inside, w, np.take_along_axis(ws, edge, 0)[0])
    return np.stack([1 - v - w, v, w], 1)


def _share(part: Float[np.ndarray, " pair"], whole: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " pair"]:
    return np.clip(_ratio(part, whole), 0, 1)


def _ratio(part: Float[np.ndarray, " pair"], whole: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " pair"]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
