"""Antialiasing of outlines, which makes them differentiable."""

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from .kernels import antialiasing as kernels
from .kernels.launching import image_grid, launch, spans
from .rasterization import Fragments
from .topology import neighbours, prepare


def antialias(
    image: Float[Tensor, "batch height width channel"],
    fragments: Fragments,
    clip: Float[Tensor, "batch vertex 4"],
    triangles: Int[Tensor, "triangle 3"],
) -> Float[Tensor, "batch height width channel"]:
    """Blend neighbouring pixels across outlines by how far the outline reaches between their centres.

    An outline is an edge with no triangle beyond it, or one where the surface folds back on screen. Between two pixels
    side by side that see different triangles, the nearer surface is followed from the centre of its pixel towards the
    other one, from triangle to triangle, until it ends at an outline that runs across the pair rather than along it.
    If that lies beyond the middle, the nearer pixel's colour is lent to the farther one, else the other way round, in
    proportion to its distance from the middle.

    This is Laine et al., "Modular Primitives for High-Performance Differentiable Rendering", 2020, section 3.5; the
    paper looks at the edges of the visible triangle only and so misses most of the outline of a finely tessellated
    round surface, whose last triangles are too thin for any pixel centre to see. Following the surface finds them.

    Gradients flow to `image` and to the x, y and w of `clip`: the only way in which an outline that moves is felt.

    Args:
        image: float32 values per pixel, any number of channels.
        fragments: what `rasterize` returned for `clip` and `triangles`.
        clip: clip-space positions.
        triangles: the rasterized triangles; pass the same tensor again to reuse its edges.

    Raises:
        ValueError: wrong shapes, types or devices.
    """
    expected = tuple(fragments.triangle.shape)
    if image.ndim != 4 or image.shape[:3] != expected:
        raise ValueError(f"image must have shape {(*expected, 'channel')}, not {tuple(image.shape)}")
    if image.dtype != torch.float32 or clip.dtype != torch.float32:
        raise ValueError(f"image and clip must be float32, not {image.dtype} and {clip.dtype}")
    if clip.ndim != 3 or clip.shape[0] != image.shape[0] or clip.shape[2] != 4:
        raise ValueError(f"clip must have shape ({image.shape[0]}, vertex, 4), not {tuple(clip.shape)}")
    topology = prepare(triangles, clip.device)
    if topology.vertices > clip.shape[1]:
        raise ValueError(f"triangles index vertex {topology.vertices - 1}, but there are {clip.shape[1]}")
    beyond = neighbours(triangles, clip.device)
    return _Antialias.apply(image, clip, topology.triangles, beyond, fragments.triangle, fragments.depth.detach())


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image: Tensor, clip: Tensor, triangles: Tensor, beyond: Tensor, triangle: Tensor, depth: Tensor):
        batch, height, width, channels = image.shape
        device = image.device
        image, clip, depth = image.contiguous(), clip.contiguous(), depth.contiguous()
        surface = (clip, wp.vec4), (triangles, wp.vec3i), (beyond, wp.vec3i)
        silhouettes = torch.empty(batch, len(triangles), dtype=torch.int32, device=device)
        on_outline = torch.zeros(clip.shape[:2], dtype=torch.int32, device=device)
        masks = (silhouettes, wp.int32), (on_outline, wp.int32)
        span, items = spans(len(triangles), device)
        launch(
            kernels.find_silhouettes,
            batch * items,
            [span, width, height, *surface, *masks],
            device,
        )
        codes = torch.empty(batch * height * width, 2, dtype=torch.int32, device=device)
        reaches = torch.empty(batch * height * width, 2, device=device)
        outlines = (codes, wp.int32), (reaches, wp.float32)
        grid = image_grid(batch, height, width, device)
        place = [grid.bands, grid.segment, height, width]
        seen = *masks, (triangle.view(-1), wp.int32), (depth.view(-1), wp.float32)
        launch(kernels.find_outlines, grid.items, [*place, *surface, *seen, *outlines], device)
        output = image.clone()
        flat = (image.view(-1, channels), wp.float32), (output.view(-1, channels), wp.float32)
        launch(kernels.antialias_forward, grid.items, [*place, *outlines, *flat], device)
        ctx.save_for_backward(image, clip, triangles, codes, reaches)
        return output

    @staticmethod
    def backward(ctx, output_gradient: Tensor):
        image, clip, triangles, codes, reaches = ctx.saved_tensors
        batch, height, width, channels = image.shape
        output_gradient = output_gradient.contiguous()
        image_gradient = output_gradient.clone()
        grid = image_grid(batch, height, width, clip.device)
        clip_gradient = torch.zeros(grid.slots, *clip.shape, device=clip.device)
        images = [(t.view(-1, channels), wp.float32) for t in (image, output_gradient, image_gradient)]
        launch(
            kernels.antialias_backward,
            grid.items,
            [
                *grid[1:],
                height,
                width,
                (clip, wp.vec4),
                (triangles, wp.vec3i),
                (codes, wp.int32),
                (reaches, wp.float32),
                *images,
                (clip_gradient, wp.vec4),
            ],
            clip.device,
        )
        return image_gradient, clip_gradient.sum(0), None, None, None, None
