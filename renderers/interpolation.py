"""Vertex attributes spread over the pixels that see them."""

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from .kernels import interpolation as kernels
from .kernels.launching import image_grid, launch
from .rasterization import Fragments
from .topology import prepare


def interpolate(
    attributes: Float[Tensor, "batch vertex channel"] | Float[Tensor, "vertex channel"],
    fragments: Fragments,
    triangles: Int[Tensor, "triangle 3"],
) -> Float[Tensor, "batch height width channel"]:
    """Weigh the attributes of each pixel's three corners by its barycentrics; 0 on the background.

    Gradients flow to `attributes` and to `fragments.barycentric`.

    Args:
        attributes: float32 values per vertex, or per texture vertex; without a batch they serve every image.
        fragments: what `rasterize` returned.
        triangles: the rasterized triangles, or a list of the same length into another set of corners, such as the
            triangles of a texture map.

    Raises:
        ValueError: wrong shapes, types or devices, or an index beyond the attributes.
    """
    batch = fragments.triangle.shape[0]
    values, corners = corner_attributes(attributes, batch, triangles, fragments.triangle.device)
    return _Interpolate.apply(values, corners, fragments.triangle, fragments.barycentric)


def corner_attributes(attributes: Tensor, batch: int, triangles: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Check attributes against the triangles that index them; give both the shapes the kernels read."""
    if attributes.ndim == 2:
        attributes = attributes.expand(batch, *attributes.shape)
    if attributes.ndim != 3 or attributes.shape[0] != batch:
        raise ValueError(
            f"attributes must have shape ({batch}, vertex, channel) or (vertex, channel), not {tuple(attributes.shape)}"
        )
    if attributes.dtype != torch.float32:
        raise ValueError(f"attributes must be float32, not {attributes.dtype}")
    if attributes.device != device:
        raise ValueError(f"attributes are on {attributes.device}, the fragments on {device}")
    topology = prepare(triangles, device)
    if topology.vertices > attributes.shape[1]:
        raise ValueError(f"triangles index vertex {topology.vertices - 1}, but there are {attributes.shape[1]}")
    return attributes, topology.triangles


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, attributes: Tensor, triangles: Tensor, triangle: Tensor, barycentric: Tensor) -> Tensor:
        batch, height, width = triangle.shape
        barycentric = barycentric.contiguous()
        output = torch.empty(batch, height, width, attributes.shape[2], device=attributes.device)
        grid = image_grid(batch, height, width, attributes.device)
        launch(
            kernels.interpolate_forward,
            grid.items,
            [
                grid.bands,
                grid.segment,
                height,
                width,
                (attributes, wp.float32),
                (triangles, wp.vec3i),
                (triangle.view(-1), wp.int32),
                (barycentric.view(-1, 3), wp.vec3),
                (output.view(-1, output.shape[3]), wp.float32),
            ],
            attributes.device,
        )
        ctx.save_for_backward(attributes, triangles, triangle, barycentric)
        return output

    @staticmethod
    def backward(ctx, output_gradient: Tensor):
        attributes, triangles, triangle, barycentric = ctx.saved_tensors
        batch, height, width = triangle.shape
        grid = image_grid(batch, height, width, attributes.device)
        slots = grid.slots if ctx.needs_input_grad[0] else 0
        attribute_gradient = torch.zeros(slots, *attributes.shape, device=attributes.device)
        barycentric_gradient = torch.empty_like(barycentric)
        launch(
            kernels.interpolate_backward,
            grid.items,
            [
                *grid[1:],
                height,
                width,
                (attributes, wp.float32),
                (triangles, wp.vec3i),
                (triangle.view(-1), wp.int32),
                (barycentric.view(-1, 3), wp.vec3),
                (output_gradient.contiguous().view(-1, output_gradient.shape[3]), wp.float32),
                (attribute_gradient, wp.float32),
                (barycentric_gradient.view(-1, 3), wp.vec3),
            ],
            attributes.device,
        )
        return attribute_gradient.sum(0) if slots else None, None, None, barycentric_gradient
