"""Textures of one colour a part, for models on whose texture nothing is known to lie."""

import numpy as np
from jaxtyping import Float, UInt8

from morphable.albedo import AlbedoSpace
from morphable.appearance import FLESH, IVORY, LASH, SCLERA, SKIN
from morphable.model import MorphableModel

COLOURS = {
    "head": ("head", SKIN),
    "eyes": ("eye_left", SCLERA),
    "teeth": ("teeth_upper", IVORY),
    "tongue": ("tongue", FLESH),
    "lashes": ("lashes", (*LASH, 0.0)),
}
"""A part that has the texture, and the colour. Lashes are strips whose hairs only a texture of their own could show;
without it they are not seen."""
SIZE = 8


def uniform_textures(
    model: MorphableModel, albedo: AlbedoSpace | None = None
) -> dict[str, UInt8[np.ndarray, "height width channel"]]:
    """sRGB textures of the parts that the model has; the skin's is the mean of its colour space, if one is given and
    lies on the texture."""
    textures = {
        texture: np.tile(_encoded(np.array(colour)), (SIZE, SIZE, 1))
        for texture, (part, colour) in COLOURS.items()
        if part in model.parts
    }
    if albedo is not None and albedo.mean.ndim == 3:
        textures["head"] = np.rint(255 * albedo.mean.float().clamp(0, 1).numpy()).astype(np.uint8)
    return textures


def _encoded(linear: Float[np.ndarray, " channel"]) -> UInt8[np.ndarray, " channel"]:
    """sRGB's transfer function (IEC 61966-2-1)."""
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)
