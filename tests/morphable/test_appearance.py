import numpy as np
import pytest

import morphable
from morphable import default_textures, plain_textures

SIZE = 256
CHANNELS = {"head": 3, "eyes": 3, "teeth": 3, "tongue": 3, "lashes": 4}


@pytest.fixture(scope="module")
def model():
    return morphable.load()


@pytest.mark.parametrize("paint", [default_textures, plain_textures])
def test_each_part_has_its_sheet(model, paint):
    sheets = paint(model, resolution=SIZE)
    assert {name: sheet.shape[2] for name, sheet in sheets.items()} == CHANNELS
    assert sheets["head"].shape[:2] == (SIZE, SIZE)
    assert all(sheet.dtype == np.uint8 for sheet in sheets.values())


@pytest.mark.parametrize("paint", [default_textures, plain_textures])
def test_the_same_arguments_give_the_same_pixels(model, paint):
    once, again = paint(model, resolution=SIZE), paint(model, resolution=SIZE)
    assert all(np.array_equal(once[name], again[name]) for name in once)


def test_colours_land_where_they_belong(model):
    colours = {"skin_colour": (0.5, 0.5, 0.5), "lip_colour": (1, 0, 0), "brow_colour": (0, 0, 1)}
    sheet = plain_textures(model, **colours, iris_colour=(0, 1, 0), resolution=SIZE)
    names = np.array(model.region_names)[model.region_map.numpy()]
    names = names[:: len(names) // SIZE, :: len(names) // SIZE]
    head = sheet["head"].astype(float)
    for prefix, channel in (("lip", 0), ("brow", 2)):
        region = head[np.char.startswith(names, prefix)].mean(0)
        assert region.argmax() == channel
    assert np.allclose(head[names == "ears"].mean(0), 188, atol=2)
    assert (sheet["eyes"] == (0, 255, 0)).all(-1).any()


def test_a_finer_sheet_shows_the_same(model):
    coarse, fine = (default_textures(model, resolution=size)["head"].astype(float) for size in (SIZE, 2 * SIZE))
    averaged = fine.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    assert np.abs(averaged.mean((0, 1)) - coarse.mean((0, 1))).max() < 2
