"""Antialiasing of outlines, which makes them differentiable."""

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from . import kernels
from .rasterization import Fragments
from .topology import opposite_vertices, prepare


def antialias(
    image: Float[Tensor, "batch height width channel"],
    fragments: Fragments,
    clip: Float[Tensor, "batch vertex 4"],
    triangles: Int[Tensor, "triangle 3"],
) -> Float[Tensor, "batch height width channel"]:
    """Blend neighbouring pixels across outlines by how far the outline reaches between their centres.

    For each pair of pixels side by side that see different triangles, the outlines of the nearer triangle (edges with
    no triangle beyond them, or where the surface folds back) are cut with the segment between the two centres. A cut
    beyond the middle lends the nearer pixel's colour to the farther one, a cut before it the other way round, in
    proportion to its distance from the middle (Laine et al., "Modular Primitives for High-Performance Differentiable
    Rendering", 2020, section 3.5).

    Gradients flow to `image` and to the x, y and w of `clip`: the only way in which an outline that moves is felt.
    Outlines of triangles that no pixel centre sees are missed, as in the paper.

    Args:
        image: float32 values per pixel, any number of channels.
        fragments: what `rasterize` returned for `clip` and `triangles`.
        clip: clip-space positions.
        triangles: the rasterized triangles; pass the same tensor again to reuse its edges.

    Raises:
        ValueError: wrong shapes, types or devices.
    """
    if image.ndim != 4 or image.shape[:3] != fragments.triangle.shape:
        raise ValueError(
            f"image must have shape {(*fragments.triangle.shape, 'channel')} like the fragments, not {tuple(image.shape)}"
        )
    if image.dtype != torch.float32 or clip.dtype != torch.float32:
        raise ValueError(f"image and clip must be float32, not {image.dtype} and {clip.dtype}")
    if clip.ndim != 3 or clip.shape[0] != image.shape[0] or clip.shape[2] != 4:
        raise ValueError(f"clip must have shape ({image.shape[0]}, vertex, 4), not {tuple(clip.shape)}")
    topology = prepare(triangles, clip.device)
    if topology.vertices > clip.shape[1]:
        raise ValueError(f"triangles index vertex {topology.vertices - 1}, but there are {clip.shape[1]}")
    opposite = opposite_vertices(triangles, clip.device)
    return _Antialias.apply(image, clip, topology.triangles, opposite, fragments.triangle, fragments.depth.detach())


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image: Tensor, clip: Tensor, triangles: Tensor, opposite: Tensor, triangle: Tensor, depth: Tensor):
        batch, height, width, channels = image.shape
        device = image.device
        image, clip, depth = image.contiguous(), clip.contiguous(), depth.contiguous()
        silhouettes = torch.empty(batch, len(triangles), dtype=torch.int32, device=device)
        span = max((len(triangles) + kernels.BANDS - 1) // kernels.BANDS, 1) if device.type == "cpu" else 1
        kernels.launch(
            kernels.find_silhouettes,
            batch * ((len(triangles) + span - 1) // span),
            [
                span,
                width,
                height,
                (clip, wp.vec4),
                (triangles, wp.vec3i),
                (opposite, wp.vec3i),
                (silhouettes, wp.int32),
            ],
            device,
        )
        output = image.clone()
        grid = kernels.image_grid(batch, height, width, device)
        kernels.launch(
            kernels.antialias_forward,
            grid.items,
            [
                grid.bands,
                grid.segment,
                height,
                width,
                *_seen(clip, triangles, silhouettes, triangle, depth),
                (image.view(-1, channels), wp.float32),
                (output.view(-1, channels), wp.float32),
            ],
            device,
        )
        ctx.save_for_backward(image, clip, triangles, silhouettes, triangle, depth)
        return output

    @staticmethod
    def backward(ctx, output_gradient: Tensor):
        image, clip, *rest = ctx.saved_tensors
        batch, height, width, channels = image.shape
        output_gradient = output_gradient.contiguous()
        image_gradient = output_gradient.clone()
        grid = kernels.image_grid(batch, height, width, clip.device)
        clip_gradient = torch.zeros(grid.slots, *clip.shape, device=clip.device)
        kernels.launch(
            kernels.antialias_backward,
            grid.items,
            [
                *grid[1:],
                height,
                width,
                *_seen(clip, *rest),
                (image.view(-1, channels), wp.float32),
                (output_gradient.view(-1, channels), wp.float32),
                (image_gradient.view(-1, channels), wp.float32),
                (clip_gradient, wp.vec4),
            ],
            clip.device,
        )
        return image_gradient, clip_gradient.sum(0), None, None, None, None


def _seen(clip: Tensor, triangles: Tensor, silhouettes: Tensor, triangle: Tensor, depth: Tensor) -> list:
    return [
        (clip, wp.vec4),
        (triangles, wp.vec3i),
        (silhouettes, wp.int32),
        (triangle.view(-1), wp.int32),
        (depth.view(-1), wp.float32),
    ]
