"""A scan's colours on a head's texture."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

from avatars.painting import to_srgb8
from face3d.appearance.unwrap import spread
from morphable import MorphableModel
from renderers import interpolate, rasterize, srgb_to_linear, vertex_normals

SIZE = 1024
"""Pixels a side of the texture as it is worked out, at most."""
NEIGHBOURS = 3
"""Points of the scan of which a texel is a mean."""
REACH = (0.002, 0.004)
"""Metres from the scan up to which a texel takes its colour wholly, and at all."""
AGREEING = (0.2, 0.5)
"""Cosine between both surfaces from which a texel takes its colour at all, and wholly."""
TYPICAL_TRUST = 1e-3
"""Weight of the typical colour everywhere: it wins where the scan has nothing near."""
INSIDE = ("inner_mouth", "eye_socket")
"""Regions that keep the model's own colour: scans do not reach them."""


@dataclass(frozen=True)
class ColouredPoints:
    """Points on a scan, in the head's frame (metres), their unit normals and linear colours."""

    points: Float[np.ndarray, "point 3"]
    normals: Float[np.ndarray, "point 3"]
    colours: Float[np.ndarray, "point 3"]


def scan_albedo(
    seen: ColouredPoints,
    model: MorphableModel,
    vertices: Float[np.ndarray, "vertex 3"],
    base: UInt8[np.ndarray, "base_size base_size 3"],
    size: int,
) -> UInt8[np.ndarray, "size size 3"]:
    """The skin's texture, sRGB: the scan's colours as they are, light included, spread to where it has none.

    Args:
        seen: points all over the scan.
        model: whose texture it is.
        vertices: of the head, registered to the scan.
        base: the model's own skin.
        size: pixels a side of the texture.
    """
    worked = min(size, SIZE)
    positions, normals, inside = _texels(model, torch.as_tensor(vertices, dtype=torch.float32), worked)
    skin = normals.any(-1).numpy()
    colour, trust = np.zeros((*skin.shape, 3)), np.zeros(skin.shape)
    colour[skin], trust[skin] = _taken(seen, positions.numpy()[skin], normals.numpy()[skin])
    trust *= 1 - inside.numpy()
    typical = np.median(seen.colours, axis=0)
    weighted = np.concatenate([colour * trust[..., None], trust[..., None]], -1) + TYPICAL_TRUST * np.append(typical, 1)
    planes = torch.as_tensor(weighted, dtype=torch.float32).permute(2, 0, 1)[None]
    everywhere = spread(planes)[0].permute(1, 2, 0)
    own = np.asarray(Image.fromarray(base).resize((worked, worked), Image.Resampling.BILINEAR))
    painted = torch.lerp(everywhere, srgb_to_linear(torch.as_tensor(own.copy()).float() / 255), inside[..., None])
    image = Image.fromarray(to_srgb8(painted))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def _texels(
    model: MorphableModel, vertices: Float[Tensor, "vertex 3"], size: int
) -> tuple[Float[Tensor, "size size 3"], Float[Tensor, "size size 3"], Float[Tensor, "size size"]]:
    """Position and normal of every texel, 0 where there is no skin, and how far it lies in INSIDE."""
    span = model.parts["head"].triangles
    x, y = 2 * model.uv[:, 0] - 1, 1 - 2 * model.uv[:, 1]
    flat = torch.stack([x, y, torch.zeros_like(x), torch.ones_like(x)], 1)[None]
    fragments = rasterize(flat, model.uv_triangles[span], (size, size))
    nowhere = torch.zeros(len(vertices), dtype=torch.bool)
    inside = torch.stack([model.regions.get(name, nowhere) for name in INSIDE]).any(0).float()
    attributes = torch.cat([vertices, vertex_normals(vertices, model.triangles), inside[:, None]], 1)
    values = interpolate(attributes, fragments, model.triangles[span])[0]
    return values[..., :3], torch.nn.functional.normalize(values[..., 3:6], dim=-1), values[..., 6]


def _taken(
    seen: ColouredPoints, positions: Float[np.ndarray, "texel 3"], normals: Float[np.ndarray, "texel 3"]
) -> tuple[Float[np.ndarray, "texel 3"], Float[np.ndarray, " texel"]]:
    """The scan's colour at each texel, and how far it can be trusted."""
    distances, near = cKDTree(seen.points).query(positions, NEIGHBOURS, eps=0.1, workers=-1)
    agreement = np.einsum("tki,ti->tk", seen.normals[near], normals)
    weights = (agreement > AGREEING[0]) / (distances + 1e-5)
    total = weights.sum(1)
    colours = np.einsum("tk,tki->ti", weights, seen.colours[near]) / np.maximum(total, 1e-9)[:, None]
    near_enough = np.clip((REACH[1] - distances[:, 0]) / (REACH[1] - REACH[0]), 0, 1)
    facing = np.clip((agreement.max(1) - AGREEING[0]) / (AGREEING[1] - AGREEING[0]), 0, 1)
    return colours, near_enough * facing * (total > 0)
