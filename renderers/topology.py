"""What depends only on the triangle list, computed once and remembered for as long as the tensor lives."""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary


class Topology(NamedTuple):
    """A triangle list made ready for the kernels: int32, contiguous; `vertices` is one more than its largest index."""

    triangles: Int[Tensor, "triangle 3"]
    vertices: int


def prepare(triangles: Int[Tensor, "triangle 3"], device: torch.device) -> Topology:
    """Check and convert a triangle list.

    Raises:
        ValueError: wrong shape, element type or device, or a negative index.
    """
    return _remembered(_topologies, triangles, device, _prepare)


def neighbours(triangles: Int[Tensor, "triangle 3"], device: torch.device) -> Int[Tensor, "triangle 3"]:
    """The triangle beyond each edge: entry (t, k) shares the edge of t opposite its corner k; -1 where the edge belongs
    to one triangle or to more than two."""
    return _remembered(_neighbours, triangles, device, _find_neighbours)


_topologies = WeakIdKeyDictionary()
_neighbours = WeakIdKeyDictionary()


def _remembered(memory, triangles, device, compute):
    if triangles.device != device:
        raise ValueError(f"triangles are on {triangles.device}, the vertices on {device}")
    version = None if triangles.is_inference() else triangles._version
    known = memory.get(triangles)
    if known is None or known[0] != version:
        known = memory[triangles] = (version, compute(triangles))
    return known[1]


def _prepare(triangles: Tensor) -> Topology:
    if triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(f"triangles must have shape (triangle, 3), not {tuple(triangles.shape)}")
    if triangles.is_floating_point() or triangles.is_complex() or triangles.dtype == torch.bool:
        raise ValueError(f"triangles must hold integers, not {triangles.dtype}")
    if triangles.numel() == 0:
        return Topology(triangles.to(torch.int32), 0)
    if int(triangles.min()) < 0:
        raise ValueError("triangles holds a negative vertex index")
    return Topology(triangles.to(torch.int32).contiguous().clone(), int(triangles.max()) + 1)


def _find_neighbours(triangles: Tensor) -> Tensor:
    corners = triangles.long()
    ends = torch.stack([corners.roll(-1, 1), corners.roll(-2, 1)], dim=-1).reshape(-1, 2)
    low, high = ends.min(-1).values, ends.max(-1).values
    edge, order = torch.sort(low * (int(triangles.max()) + 1 if len(triangles) else 1) + high)
    _, run, size = torch.unique_consecutive(edge, return_inverse=True, return_counts=True)
    shared = order[size[run] == 2].view(-1, 2)
    beyond = torch.full_like(order, -1)
    beyond[shared] = shared.flip(1) // 3
    return beyond.view(-1, 3).to(torch.int32)
