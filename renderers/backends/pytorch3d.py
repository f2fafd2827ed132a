"""PyTorch3D's mesh rasterizer: a reference for the values; slow on the CPU."""

import torch
from jaxtyping import Float, Int
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.structures import Meshes
from torch import Tensor

from ..rasterization import Fragments


def rasterize(
    clip: Float[Tensor, "batch vertex 4"], triangles: Int[Tensor, "triangle 3"], resolution: tuple[int, int]
) -> Fragments:
    """See `renderers.rasterize`. PyTorch3D's screen has x left, y up, and [-1, 1] along the shorter side."""
    height, width = resolution
    w = clip[..., 3:]
    shape = clip.new_tensor([-width, height]) / min(height, width)
    points = torch.cat([clip[..., :2] / w * shape, w], dim=-1)
    in_front = ((clip[..., 3] > 0) & (clip[..., 2] >= -clip[..., 3]))[:, triangles.long()].all(-1)
    kept = [drawn.nonzero()[:, 0] for drawn in in_front]
    meshes = Meshes(list(points), [triangles.long()[index] for index in kept])
    face, _, barycentric, _ = rasterize_meshes(
        meshes, image_size=resolution, blur_radius=0.0, faces_per_pixel=1, perspective_correct=True
    )
    face, barycentric = face[..., 0], barycentric[..., 0, :]
    seen = face >= 0
    index = torch.cat(kept)
    triangle = torch.where(seen, index[face.clamp(min=0)], -1) if len(index) else face
    barycentric = torch.where(seen[..., None], barycentric, 0.0)
    return Fragments(triangle.to(torch.int32), barycentric, corner_depth(clip, triangles, triangle, barycentric))


def corner_depth(clip: Tensor, triangles: Tensor, triangle: Tensor, barycentric: Tensor) -> Tensor:
    """The w of each pixel's three corners, weighed."""
    if len(triangles) == 0:
        return barycentric.sum(-1)
    corners = triangles.long()[triangle.clamp(min=0).long()]
    w = clip[..., 3].gather(1, corners.flatten(1)).view(corners.shape)
    return (w * barycentric).sum(-1)
