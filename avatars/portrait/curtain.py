"""What surrounds the head in a photo — hair, ears, neck, shoulders — as a sheet through its surface that follows it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu
from torch import Tensor

from renderers import Camera, Fragments

CELLS = 72
"""Along the longer side of the sheet."""
STIFFNESS = 0.5
"""How strongly it is held to the head's surface, against smoothness over one cell."""
ENDLESS = 1e4
"""Cells: the reach of what does not fade."""


class Curtain:
    """A grid over a picture. Where it lies on the head it moves much as the head's surface does; from there its motion
    and its depth fade away smoothly (a screened Poisson equation), the motion to nothing at its border.

    Attributes:
        points: at rest, in the camera's axes, metres.
        pixels: where they are seen there.
        triangles: of the sheet.
    """

    def __init__(self, camera: Camera, head: Fragments, follows: Float[Tensor, "height width"], reach: float) -> None:
        """
        Args:
            head: what each pixel sees of the head at rest.
            follows: how much the sheet lies on the head's surface, from 0 to 1; 0 where there is no head.
            reach: of the motion around the head, pixels.
        """
        height, width = camera.resolution
        step = max(height, width) / CELLS
        rows, columns = max(3, round(height / step) + 1), max(3, round(width / step) + 1)
        grid = torch.meshgrid(torch.linspace(0, height, rows), torch.linspace(0, width, columns), indexing="ij")
        self.pixels = torch.stack([grid[1], grid[0]], -1).reshape(-1, 2)
        self.triangles = _grid_triangles(rows, columns)
        place = self.pixels.long().clamp(max=torch.tensor([width - 1, height - 1]))
        x, y = place.unbind(1)
        followed = follows[y, x].double().numpy()
        border = _border(rows, columns)
        inner = (followed > 0) & ~border
        self.pixels[inner] = place[inner] + 0.5
        self.triangle, self.barycentric = head.triangle[0, y, x].clamp(min=0).long(), head.barycentric[0, y, x]
        self._motion = _Extension(rows, columns, followed, reach / step, border)
        depth = _Extension(rows, columns, followed, ENDLESS, np.zeros_like(border))(head.depth[0, y, x][:, None])
        rays = (self.pixels - camera.principal) / camera.focal
        self.points = torch.cat([rays, torch.ones(len(rays), 1)], 1) * depth

    def moved(self, corners: Int[Tensor, "triangle 3"], motion: Float[Tensor, "vertex 3"]) -> Float[Tensor, "point 3"]:
        """The sheet's points when the head's vertices have moved that far, all in the camera's axes."""
        own = (motion[corners[self.triangle].long()] * self.barycentric[..., None]).sum(1)
        return self.points + self._motion(own)


class _Extension:
    """From values at some points of a grid to smooth ones at all of them."""

    def __init__(
        self,
        rows: int,
        columns: int,
        trust: Float[np.ndarray, " point"],
        reach: float,
        zero: Bool[np.ndarray, " point"],
    ) -> None:
        """`trust` in values at the points, `reach` from them in cells; `zero` where the result is 0."""
        self.pull = STIFFNESS * trust[~zero]
        self.free, self.size = np.flatnonzero(~zero), len(zero)
        operator = csc_array(_laplacian(rows, columns) + diags_array(np.full(self.size, reach**-2)))
        self.solver = splu(csc_array(operator[self.free][:, self.free] + diags_array(self.pull)))

    def __call__(self, values: Float[Tensor, "point channel"]) -> Float[Tensor, "point channel"]:
        spread = np.zeros((self.size, values.shape[1]))
        spread[self.free] = self.solver.solve(self.pull[:, None] * values.double().numpy()[self.free])
        return torch.as_tensor(spread, dtype=torch.float32)


def _laplacian(rows: int, columns: int) -> csc_array:
    """Of a grid's graph: positive, rows sum to zero."""
    index = np.arange(rows * columns).reshape(rows, columns)
    ends = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:])]
    one, other = (np.concatenate([pair[side].ravel() for pair in ends]) for side in (0, 1))
    links = csc_array((np.ones(len(one)), (one, other)), shape=(index.size, index.size))
    links = links + links.T
    return csc_array(diags_array(links.sum(axis=1)) - links)


def _border(rows: int, columns: int) -> Bool[np.ndarray, " point"]:
    border = np.ones((rows, columns), dtype=bool)
    border[1:-1, 1:-1] = False
    return border.ravel()


def _grid_triangles(rows: int, columns: int) -> Int[Tensor, "triangle 3"]:
    index = torch.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (each.flatten() for each in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    return torch.cat([torch.stack([a, c, b], 1), torch.stack([b, c, d], 1)]).int()
