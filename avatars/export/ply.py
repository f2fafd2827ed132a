"""Binary PLY: the neutral mesh with a colour per vertex, for tools that work on scans."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from PIL import Image

from avatars.export.staging import staging
from avatars.export.surface import TEXTURES, vertex_normals
from morphable import Head
from morphable.topology import Layout

TEXELS = 256
"""Textures are averaged down to this width first, so that a vertex takes the colour around it, not that of a pore."""

GREY = (128, 128, 128, 255)


def save(head: Head, path: str | os.PathLike[str]) -> None:
    """Writes the neutral `head` in metres, y up, facing +z, with normals and sRGB colours, in the model's order.

    Raises:
        OSError: the file cannot be written; what was there before is left as it was.
    """
    path = Path(path)
    model = head.layout
    triangles = np.asarray(model.triangles)
    mesh = trimesh.Trimesh(
        vertices=head.neutral,
        faces=triangles,
        vertex_normals=vertex_normals(head.neutral, triangles),
        vertex_colors=_colours(head, model),
        process=False,
    )
    with staging(path) as folder:
        mesh.export(folder / path.name, file_type="ply", vertex_normal=True)


def _colours(head: Head, model: Layout) -> UInt8[np.ndarray, "vertex 4"]:
    """The texture at each vertex, sRGB with alpha; grey where a part has none."""
    uv = np.zeros((len(head.neutral), 2), dtype=np.float32)
    uv[np.asarray(model.triangles)] = np.asarray(model.uv)[np.asarray(model.uv_triangles)]
    colours = np.tile(np.array(GREY, dtype=np.uint8), (len(head.neutral), 1))
    for name, part in model.parts.items():
        texture = head.textures.get(TEXTURES.get(name, name))
        if texture is not None:
            colours[part.vertices] = _sample(texture.pixels, uv[part.vertices])
    return colours


def _sample(pixels: UInt8[np.ndarray, "height width channel"], uv: Float[np.ndarray, "point 2"]) -> np.ndarray:
    image = Image.fromarray(pixels).convert("RGBA")
    small = np.asarray(image.reduce(max(1, image.width // TEXELS)))
    height, width = small.shape[:2]
    column, row = np.clip(uv * [width, height], 0, [width - 1, height - 1]).astype(int).T
    return small[row, column]
