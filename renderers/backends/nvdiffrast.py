"""nvdiffrast's rasterizer: CUDA only, and under a licence that forbids commercial use."""

from functools import cache

import nvdiffrast.torch as dr
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..rasterization import Fragments


def rasterize(
    clip: Float[Tensor, "batch vertex 4"], triangles: Int[Tensor, "triangle 3"], resolution: tuple[int, int]
) -> Fragments:
    """See `renderers.rasterize`; triangles across the near plane are clipped rather than dropped. nvdiffrast's row 0 is
    at the bottom, so y is turned over."""
    flipped = clip * clip.new_tensor([1.0, -1.0, 1.0, 1.0])
    output, _ = dr.rasterize(_context(clip.device), flipped, triangles, resolution, grad_db=False)
    u, v, _, number = output.unbind(-1)
    triangle = number.to(torch.int32) - 1
    seen = triangle >= 0
    barycentric = torch.where(seen[..., None], torch.stack([u, v, 1.0 - u - v], dim=-1), 0.0)
    corners = triangles.long()[triangle.clamp(min=0).long()]
    w = clip[..., 3].gather(1, corners.flatten(1)).view(corners.shape)
    return Fragments(triangle, barycentric, (w * barycentric).sum(-1))


@cache
def _context(device: torch.device):
    return dr.RasterizeCudaContext(device=device)
