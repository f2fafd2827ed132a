"""Which triangle each pixel sees, and where on it."""

from typing import Literal, NamedTuple

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from .kernels import rasterization as kernels
from .kernels.launching import image_grid, launch, spans
from .topology import prepare

Backend = Literal["warp", "pytorch3d", "nvdiffrast"]

BANDS_PER_THREAD = 2
"""Bands of rows that each CPU thread draws of an image: few, as each looks through all triangles, but spread over it,
so that threads have alike to do."""


class Fragments(NamedTuple):
    """What each pixel sees.

    Attributes:
        triangle: index of the nearest triangle, -1 on the background.
        barycentric: perspective-correct weights of its three corners; 0 on the background.
        depth: clip w interpolated, which for a `Camera` is the camera z in metres; 0 on the background.
    """

    triangle: Int[Tensor, "batch height width"]
    barycentric: Float[Tensor, "batch height width 3"]
    depth: Float[Tensor, "batch height width"]


def rasterize(
    clip: Float[Tensor, "batch vertex 4"],
    triangles: Int[Tensor, "triangle 3"],
    resolution: tuple[int, int],
    *,
    backend: Backend = "warp",
) -> Fragments:
    """Find the nearest triangle at every pixel centre, and the point on it.

    Both sides of a triangle are drawn. Vertices are snapped to 1/4096 pixel and coverage is decided in integers with
    the top-left rule, so triangles that share an edge cover each pixel along it exactly once. Of equally near
    triangles the first in the list wins. A triangle with a corner in front of the near plane (z < -w) or more than
    131 072 pixels off the image origin is dropped whole; beyond the far plane (z > w) it is cut pixel by pixel.

    Gradients flow from `barycentric` and `depth` to the x, y and w of `clip`, not through which triangle is seen:
    `antialias` adds that at silhouettes. On the CPU both directions give the same bits every time; on CUDA the
    gradient is summed by atomics.

    Args:
        clip: clip-space positions, float32, as `Camera.clip` makes them: x right, y up, z forward, divided by w.
        triangles: vertex indices, any integer type. Pass the same tensor again to reuse what was derived from it.
        resolution: (height, width) in pixels.
        backend: "warp" (built in), or "pytorch3d" or "nvdiffrast" where installed.

    Raises:
        ValueError: wrong shapes, types or devices, or an index beyond the vertices.
        ImportError: the chosen backend is not installed.
    """
    if clip.ndim != 3 or clip.shape[-1] != 4:
        raise ValueError(f"clip must have shape (batch, vertex, 4), not {tuple(clip.shape)}")
    if clip.dtype != torch.float32:
        raise ValueError(f"clip must be float32, not {clip.dtype}")
    height, width = resolution
    if height < 1 or width < 1:
        raise ValueError(f"resolution must be at least 1 by 1, not {height} by {width}")
    topology = prepare(triangles, clip.device)
    if topology.vertices > clip.shape[1]:
        raise ValueError(f"triangles index vertex {topology.vertices - 1}, but there are {clip.shape[1]}")
    if backend == "warp":
        return Fragments(*_Rasterize.apply(clip.contiguous(), topology.triangles, height, width))
    from .backends import load

    return load(backend).rasterize(clip, topology.triangles, (height, width))


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, clip: Tensor, triangles: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        batch, device = len(clip), clip.device
        count = len(triangles)
        rows = torch.empty(batch, count, 4, dtype=torch.int32, device=device)
        edges = torch.empty(batch, count, 3, 3, dtype=torch.float64, device=device)
        planes = torch.empty(batch, count, 4, 4, device=device)
        triangle = torch.empty(batch, height, width, dtype=torch.int32, device=device)
        barycentric = torch.empty(batch, height, width, 3, device=device)
        depth = torch.empty(batch, height, width, device=device)
        drawing = ((rows, wp.vec4i), (edges, wp.mat33d))
        plane = (planes, wp.mat44)
        image = ((triangle.view(-1), wp.int32), (barycentric.view(-1, 3), wp.vec3), (depth.view(-1), wp.float32))
        span, items = spans(count, device)
        surface = ((clip, wp.vec4), (triangles, wp.vec3i))
        launch(kernels.set_up, batch * items, [span, height, width, *surface, *drawing, plane], device)
        if device.type == "cpu":
            threads = torch.get_num_threads()
            bands = BANDS_PER_THREAD * threads
            keys = (torch.empty(threads, -(-height // bands) * width, dtype=torch.int64), wp.uint64)
            sizes = [bands, height, width]
            launch(kernels.draw_and_resolve, batch * bands, [*sizes, *drawing, plane, keys, *image], device)
        else:
            keys = (torch.zeros(batch * height * width, dtype=torch.int64, device=device), wp.uint64)
            launch(kernels.draw, batch * count, [height, width, *drawing, keys], device)
            launch(kernels.resolve, batch * height * width, [height, width, plane, keys, *image], device)
        ctx.save_for_backward(clip, triangles, triangle)
        ctx.mark_non_differentiable(triangle)
        return triangle, barycentric, depth

    @staticmethod
    def backward(ctx, _, barycentric_gradient: Tensor, depth_gradient: Tensor):
        clip, triangles, triangle = ctx.saved_tensors
        batch, height, width = triangle.shape
        grid = image_grid(batch, height, width, clip.device)
        gradient = torch.zeros(grid.slots, *clip.shape, device=clip.device)
        launch(
            kernels.rasterize_backward,
            grid.items,
            [
                *grid[1:],
                height,
                width,
                (clip, wp.vec4),
                (triangles, wp.vec3i),
                (triangle.view(-1), wp.int32),
                (barycentric_gradient.contiguous().view(-1, 3), wp.vec3),
                (depth_gradient.contiguous().view(-1), wp.float32),
                (gradient, wp.vec4),
            ],
            clip.device,
        )
        return gradient.sum(0), None, None, None
