"""The preview shows how far off the surface may be, where a head says so."""

import numpy as np
import torch

from avatars.painting import paint
from face3d.appearance.sheet import CELL, GAP, preview_sheet
from morphable import Head, MorphableModel
from morphable.appearance import default_textures


def sheet(model: MorphableModel, deviation: np.ndarray | None) -> np.ndarray:
    textures = default_textures(model, resolution=64)
    head = Head.from_model(model, torch.zeros(model.identities), textures, deviation=deviation)
    photo = np.zeros((64, 64, 3), np.uint8)
    return preview_sheet(photo, photo, (16, 16, 48, 48), head, model, *[paint(model, textures, 64)] * 2)


def test_heat_map_is_red_where_the_surface_is_uncertain(model: MorphableModel) -> None:
    deviation = np.where(model.mean[:, 1].numpy() > float(model.mean[:, 1].mean()), 0.005, 0.0).astype(np.float32)
    drawn, without = sheet(model, deviation), sheet(model, None)
    cells = [(picture.shape[0] // CELL) * (picture.shape[1] // CELL) for picture in (drawn, without)]
    assert cells == [10, 10]
    heat = drawn[-CELL - GAP : -GAP, -CELL - GAP : -GAP].astype(int)
    redder = heat[..., 0] - heat[..., 2]
    assert (redder[80:140, 140:220] > 60).mean() > 0.9
    assert (redder[250:300, 150:210] < -60).mean() > 0.9
    assert (without[-CELL:-GAP, -CELL:-GAP] == 24).all()
