"""From an articulation to the ARKit shapes of the mouth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from avatars.speech.articulation import CHANNELS
from morphable import ARKIT_NAMES

SHAPES: dict[str, dict[str, float]] = {
    "jaw": {"jawOpen": 1.0},
    "pucker": {"mouthPucker": 1.0},
    "funnel": {"mouthFunnel": 1.0},
    "spread": {"mouthStretch": 0.5, "mouthDimple": 0.25, "mouthSmile": 0.15},
    "upper": {"mouthUpperUp": 1.0},
    "lower": {"mouthLowerDown": 1.0},
    "tongue": {"tongueOut": 1.0},
    "closure": {"mouthPress": 0.25, "mouthRollLower": 0.12, "mouthRollUpper": 0.12},
    "labiodental": {"mouthShrugUpper": 0.1},
}
"""What a channel at 1 does, on both sides. The contacts themselves are made last, by contact.Lips."""


def _matrix() -> Float[np.ndarray, "channel 52"]:
    matrix = np.zeros((len(CHANNELS), len(ARKIT_NAMES)))
    for row, channel in zip(matrix, CHANNELS, strict=True):
        for shape, weight in SHAPES[channel].items():
            for side in ("", "Left", "Right"):
                if shape + side in ARKIT_NAMES:
                    row[ARKIT_NAMES.index(shape + side)] = weight
    return matrix


MATRIX = _matrix()


def mouth_weights(articulation: Float[np.ndarray, "frame channel"]) -> Float[np.ndarray, "frame 52"]:
    """Weights of the 52 shapes, before lips are brought into contact."""
    return articulation @ MATRIX
