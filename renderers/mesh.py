"""A mesh in, an image out: the primitives composed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .antialiasing import antialias as antialias_outlines
from .camera import Camera
from .interpolation import interpolate
from .lighting import Light
from .rasterization import Fragments, rasterize
from .texturing import Pyramid, uv_footprint
from .texturing import texture as look_up


@dataclass(frozen=True)
class RenderResult:
    """An image and what it shows.

    Attributes:
        colour: linear, over the background.
        alpha: how much of each pixel the mesh covers.
        depth: camera z in metres at pixel centres, 0 on the background; not antialiased.
        normals: unit normals in the world at pixel centres, 0 on the background; not antialiased.
        fragments: what each sample sees, at the supersampled resolution.
    """

    colour: Float[Tensor, "batch height width channel"]
    alpha: Float[Tensor, "batch height width"]
    depth: Float[Tensor, "batch height width"]
    normals: Float[Tensor, "batch height width 3"]
    fragments: Fragments


def render_mesh(
    camera: Camera,
    vertices: Float[Tensor, "batch vertex 3"],
    triangles: Int[Tensor, "triangle 3"],
    *,
    colour: Float[Tensor, "batch vertex channel"] | Float[Tensor, "vertex channel"] | None = None,
    uv: Float[Tensor, "batch corner 2"] | Float[Tensor, "corner 2"] | None = None,
    uv_triangles: Int[Tensor, "triangle 3"] | None = None,
    texture: Float[Tensor, "batch texture_height texture_width channel"] | Pyramid | None = None,
    lights: Sequence[Light] = (),
    background: Float[Tensor, "*image channel"] | float = 0.0,
    antialias: bool = True,
    supersample: int = 1,
) -> RenderResult:
    """Draw a mesh, with smooth normals, differentiably.

    Args:
        camera: one camera, or one for each item of the batch.
        vertices: in the world, in metres.
        triangles: counter-clockwise seen from outside.
        colour: linear albedo per vertex. Without it and without a texture the mesh is white.
        uv: texture coordinates, (0, 0) at the top-left of the texture.
        uv_triangles: corners of each triangle in `uv`; `triangles` if not given.
        texture: linear albedo image or its pyramid, looked up trilinearly; multiplied by `colour` if both are given.
        lights: added up; with none the albedo is shown as it is.
        background: linear colour behind the mesh, broadcast to batch, height, width and channel.
        antialias: blend outlines, which also lets them move vertices.
        supersample: samples along each side of a pixel, averaged.

    Raises:
        ValueError: wrong shapes, types or devices, or `texture` without `uv`.
    """
    if (texture is None) != (uv is None):
        raise ValueError("texture and uv are given together or not at all")
    if supersample < 1:
        raise ValueError(f"supersample must be at least 1, not {supersample}")
    camera = camera.scaled(supersample) if supersample > 1 else camera
    clip = camera.clip(vertices)
    fragments = rasterize(clip, triangles, camera.resolution)
    seen = fragments.triangle >= 0

    attributes = [vertex_normals(vertices, triangles), vertices]
    if colour is not None:
        attributes.append(colour.expand(len(vertices), -1, -1))
    per_pixel = interpolate(torch.cat(attributes, dim=-1), fragments, triangles)
    normals = torch.nn.functional.normalize(per_pixel[..., :3], dim=-1)
    positions = per_pixel[..., 3:6]
    albedo = per_pixel[..., 6:] if colour is not None else seen[..., None].float().expand(*seen.shape, 3)
    if texture is not None and uv is not None:
        corners = triangles if uv_triangles is None else uv_triangles
        footprint = uv_footprint(uv, corners, fragments, clip, triangles)
        texels = look_up(texture, interpolate(uv, fragments, corners), footprint)
        albedo = texels * albedo if colour is not None else texels

    radiance = _lit(albedo, positions, normals, camera, lights)
    behind = torch.as_tensor(background, dtype=radiance.dtype, device=radiance.device).expand(radiance.shape)
    layers = torch.cat([torch.where(seen[..., None], radiance, behind), seen[..., None].float()], dim=-1)
    if antialias:
        layers = antialias_outlines(layers, fragments, clip, triangles)
    layers = _averaged(layers, supersample)
    every = (slice(None), slice(supersample // 2, None, supersample), slice(supersample // 2, None, supersample))
    return RenderResult(layers[..., :-1], layers[..., -1], fragments.depth[every], normals[every], fragments)


def vertex_normals(
    vertices: Float[Tensor, "*batch vertex 3"], triangles: Int[Tensor, "triangle 3"]
) -> Float[Tensor, "*batch vertex 3"]:
    """Unit normals: the sum of the normals of the triangles around a vertex, weighed by their areas; 0 where there is
    none. They point outwards where triangles run counter-clockwise seen from outside."""
    corners = triangles.long()
    a, b, c = (vertices[..., corners[:, k], :] for k in range(3))
    faces = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for k in range(3):
        total = total.index_add(-2, corners[:, k], faces)
    return torch.nn.functional.normalize(total, dim=-1)


def _lit(albedo: Tensor, positions: Tensor, normals: Tensor, camera: Camera, lights: Sequence[Light]) -> Tensor:
    if not lights:
        return albedo
    eye = camera.position.expand(len(albedo), 3)[:, None]
    surface = albedo.flatten(1, 2), positions.flatten(1, 2), normals.flatten(1, 2)
    radiance = torch.stack([light.shade(*surface, eye) for light in lights]).sum(0)
    return radiance.view(*albedo.shape[:3], -1)


def _averaged(image: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return image
    return torch.nn.functional.avg_pool2d(image.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1)
