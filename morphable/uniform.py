"""Textures of one colour a part, for models on whose texture nothing is known to lie."""

import numpy as np
from jaxtyping import Float, UInt8

from morphable.albedo import AlbedoSpace
from morphable.appearance import FLESH, IVORY, LASH, SCLERA, SKIN

COLOURS = {"head": SKIN, "eyes": SCLERA, "teeth": IVORY, "tongue": FLESH, "lashes": (*LASH, 0.0)}
"""Lashes are strips whose hairs only a texture of theirs could show; without it they are not seen."""
SIZE = 8


def uniform_textures(albedo: AlbedoSpace | None = None) -> dict[str, UInt8[np.ndarray, "height width channel"]]:
    """sRGB textures of every part that a model may have; the skin's is the mean of its colour space, if one is given
    and lies on the texture."""
    textures = {part: np.tile(_encoded(np.array(colour)), (SIZE, SIZE, 1)) for part, colour in COLOURS.items()}
    if albedo is not None and albedo.mean.ndim == 3:
        textures["head"] = np.rint(255 * albedo.mean.float().clamp(0, 1).numpy()).astype(np.uint8)
    return textures


def _encoded(linear: Float[np.ndarray, " channel"]) -> UInt8[np.ndarray, " channel"]:
    """sRGB's transfer function (IEC 61966-2-1)."""
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)
