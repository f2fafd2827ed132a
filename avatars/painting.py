"""Heads drawn with one texture sheet over all their parts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from avatars.export.surface import TEXTURES
from morphable.topology import Layout
from renderers import (
    Camera,
    DirectionalLight,
    EnvironmentLight,
    Light,
    Pyramid,
    RenderResult,
    interpolate,
    linear_to_srgb,
    pyramid,
    rasterize,
    render_mesh,
    srgb_to_linear,
    texture,
)

LASHES = "lashes"
"""The one part that is transparent; it is drawn on top of the others."""
EDGE = 2.0
"""Texels kept between the skin and its neighbour on the sheet, which would else bleed into the seam at the back."""
COLUMN = 4
"""Small textures over each other beside the skin; more of them are made smaller."""
KEY_YAW = math.atan2(0.45, 1.0)
KEY_REACH = math.hypot(0.45, 1.0)
"""The key light comes from 0.45 to the left, 0.6 up and 1 ahead."""
LASH_REACH = 0.003
"""Metres by which a lash may lie behind the surface at its pixel and still be seen: strips touch the lid."""
LINEAR_STEPS = (1 << 16) - 1
"""Each is at most a twentieth of a step of 8-bit sRGB."""
UNPAINTED = np.full((1, 1, 3), 190, dtype=np.uint8)
"""What parts without a texture look like: light grey, sRGB."""


@dataclass(frozen=True)
class Paint:
    """Textures of all opaque parts on one linear sheet, the skin's on the left, and the lashes' own, if there are."""

    sheet: Pyramid
    uv: Float[Tensor, "corner 2"]
    lashes: Float[Tensor, "1 lash_height lash_width 4"] | None


def paint(layout: Layout, textures: Mapping[str, UInt8[np.ndarray, "h w c"]], size: int = 1024) -> Paint:
    """Lay out a head's sRGB textures for `draw_head`: the skin on size x size texels, the rest in a column."""
    names = list(dict.fromkeys(TEXTURES.get(part, part) for part in layout.parts if part != LASHES))
    small_names = [name for name in names if name != "head"]
    small = size // max(COLUMN, len(small_names))
    column = np.zeros((size, small, 3), np.uint8)
    for index, name in enumerate(small_names):
        column[index * small : (index + 1) * small] = _resized(textures.get(name, UNPAINTED), small)
    sheet = np.concatenate([_resized(textures.get("head", UNPAINTED), size), column], 1)
    uv = torch.as_tensor(layout.uv).clone()
    shrink = torch.tensor([size / sheet.shape[1], 1.0])
    for part, span in layout.parts.items():
        name = TEXTURES.get(part, part)
        corners = torch.as_tensor(layout.uv_triangles[span.triangles]).unique().long()
        if name == "head":
            inside = (EDGE / size, 1 - EDGE / size)
            uv[corners] = uv[corners].clamp(*inside) * shrink
        elif name != LASHES:
            scale = torch.tensor([small / sheet.shape[1], small / size])
            inset = uv[corners].clamp(0, 1) * (1 - 2 / small) + 1 / small
            offset = torch.tensor([size / sheet.shape[1], small_names.index(name) * small / size])
            uv[corners] = inset * scale + offset
    linear = srgb_to_linear(torch.as_tensor(sheet).float() / 255)
    return Paint(pyramid(linear[None]), uv, _lash_texture(textures) if LASHES in layout.parts else None)


def draw_head(
    camera: Camera,
    vertices: Float[Tensor, "vertex 3"],
    layout: Layout,
    painted: Paint,
    *,
    lights: list[Light],
    background: Float[Tensor, "height width 3"] | float = 0.0,
    supersample: int = 2,
) -> RenderResult:
    """A head with its lashes. `vertices` is a whole head's; the result has a batch of one."""
    opaque = opaque_triangles(layout)
    result = render_mesh(
        camera,
        vertices[None],
        layout.triangles[opaque],
        uv=painted.uv,
        uv_triangles=layout.uv_triangles[opaque],
        texture=painted.sheet,
        lights=lights,
        background=background,
        supersample=supersample,
    )
    if painted.lashes is None:
        return result
    behind = result.depth.repeat_interleave(supersample, 1).repeat_interleave(supersample, 2)
    fine = camera.scaled(supersample) if supersample > 1 else camera
    layer = draw_lashes(fine, vertices, layout, painted, behind)
    layer = torch.nn.functional.avg_pool2d(layer.permute(0, 3, 1, 2), supersample).permute(0, 2, 3, 1)
    colour = layer[..., :3] + (1 - layer[..., 3:]) * result.colour
    return RenderResult(colour, result.alpha, result.depth, result.normals, result.fragments)


def draw_lashes(
    camera: Camera,
    vertices: Float[Tensor, "vertex 3"],
    layout: Layout,
    painted: Paint,
    depth: Float[Tensor, "1 height width"],
) -> Float[Tensor, "1 height width 4"]:
    """Lashes by their texture's alpha, where nothing of `depth` (0: nothing there) lies in front of them.

    The layer's colour is multiplied by its alpha. Raises ValueError where the paint has no lashes.
    """
    if painted.lashes is None:
        raise ValueError("the paint has no lashes")
    span = layout.parts[LASHES].triangles
    fragments = rasterize(camera.clip(vertices[None]), layout.triangles[span], camera.resolution)
    texels = texture(painted.lashes, interpolate(layout.uv, fragments, layout.uv_triangles[span]))
    seen = (fragments.triangle >= 0) & ((depth == 0) | (fragments.depth < depth + LASH_REACH))
    alpha = texels[..., 3:] * seen[..., None]
    return torch.cat([texels[..., :3] * alpha, alpha], -1)


def opaque_triangles(layout: Layout) -> Int[Tensor, " triangle"]:
    """Which of the layout's triangles are not of lashes."""
    keep = torch.ones(len(layout.triangles), dtype=torch.bool)
    if LASHES in layout.parts:
        keep[layout.parts[LASHES].triangles] = False
    return keep.nonzero()[:, 0]


def studio_lights(strength: float = 1.0, yaw: float = KEY_YAW) -> list[Light]:
    """A soft key light over ambient light, in the world of a head that faces +z; it comes from `yaw` radians from the
    front to the person's left."""
    ambient = torch.zeros(9, 3)
    ambient[0] = 1.9 * strength
    travel = torch.tensor([-KEY_REACH * math.sin(yaw), -0.6, -KEY_REACH * math.cos(yaw)])
    return [EnvironmentLight(ambient), DirectionalLight(travel, torch.full((3,), 0.55 * strength))]


def to_srgb8(linear: Float[Tensor, "*batch height width 3"]) -> UInt8[np.ndarray, "*batch height width 3"]:
    """Linear colour to 8-bit sRGB pixels."""
    steps = linear.detach().cpu().clamp(0, 1).mul(LINEAR_STEPS).add_(0.5)
    encoded: np.ndarray = _srgb8_table().take(steps.numpy().astype(np.uint16))
    return encoded


@cache
def _srgb8_table() -> UInt8[np.ndarray, " step"]:
    """sRGB of LINEAR_STEPS even steps, as powers take five times as long as a look-up."""
    linear = torch.arange(LINEAR_STEPS + 1) / LINEAR_STEPS
    return (linear_to_srgb(linear) * 255 + 0.5).to(torch.uint8).numpy()


def _lash_texture(textures: Mapping[str, UInt8[np.ndarray, "h w c"]]) -> Float[Tensor, "1 h w 4"]:
    """Linear, with alpha; lashes without a texture are not seen."""
    pixels = textures.get(LASHES, np.zeros((1, 1, 4), dtype=np.uint8))
    lashes = torch.tensor(np.asarray(Image.fromarray(pixels).convert("RGBA"))).float() / 255
    return torch.cat([srgb_to_linear(lashes[..., :3]), lashes[..., 3:]], -1)[None]


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return image[..., :3]
    return np.asarray(Image.fromarray(image).convert("RGB").resize((size, size), Image.Resampling.BOX))
