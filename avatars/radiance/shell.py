"""The space about a posed surface, and from where about the surface in its canonical pose each point has come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor

from avatars.neural.driving import Frames, Moment, Surface
from renderers import OccupancyGrid

CELL = 0.005
"""Metres."""
OUTSIDE, INSIDE = 0.025, 0.01
"""Metres from the surface within which anything is."""
EMPTY = -1
CANDIDATES = 4
"""Triangles near a cell, one of which is the nearest to a point in it."""


@dataclass(frozen=True)
class Shell:
    """The space about a surface at one moment.

    Attributes:
        grid: cells in it.
        triangles: of each of the grid's cells those near its middle, the nearest first; EMPTY where it is not occupied.
    """

    grid: OccupancyGrid
    triangles: Int[Tensor, "cell candidate"]


def shell_of(vertices: Float[Tensor, "vertex 3"], triangles: Int[Tensor, "triangle 3"]) -> Shell:
    """Of a posed surface, metres."""
    corners = vertices.detach()[triangles]
    centres = corners.mean(1)
    low = centres.amin(0) - OUTSIDE - CELL
    shape = ((centres.amax(0) + OUTSIDE + CELL - low) / CELL).ceil().long().tolist()
    on = np.ones(shape, bool)
    on[tuple(((centres - low) / CELL).long().T.numpy())] = False
    near = distance_transform_edt(on) * CELL < OUTSIDE + CELL
    cells = np.flatnonzero(near)
    middles = np.stack(np.unravel_index(cells, shape), -1) * CELL + CELL / 2 + low.numpy()
    away, near_by = cKDTree(centres.numpy()).query(middles, CANDIDATES)
    nearest = near_by[:, 0]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.nn.functional.normalize(normals, dim=-1).numpy()
    height = ((middles - centres.numpy()[nearest]) * normals[nearest]).sum(1)
    inside = (away[:, 0] < OUTSIDE) & (height > -INSIDE)
    found = torch.full((int(np.prod(shape)), CANDIDATES), EMPTY, dtype=torch.int32)
    found[torch.as_tensor(cells[inside])] = torch.as_tensor(near_by[inside].astype(np.int32))
    return Shell(OccupancyGrid(low, CELL, (found[:, 0] != EMPTY).view(shape)), found)


class Carrying:
    """Takes points about a posed surface to where they are about the canonical one.

    A point's foot on its triangle keeps its barycentric coordinates, and its offset from the foot turns with the
    triangle. Where triangles meet, feet do.
    """

    def __init__(self, surface: Surface, canonical: Moment) -> None:
        self.triangles = surface.triangles
        self.corners = surface.vertices(canonical)[self.triangles]
        self.rotation = surface.frames(canonical).rotation

    @torch.no_grad()
    def nearest(
        self,
        points: Float[Tensor, "point 3"],
        candidates: Int[Tensor, "point candidate"],
        vertices: Float[Tensor, "vertex 3"],
    ) -> Int[Tensor, " point"]:
        """Which of the candidate triangles of the posed surface is the nearest."""
        corners = vertices[self.triangles].view(-1, 9)
        away = []
        for triangle in candidates.long().unbind(1):
            posed = corners.index_select(0, triangle).view(-1, 3, 3)
            foot = (_clamped_barycentric(points, posed)[..., None] * posed).sum(1)
            away.append((points - foot).square().sum(-1))
        best = torch.stack(away, 1).argmin(1, keepdim=True)
        return candidates.long().gather(1, best)[:, 0]

    def __call__(
        self,
        points: Float[Tensor, "point 3"],
        triangle: Int[Tensor, " point"],
        vertices: Float[Tensor, "vertex 3"],
        frames: Frames,
    ) -> Float[Tensor, "point 3"]:
        """About the canonical surface, metres, with gradients to the posed one.

        Args:
            points: in the world.
            triangle: of each, the nearest.
            vertices, frames: of the posed surface.
        """
        posed = vertices.index_select(0, self.triangles.flatten()).view(-1, 9).index_select(0, triangle).view(-1, 3, 3)
        shares = _clamped_barycentric(points, posed)[..., None]
        foot = (shares * posed).sum(1)
        origin = (shares * self.corners.index_select(0, triangle)).sum(1)
        turn = self.rotation @ frames.rotation.mT
        return origin + (turn.index_select(0, triangle) @ (points - foot)[..., None])[..., 0]


def _clamped_barycentric(
    points: Float[Tensor, "point 3"], corners: Float[Tensor, "point 3 3"]
) -> Float[Tensor, "point 3"]:
    """Of the points' feet on their triangles' planes, those beyond an edge held on it."""
    ab, ac, ap = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    bb, bc, cc, pb, pc = ((one * other).sum(-1) for one, other in ((ab, ab), (ab, ac), (ac, ac), (ap, ab), (ap, ac)))
    area = (bb * cc - bc * bc).clamp(min=1e-18)
    v, w = (cc * pb - bc * pc) / area, (bb * pc - bc * pb) / area
    shares = torch.stack([1 - v - w, v, w], -1).clamp(0, 1)
    return shares / shares.sum(-1, keepdim=True).clamp(min=1e-6)
