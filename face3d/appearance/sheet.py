"""`preview.png`: one sheet that a person judges at a glance."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from avatars.painting import Paint, draw_head, studio_lights, to_srgb8
from morphable import ARKIT_NAMES, Head, MorphableModel
from renderers import Camera, render_mesh

CELL = 360
"""Pixels a side of one picture on the sheet."""
GAP = 6
BACKGROUND = 0.035
"""Linear grey."""
DISTANCE = 1.3
"""Metres from which the head is looked at."""
FIELD_OF_VIEW = 0.24
YAWS = {"front": 0.0, "three-quarter": -0.7, "other side": 0.7, "profile": -1.45}
CLAY = (0.42, 0.40, 0.38)
WORST = 0.004
"""Metres of deviation at which the heat map is reddest."""
HEAT = ((0.03, 0.12, 0.5), (0.03, 0.4, 0.25), (0.7, 0.55, 0.04), (0.55, 0.03, 0.02))
"""Linear colours, evenly spaced from no deviation to the worst."""
EXPRESSIONS = {
    "smile": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "jaw open, eyes closed": {"jawOpen": 0.7, "eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
}


def preview_sheet(
    photo: UInt8[np.ndarray, "height width 3"],
    overlay: UInt8[np.ndarray, "height width 3"],
    box: tuple[float, float, float, float],
    head: Head,
    model: MorphableModel,
    painted: Paint,
    clay: Paint,
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Photo, overlay, the textured head from four sides, clay, two expressions, and how far off its surface may be."""
    neutral = np.zeros(len(ARKIT_NAMES), np.float32)
    cells = [("photo", _around(photo, box)), ("fit over photo", _around(overlay, box))]
    cells += [(name, _view(head, model, painted, neutral, yaw)) for name, yaw in YAWS.items()]
    cells.append(("shape", _view(head, model, clay, neutral, -0.35)))
    cells += [(name, _view(head, model, painted, _weights(given), -0.2)) for name, given in EXPRESSIONS.items()]
    if head.deviation is not None:
        cells.append(
            (f"likely error: blue 0 mm, red {1000 * WORST:.0f} mm", _heat_map(head.neutral, head.deviation, model))
        )
    return _arranged(cells, columns=-(-len(cells) // 2))


def _view(head: Head, model: MorphableModel, painted: Paint, weights: np.ndarray, yaw: float) -> np.ndarray:
    vertices = head.posed(model, weights)
    result = draw_head(_camera(yaw), vertices, model, painted, lights=studio_lights(), background=BACKGROUND)
    return to_srgb8(result.colour)[0]


def _heat_map(
    neutral: Float[np.ndarray, "vertex 3"], deviation: Float[np.ndarray, " vertex"], model: MorphableModel
) -> np.ndarray:
    """The skin, coloured by one standard deviation."""
    skin = model.parts["head"]
    share = np.clip(deviation / WORST, 0, 1)
    colours = np.stack([np.interp(share, np.linspace(0, 1, len(HEAT)), channel) for channel in np.transpose(HEAT)], 1)
    result = render_mesh(
        _camera(-0.35),
        torch.as_tensor(neutral)[None],
        model.triangles[skin.triangles],
        colour=torch.tensor(colours, dtype=torch.float32),
        lights=studio_lights(),
        background=BACKGROUND,
        supersample=2,
    )
    return to_srgb8(result.colour)[0]


def _camera(yaw: float) -> Camera:
    centre = torch.tensor([0.0, -0.025, 0.02])
    eye = centre + DISTANCE * torch.tensor([np.sin(yaw), 0.04, np.cos(yaw)], dtype=torch.float32)
    return Camera.looking_at(eye, centre, [0.0, 1.0, 0.0], FIELD_OF_VIEW, (CELL, CELL))


def _weights(given: dict[str, float]) -> Float[np.ndarray, "52"]:
    return np.array([given.get(name, 0.0) for name in ARKIT_NAMES], np.float32)


def _around(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The face with room around it; grey where that leaves the photo."""
    x0, y0, x1, y1 = box
    half = 0.95 * max(x1 - x0, y1 - y0)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2 - 0.1 * half
    left, top, side = round(cx - half), round(cy - half), round(2 * half)
    grey = Image.new("RGB", (side, side), (52, 52, 52))
    grey.paste(Image.fromarray(image), (-left, -top))
    return np.asarray(grey.resize((CELL, CELL), Image.Resampling.LANCZOS))


def _arranged(cells: list[tuple[str, np.ndarray]], columns: int) -> np.ndarray:
    rows = -(-len(cells) // columns)
    size = (columns * (CELL + GAP) + GAP, rows * (CELL + GAP) + GAP)
    sheet = Image.new("RGB", size, (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for index, (title, picture) in enumerate(cells):
        x = GAP + index % columns * (CELL + GAP)
        y = GAP + index // columns * (CELL + GAP)
        sheet.paste(Image.fromarray(picture), (x, y))
        draw.text((x + 8, y + CELL - 24), title, font=font, fill=(255, 255, 255), stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(sheet)
