"""Features of points in space: hashed grids of several resolutions (Müller et al., "Instant Neural Graphics Primitives
with a Multiresolution Hash Encoding", 2022)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

PRIMES = (1, 2_654_435_761, 805_459_861)
"""Of the hash, equation 4."""


def growing_resolutions(coarsest: int, finest: int, levels: int) -> tuple[int, ...]:
    """Cells along each axis at each level, growing by one factor (equations 2 and 3)."""
    if levels == 1:
        return (coarsest,)
    growth = (finest / coarsest) ** (1 / (levels - 1))
    return tuple(int(coarsest * growth**level + 1e-6) for level in range(levels))


def hash_encoding(
    points: Float[Tensor, "point 3"], tables: Float[Tensor, "level entry feature"], resolutions: Sequence[int]
) -> Float[Tensor, "point level*feature"]:
    """Features of points, level by level, coarsest first: trilinear among the corners of the cell that a point is in.

    A level whose corners are no more than its table's entries has an entry for each; else corners share entries by a
    hash of their coordinates. Gradients flow to points and tables; they are continuous within cells, the features are
    so everywhere. On the CPU gradients are the same to the bit each time.

    Args:
        points: in [0, 1]; those beyond count as on the edge.
        tables: a power of 2 of entries each.
        resolutions: cells along each axis, one for each level.

    Raises:
        ValueError: a table's length is no power of 2, or there are not as many tables as resolutions.
    """
    levels, entries, features = tables.shape
    if entries & (entries - 1):
        raise ValueError(f"a table has a power of 2 of entries, not {entries}")
    if levels != len(resolutions):
        raise ValueError(f"{levels} tables cannot serve {len(resolutions)} resolutions")
    inside = points.clamp(0, 1)
    encoded = []
    for table, resolution in zip(tables, resolutions, strict=True):
        place = inside * resolution
        corner = place.detach().floor().clamp(max=resolution - 1)
        rows = corner_entries(corner.long(), resolution, entries)
        # Unlike that of indexing, the gradient of index_select is summed in one order whatever the threads do.
        found = table.index_select(0, rows.flatten()).view(-1, 2, 2, 2, features)
        for share in (place - corner).unbind(-1):
            found = torch.lerp(found[:, 0], found[:, 1], share.view(-1, *[1] * (found.ndim - 2)))
        encoded.append(found)
    return torch.cat(encoded, -1)


def corner_entries(cells: Int[Tensor, "point 3"], resolution: int, entries: int) -> Int[Tensor, "point 8"]:
    """Entries of a cell's corners in a level's table; the x of corners changes slowest, z fastest."""
    ends = torch.stack([cells, cells + 1], -1)
    side = resolution + 1
    if side**3 <= entries:
        x, y, z = (ends * ends.new_tensor([side * side, side, 1])[:, None]).unbind(1)
        return (x[:, :, None, None] + y[:, None, :, None] + z[:, None, None, :]).flatten(1)
    x, y, z = (ends * ends.new_tensor(PRIMES)[:, None]).unbind(1)
    return (x[:, :, None, None] ^ y[:, None, :, None] ^ z[:, None, None, :]).flatten(1) & (entries - 1)
