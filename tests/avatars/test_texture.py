from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from morphable import Texture


def test_alpha_is_lossless_and_colour_is_close() -> None:
    rows, columns = np.mgrid[0:64, 0:64]
    rgba = np.stack([rows * 4, columns * 4, rows + columns, rows ^ columns], axis=-1).astype(np.uint8)
    assert Texture.encode(rgba).media_type == "image/png"
    assert np.array_equal(Texture.encode(rgba).pixels, rgba)
    colour = Texture.encode(rgba[..., :3])
    assert colour.media_type == "image/jpeg"
    assert np.abs(colour.pixels.astype(int) - rgba[..., :3]).max() <= 8


def test_decoded_pixels_are_what_is_equal() -> None:
    texture = Texture.encode(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    assert Texture(texture.encoded) == texture
    assert np.array_equal(Texture(texture.encoded).pixels, texture.pixels)


def test_other_files_and_bombs_are_refused() -> None:
    gif = io.BytesIO()
    Image.new("L", (4, 4)).save(gif, "GIF")
    bomb = io.BytesIO()
    Image.new("1", (30_000, 2)).save(bomb, "PNG")
    for contents, message in ((b"", "no JPEG or PNG"), (gif.getvalue(), "no JPEG or PNG"), (bomb.getvalue(), "large")):
        with pytest.raises(ValueError, match=message):
            Texture(contents)
