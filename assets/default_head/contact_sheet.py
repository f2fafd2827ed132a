"""A picture of heads drawn from the prior: `python -m assets.default_head.contact_sheet`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

import morphable
from morphable import MorphableModel
from renderers import Camera, DirectionalLight, EnvironmentLight, Light, linear_to_srgb, render_mesh, srgb_to_linear

COLUMNS, ROWS, SIZE = 6, 5, 160
YAWS = (0.0, 0.5, -0.35)
SEED = 7
SKINS = ((0.52, 0.32, 0.24), (0.62, 0.42, 0.33), (0.36, 0.20, 0.13), (0.45, 0.26, 0.17), (0.14, 0.07, 0.045))
HAIRS = ((0.02, 0.012, 0.008), (0.06, 0.03, 0.015), (0.14, 0.09, 0.05), (0.01, 0.008, 0.006))
IRISES = ((0.10, 0.045, 0.02), (0.12, 0.20, 0.28), (0.10, 0.14, 0.07), (0.05, 0.025, 0.012))
SHEETS = {
    **{"head": "head", "eye_left": "eyes", "eye_right": "eyes", "teeth_upper": "teeth", "teeth_lower": "teeth"},
    **{"tongue": "tongue"},
}
"""The texture of each part; the lashes, which are partly transparent, are left out."""


def main() -> None:
    model = morphable.load()
    generator = torch.Generator().manual_seed(SEED)
    people = model.neutral(torch.randn(ROWS * COLUMNS, model.identities, generator=generator))
    colours = np.random.default_rng(SEED)
    pictures = []
    for i, vertices in enumerate(people):
        skin, hair, iris = (options[colours.integers(len(options))] for options in (SKINS, HAIRS, IRISES))
        dark = HAIRS[-1] if sum(skin) < 0.6 else hair
        textures = morphable.default_textures(
            model,
            skin_colour=skin,
            brow_colour=dark,
            iris_colour=IRISES[-1] if dark is HAIRS[-1] else iris,
            resolution=512,
        )
        pictures.append(portrait(model, vertices, textures, SIZE, YAWS[i % len(YAWS)]))
    rows = [np.concatenate(pictures[start : start + COLUMNS], 1) for start in range(0, len(pictures), COLUMNS)]
    Image.fromarray(np.concatenate(rows)).quantize(128).save(Path(__file__).parent / "contact_sheet.png", optimize=True)


def portrait(
    model: MorphableModel, vertices: Float[Tensor, "vertex 3"], textures: dict[str, np.ndarray], size: int, yaw: float
) -> UInt8[np.ndarray, "size size 3"]:
    """A head in soft daylight on grey."""
    target = torch.tensor([0.0, -0.02, 0.03])
    eye = target + 1.2 * torch.tensor([np.sin(yaw), 0.02, np.cos(yaw)], dtype=torch.float32)
    camera = Camera.looking_at(eye, target, [0.0, 1.0, 0.0], 0.25, (size, size))
    placed = camera.focal[None], camera.principal[None], camera.rotation[None], camera.translation[None]
    camera = Camera(*placed, (size, size))
    ambient = torch.zeros(9, 3)
    ambient[0], ambient[1] = 1.15, 0.25
    lights: list[Light] = [
        EnvironmentLight(ambient),
        DirectionalLight(torch.tensor([[-0.5, -0.5, -1.0]]), torch.full((1, 3), 0.75)),
    ]
    result = render_mesh(
        camera, vertices[None], **painted(model, textures), lights=lights, background=0.35, supersample=2
    )
    return (linear_to_srgb(result.colour[0].clamp(0, 1)) * 255 + 0.5).to(torch.uint8).numpy()


def painted(model: MorphableModel, textures: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arguments of `render_mesh` that show the parts of SHEETS, their textures laid side by side."""
    keys, size = list(dict.fromkeys(SHEETS.values())), len(textures["head"])
    sheets = [np.asarray(Image.fromarray(textures[key]).resize((size, size))) for key in keys]
    uv = model.uv.clone()
    for name, key in SHEETS.items():
        corners = model.uv_triangles[model.parts[name].triangles].long().unique()
        uv[corners, 0] = (model.uv[corners, 0].clamp(2 / size, 1 - 2 / size) + keys.index(key)) / len(keys)
    shown = torch.cat([torch.arange(len(model.triangles))[model.parts[name].triangles] for name in SHEETS])
    texture = srgb_to_linear(torch.as_tensor(np.concatenate(sheets, 1)).float() / 255)
    return {
        "texture": texture[None],
        "uv": uv,
        "uv_triangles": model.uv_triangles[shown],
        "triangles": model.triangles[shown],
    }


if __name__ == "__main__":
    main()
