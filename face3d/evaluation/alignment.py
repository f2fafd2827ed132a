"""Laying a predicted face onto a scan so that the scan's points are nearest to it, in the least-squares sense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from face3d.registration.alignment import Similarity, aligning
from morphable.closest_point import closest_points

POINTS = 3000
"""Of the scan that take part, spread evenly over its list."""
STEPS = 30
CONVERGED = 1e-4
"""Share of the squared error by which a step must lower it."""
WEAKEST = 1e-4
"""Motions that matter less than this share of the strongest are left alone, such as a sphere's about its centre."""


def refined(
    start: Similarity,
    points: Float[np.ndarray, "point 3"],
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    scaled: bool,
) -> Similarity:
    """The motion of a mesh that makes the sum of the points' squared distances to it least, from a start that is near.

    Gauss–Newton steps on the distances along the surface's normals (Chen & Medioni 1992) where they help, else steps to
    the nearest points themselves (Besl & McKay 1992), which never harm.

    Args:
        points: of the scan.
        scaled: whether the mesh may grow.
    """
    centre = Similarity(1.0, np.eye(3), -points.mean(0))
    chosen = centre(points[np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int)])
    now = _Placed.at(centre.after(start), chosen, vertices, triangles)
    for _ in range(STEPS):
        before = now.error
        for step in (_along_normals, _to_feet):
            then = _Placed.at(step(now, scaled), chosen, vertices, triangles)
            if then.error < now.error:
                now = then
                break
        if now.error >= (1 - CONVERGED) * before:
            break
    return centre.inverse().after(now.motion)


@dataclass(frozen=True)
class _Placed:
    """A mesh in its place, and the points' nearest points on it."""

    motion: Similarity
    points: Float[np.ndarray, "point 3"]
    feet: Float[np.ndarray, "point 3"]
    normals: Float[np.ndarray, "point 3"]
    error: float

    @classmethod
    def at(
        cls,
        motion: Similarity,
        points: Float[np.ndarray, "point 3"],
        vertices: Float[np.ndarray, "vertex 3"],
        triangles: Int[np.ndarray, "triangle 3"],
    ) -> _Placed:
        moved = motion(vertices)
        feet, distances, owners, _ = closest_points(points, moved, triangles)
        a, b, c = np.moveaxis(moved[triangles[owners]], 1, 0)
        normals = np.cross(b - a, c - a)
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        normals = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
        return cls(motion, points, feet, normals, float(np.square(distances).sum()))


def _along_normals(now: _Placed, scaled: bool) -> Similarity:
    """The small motion of the feet that best meets the points' distances along the normals."""
    size = np.abs(now.feet).max()
    columns = [np.cross(now.feet / size, now.normals), now.normals]
    if scaled:
        columns.append((now.feet / size * now.normals).sum(1, keepdims=True))
    gaps = ((now.points - now.feet) * now.normals).sum(1)
    solution = np.linalg.lstsq(np.concatenate(columns, 1), gaps, rcond=WEAKEST)[0]
    growth = solution[6] / size if scaled else 0.0
    return now.motion.moved(solution[:3] / size, solution[3:6], float(growth))


def _to_feet(now: _Placed, scaled: bool) -> Similarity:
    return aligning(now.feet, now.points, scaled).after(now.motion)
