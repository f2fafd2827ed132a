"""The part of a picture that an avatar is learned from."""

from __future__ import annotations

import torch
from jaxtyping import Float

from avatars.mesh_performer import MeshPerformer
from morphable import Head, Performance
from morphable.editing import sampled
from renderers import Camera

AROUND = 1.0
"""What of the picture is kept around the head, in its height."""
BATCH = 64
"""Frames posed at once."""


def posed(head: Head, performance: Performance) -> Float[torch.Tensor, "frame vertex 3"]:
    """The head's vertices in each frame, metres."""
    pose, times = MeshPerformer(head, 64).posed, performance.times
    return torch.cat([pose(sampled(performance, times[i : i + BATCH])) for i in range(0, len(times), BATCH)])


def framed(
    whole: Camera, vertices: Float[torch.Tensor, "frame vertex 3"], size: int
) -> tuple[Camera, tuple[int, int, int, int]]:
    """The camera of the part of the picture that shows a head and what is near it in all frames, and that part's edges
    in the picture: left, upper, right, lower.

    Args:
        size: pixels of the longer side at most.
    """
    rows, columns = whole.resolution
    points = torch.stack([whole.project(each) for each in vertices])
    low, high = points.amin((0, 1)), points.amax((0, 1))
    margin = AROUND * float((points.amax(1) - points.amin(1))[:, 1].max())
    x0, y0 = (max(0, int(edge - margin)) for edge in low.tolist())
    x1, y1 = (min(int(edge + margin) + 1, side) for edge, side in zip(high.tolist(), (columns, rows), strict=True))
    near = whole.cropped(x0, y0, y1 - y0, x1 - x0)
    return near.scaled(min(1.0, size / max(y1 - y0, x1 - x0))), (x0, y0, x1, y1)
