import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def ellipsoid(columns: int = 16, rows: int = 8, radii: tuple[float, float, float] = (0.08, 0.11, 0.09)):
    """Vertices and outward triangles of a closed ellipsoid in metres: 2 * columns * (rows - 1) triangles."""
    polar = torch.linspace(0, math.pi, rows + 1)[1:-1, None]
    around = (torch.arange(columns) * (2 * math.pi / columns))[None]
    ring = torch.stack([polar.sin() * around.sin(), polar.cos().expand(-1, columns), polar.sin() * around.cos()], -1)
    poles = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    top, bottom = columns * (rows - 1), columns * (rows - 1) + 1
    i, j = torch.meshgrid(torch.arange(rows - 2), torch.arange(columns), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    j = torch.arange(columns)
    last = columns * (rows - 2)
    triangles = torch.cat(
        [
            torch.stack([a, c, b], -1).reshape(-1, 3),
            torch.stack([b, c, d], -1).reshape(-1, 3),
            torch.stack([torch.full_like(j, top), j, (j + 1) % columns], -1),
            torch.stack([torch.full_like(j, bottom), last + (j + 1) % columns, last + j], -1),
        ]
    )
    return torch.cat([ring.reshape(-1, 3), poles]) * torch.tensor(radii), triangles


@pytest.fixture
def make_ellipsoid() -> Callable[..., tuple[Tensor, Tensor]]:
    return ellipsoid


@pytest.fixture
def soup() -> Callable[..., tuple[Tensor, Tensor]]:
    """Random clip-space triangles in front of the camera: overlapping, of either orientation, partly off screen."""

    def make(batch: int = 2, vertices: int = 18, triangles: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        depth = 0.5 + 2.0 * torch.rand(batch, vertices, 1, generator=generator)
        plane = (2.4 * torch.rand(batch, vertices, 2, generator=generator) - 1.2) * depth
        height = (2.0 * torch.rand(batch, vertices, 1, generator=generator) - 1.0) * depth
        index = torch.stack([torch.randperm(vertices, generator=generator)[:3] for _ in range(triangles)])
        return torch.cat([plane, height, depth], dim=-1), index

    return make
