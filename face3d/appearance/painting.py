"""Heads drawn with one texture sheet over all their parts."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from morphable import MorphableModel
from renderers import Camera, RenderResult, interpolate, linear_to_srgb, rasterize, render_mesh, srgb_to_linear, texture
from renderers.lighting import Light

SHEET_OF_PART = {
    "head": "head",
    "eye_left": "eyes",
    "eye_right": "eyes",
    "teeth_upper": "teeth",
    "teeth_lower": "teeth",
    "tongue": "tongue",
}
"""Opaque part → its texture. Lashes are transparent and drawn on top."""
SMALL_SHEETS = ("eyes", "teeth", "tongue")
EDGE = 2.0
"""Texels kept between the skin and its neighbour on the sheet, which would else bleed into the seam at the back."""
LASH_REACH = 0.003
"""Metres by which a lash may lie behind the surface at its pixel and still be seen: strips touch the lid."""


@dataclass(frozen=True)
class Paint:
    """Textures of all opaque parts on one linear sheet, the skin's on the left, and the lashes' own."""

    sheet: Float[Tensor, "1 height width 3"]
    uv: Float[Tensor, "corner 2"]
    lashes: Float[Tensor, "1 lash_height lash_width 4"]


def paint(model: MorphableModel, textures: dict[str, UInt8[np.ndarray, "h w c"]], size: int = 1024) -> Paint:
    """Lay out a head's sRGB textures for `draw_head`: the skin on size x size texels, the rest in a column."""
    small = size // 4
    column = np.concatenate([_resized(textures[name], small) for name in SMALL_SHEETS])
    column = np.concatenate([column, np.zeros((size - len(column), small, 3), np.uint8)])
    sheet = np.concatenate([_resized(textures["head"], size), column], 1)
    uv = model.uv.clone()
    shrink = torch.tensor([size / sheet.shape[1], 1.0])
    for part, name in SHEET_OF_PART.items():
        corners = model.uv_triangles[model.parts[part].triangles].unique().long()
        if name == "head":
            inside = (EDGE / size, 1 - EDGE / size)
            uv[corners] = model.uv[corners].clamp(*inside) * shrink
        else:
            scale = torch.tensor([small / sheet.shape[1], small / size])
            inset = model.uv[corners].clamp(0, 1) * (1 - 2 / small) + 1 / small
            offset = torch.tensor([size / sheet.shape[1], SMALL_SHEETS.index(name) * small / size])
            uv[corners] = inset * scale + offset
    lashes = torch.tensor(textures["lashes"]).float() / 255
    lashes = torch.cat([srgb_to_linear(lashes[..., :3]), lashes[..., 3:]], -1)
    return Paint(srgb_to_linear(torch.as_tensor(sheet).float() / 255)[None], uv, lashes[None])


def draw_head(
    camera: Camera,
    vertices: Float[Tensor, "vertex 3"],
    model: MorphableModel,
    painted: Paint,
    *,
    lights: list[Light],
    background: Float[Tensor, "height width 3"] | float = 0.0,
    supersample: int = 2,
) -> RenderResult:
    """A head with its lashes. `vertices` is a whole model's; the result has a batch of one."""
    opaque = _opaque(model)
    result = render_mesh(
        camera,
        vertices[None],
        model.triangles[opaque],
        uv=painted.uv,
        uv_triangles=model.uv_triangles[opaque],
        texture=painted.sheet,
        lights=lights,
        background=background,
        supersample=supersample,
    )
    colour = _with_lashes(camera, vertices, model, painted, result, supersample)
    return RenderResult(colour, result.alpha, result.depth, result.normals, result.fragments)


def to_srgb8(linear: Float[Tensor, "*batch height width 3"]) -> UInt8[np.ndarray, "*batch height width 3"]:
    """Linear colour to 8-bit sRGB pixels."""
    return (linear_to_srgb(linear.clamp(0, 1)) * 255 + 0.5).to(torch.uint8).cpu().numpy()


def _opaque(model: MorphableModel) -> Int[Tensor, " triangle"]:
    keep = torch.ones(len(model.triangles), dtype=torch.bool)
    keep[model.parts["lashes"].triangles] = False
    return keep.nonzero()[:, 0]


def _with_lashes(
    camera: Camera, vertices: Tensor, model: MorphableModel, painted: Paint, result: RenderResult, supersample: int
) -> Tensor:
    """Lashes over the picture, by their texture's alpha, where nothing lies in front of them."""
    span = model.parts["lashes"].triangles
    triangles, corners = model.triangles[span], model.uv_triangles[span]
    fine = camera.scaled(supersample) if supersample > 1 else camera
    fragments = rasterize(fine.clip(vertices[None]), triangles, fine.resolution)
    texels = texture(painted.lashes, interpolate(model.uv, fragments, corners))
    behind = result.depth.repeat_interleave(supersample, 1).repeat_interleave(supersample, 2)
    seen = (fragments.triangle >= 0) & ((behind == 0) | (fragments.depth < behind + LASH_REACH))
    alpha = texels[..., 3:] * seen[..., None]
    layers = torch.cat([texels[..., :3] * alpha, alpha], -1)
    layers = torch.nn.functional.avg_pool2d(layers.permute(0, 3, 1, 2), supersample).permute(0, 2, 3, 1)
    return layers[..., :3] + (1 - layers[..., 3:]) * result.colour


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return image[..., :3]
    return np.asarray(Image.fromarray(image).convert("RGB").resize((size, size), Image.Resampling.BOX))
