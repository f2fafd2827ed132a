"""Textures that remember their file, so that saving and loading a head changes no pixel."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import UInt8
from PIL import Image

QUALITY = 95
"""JPEG quality at which a 2048² skin takes 1 to 2 MB and no difference is seen (PNG: up to 7 MB)."""

MAX_SIZE = 16384
"""Pixels a side; larger images are refused before memory is asked for."""


@dataclass(frozen=True)
class Texture:
    """An image as the bytes of its JPEG or PNG file; the pixels are what those decode to, sRGB.

    Raises:
        ValueError: the bytes are no JPEG or PNG, or the image is larger than 16384 pixels a side.
    """

    encoded: bytes

    def __post_init__(self) -> None:
        try:
            with self._open() as image:
                size = image.size
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError("a texture is no JPEG or PNG image") from error
        if max(size) > MAX_SIZE:
            raise ValueError(f"a texture of {size[0]}x{size[1]} pixels is too large")

    @classmethod
    def encode(cls, pixels: UInt8[np.ndarray, "height width channel"]) -> Texture:
        """Encodes sRGB pixels: RGB as JPEG, which is lossy, RGBA as PNG."""
        file = io.BytesIO()
        image = Image.fromarray(pixels)
        if image.mode == "RGBA":
            image.save(file, "PNG", optimize=True)
        else:
            image.save(file, "JPEG", quality=QUALITY, subsampling=0)
        return cls(file.getvalue())

    @cached_property
    def pixels(self) -> UInt8[np.ndarray, "height width channel"]:
        """The decoded image, read-only; raises OSError where the file is damaged."""
        with self._open() as image:
            return np.asarray(image)

    @property
    def suffix(self) -> str:
        """`.png` or `.jpg`."""
        return ".png" if self.encoded.startswith(b"\x89PNG") else ".jpg"

    @property
    def media_type(self) -> str:
        return {".png": "image/png", ".jpg": "image/jpeg"}[self.suffix]

    def _open(self) -> Image.Image:
        return Image.open(io.BytesIO(self.encoded), formats=("JPEG", "PNG"))
