"""What cameras and files do to a picture."""

from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

GRAIN = 384
"""Half of the side of the field of noise, in pixels."""


def with_faults(
    random: np.random.Generator, linear: Float[np.ndarray, "height width 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """An sRGB photo of a linear picture: blurred, coloured, noisy, compressed, each by chance."""
    picture = encoded(linear)
    picture = _coloured(random, picture)
    picture = _blurred(random, picture)
    if random.uniform() < 0.7:
        amount = random.uniform(0, 0.02) if random.uniform() < 0.85 else random.uniform(0.02, 0.08)
        picture = picture + np.float32(amount) * _grain(random, picture.shape)
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if random.uniform() < 0.12:
        pixels = np.repeat(pixels.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    if random.uniform() < 0.55:
        quality = int(random.uniform(25, 96))
        coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1]
    return np.ascontiguousarray(pixels)


def _grain(random: np.random.Generator, shape: tuple[int, ...]) -> Float[np.ndarray, "height width 3"]:
    """Noise of unit variance, of single pixels or a little wider: a piece of a field that is drawn once."""
    field = _grain_field(bool(random.uniform() < 0.4), max(2 * GRAIN, *shape[:2]))
    y, x = (int(random.integers(0, len(field) - side + 1)) for side in shape[:2])
    return field[y : y + shape[0], x : x + shape[1]]


@cache
def _grain_field(wide: bool, size: int) -> Float[np.ndarray, "size size 3"]:
    field = np.random.default_rng(2).standard_normal((size, size, 3), dtype=np.float32)
    return cv2.GaussianBlur(field, (0, 0), 0.7) * 1.6 if wide else field


def encoded(linear: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """sRGB in [0, 1] of linear light, by a table of 4096 steps."""
    return _SRGB[(np.clip(linear, 0, 1) * 4095 + 0.5).astype(np.uint16)]


_STEPS = np.arange(4096, dtype=np.float32) / 4095
_SRGB = np.where(_STEPS <= 0.0031308, 12.92 * _STEPS, 1.055 * _STEPS ** (1 / 2.4) - 0.055).astype(np.float32)


def _coloured(random: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    if random.uniform() < 0.6:
        contrast, brightness = np.float32(random.uniform(0.75, 1.3)), np.float32(random.normal(0, 0.05))
        balance = (1 + random.normal(0, 0.05, 3)).astype(np.float32)
        picture = (picture - 0.45) * contrast * balance + 0.45 + brightness
    if random.uniform() < 0.3:
        grey = picture.mean(2, keepdims=True)
        picture = grey + (picture - grey) * np.float32(random.uniform(0.3, 1.6))
    return picture


def _blurred(random: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    kind, (height, width) = random.uniform(), picture.shape[:2]
    if kind < 0.3:
        return cv2.GaussianBlur(picture, (0, 0), random.uniform(0.4, 1.6) * width / 256)
    if kind < 0.36:
        reach, angle = random.uniform(2, 8) * width / 256, random.uniform(0, np.pi)
        kernel = np.zeros((17, 17), np.float32)
        offset = np.array([np.cos(angle), np.sin(angle)]) * reach / 2
        start, end = (tuple(((8 + sign * offset) * 16).astype(int).tolist()) for sign in (-1, 1))
        cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, shift=4)
        return cv2.filter2D(picture, -1, kernel / kernel.sum())
    if kind < 0.5:
        scale = random.uniform(0.25, 0.8)
        small = cv2.resize(picture, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=int(random.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if kind < 0.6:
        return picture + np.float32(random.uniform(0.3, 1.0)) * (picture - cv2.GaussianBlur(picture, (0, 0), 1.2))
    return picture
