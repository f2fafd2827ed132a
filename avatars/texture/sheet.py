"""Where each triangle of an avatar's surface is on its texture."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from avatars.neural.driving import Cloth
from avatars.painting import COLUMN, opaque_triangles, paint
from morphable import Head


class Sheet(NamedTuple):
    """The skin on the left, other parts in a column as `avatars.painting.paint` lays them out, cloth on the right.

    Attributes:
        uv: texture coordinates, (0, 0) at the top-left.
        triangles: corners in `uv` of each of the surface's triangles.
    """

    uv: Float[Tensor, "corner 2"]
    triangles: Int[Tensor, "triangle 3"]

    @classmethod
    def of(cls, head: Head, cloth: Cloth, size: int) -> Sheet:
        """Of a texture that is so many texels high, as `sheet_size` says."""
        _, width = sheet_size(size)
        layout = head.layout
        shrink = torch.tensor([1 - (size // 2) / width, 1.0])
        own = paint(layout, {}, size).uv * shrink
        corners = torch.as_tensor(layout.uv_triangles)[opaque_triangles(layout)].long()
        uv = torch.cat([own, _of_cloth(cloth, size, width)])
        return cls(uv, torch.cat([corners, cloth.triangles.long() + len(own)]))


def sheet_size(size: int) -> tuple[int, int]:
    """Height and width of a texture whose skin has so many texels a side."""
    return size, size + size // COLUMN + size // 2


def _of_cloth(cloth: Cloth, size: int, width: int) -> Float[Tensor, "vertex 2"]:
    """Seen from the front, a texel from the edges."""
    if not len(cloth.vertices):
        return torch.zeros(0, 2)
    low, high = (edge[:2] for edge in (cloth.vertices.amin(0), cloth.vertices.amax(0)))
    share = (cloth.vertices[:, :2] - low) / (high - low).clamp(min=1e-6)
    x = width - size // 2 + 1 + share[:, 0] * (size // 2 - 2)
    y = 1 + (1 - share[:, 1]) * (size - 2)
    return torch.stack([x / width, y / size], -1)
