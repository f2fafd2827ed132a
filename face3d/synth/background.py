"""What is behind people: rooms, walls, streets and leaves as far as blurred shapes can pass for them."""

import cv2
import numpy as np
from jaxtyping import Float

from face3d.synth.skin import noise

SHARP = 0.15
"""Share of backgrounds in focus; the others are drawn at half the size."""


def background(random: np.random.Generator, size: int) -> Float[np.ndarray, "size size 3"]:
    """Linear colours."""
    if random.uniform() < SHARP:
        return _drawn(random, size)
    half = _drawn(random, size // 2)
    half = cv2.GaussianBlur(half, (0, 0), np.exp(random.uniform(np.log(0.4), np.log(5))))
    return cv2.resize(half, (size, size), interpolation=cv2.INTER_LINEAR)


def _drawn(random: np.random.Generator, size: int) -> Float[np.ndarray, "size size 3"]:
    first, second = (0.8 * muted(random) for _ in range(2))
    along = np.linspace(0, 1, size, dtype=np.float32)
    slope = along[:, None] * random.uniform(-1, 1) + along[None] * random.uniform(-1, 1)
    picture = (first + np.clip(slope + 0.5, 0, 1)[..., None] * (second - first)).astype(np.float32)
    kind = random.uniform()
    if kind > 0.2:
        for _ in range(random.integers(2, 22)):
            _shape(random, picture)
    if kind > 0.65:
        grain = noise(random, int(random.integers(0, 4)), size)[..., None]
        picture *= np.exp(random.uniform(0.1, 0.7) * grain * random.uniform(0.6, 1.2, 3)).astype(np.float32)
    return picture.clip(0, 2)


def muted(random: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A linear colour as things have them: mostly near grey, seldom vivid."""
    grey = random.uniform(0.1, 1.0) ** 2
    hue = random.uniform(-1, 1, 3)
    return np.clip(grey * (1 + random.beta(1, 3) * 1.3 * (hue - hue.mean())), 0.004, 1.2)


def _shape(random: np.random.Generator, picture: np.ndarray) -> None:
    size = len(picture)
    colour = tuple(muted(random).tolist())
    x, y = (int(c) for c in random.uniform(-0.1, 1.1, 2) * size)
    w, h = (int(c) for c in np.exp(random.uniform(np.log(0.02), np.log(0.7), 2)) * size)
    kind = random.integers(4)
    if kind == 0:
        cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
    elif kind == 1:
        cv2.ellipse(picture, (x, y), (w // 2 + 1, h // 2 + 1), random.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    elif kind == 2:
        end = (int(random.uniform(0, size)), int(random.uniform(0, size)))
        cv2.line(picture, (x, y), end, colour, int(random.integers(1, 14)), cv2.LINE_AA)
    else:
        corners = (random.uniform(-0.5, 0.5, (random.integers(3, 7), 2)) * (w, h) + (x, y)).astype(np.int32)
        cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA)
