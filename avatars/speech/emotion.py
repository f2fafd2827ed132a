"""Seven emotions over any speech: what they do to face, head, effort and blinks. Neutral is none of them.

The shapes are the action units that Ekman and Friesen's manual (EMFACS) lists for each, in ARKit's names. An emotion
comes and goes with an intensity; emotions mix by adding up; lips still meet, since contacts are made after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from morphable import ARKIT_NAMES

Intensity = float | Sequence[tuple[float, float]]
"""From 0 to 1: the same throughout, or from key to key, each a time (seconds, rising) and the intensity there."""


@dataclass(frozen=True)
class Emotion:
    """At intensity 1: weights by shape (on both sides, unless named with one), the head's turn in degrees (pitch down,
    yaw left, roll), how much wider the mouth opens, and how many times as often lids blink."""

    shapes: dict[str, float] = field(default_factory=dict)
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    effort: float = 0.0
    blinks: float = 1.0


EMOTIONS = {
    "neutral": Emotion(),
    "anger": Emotion(
        {"browDown": 0.8, "eyeSquint": 0.4, "eyeWide": 0.25, "noseSneer": 0.35, "mouthPress": 0.3, "mouthFrown": 0.25}
        | {"jawForward": 0.15, "mouthUpperUp": 0.12, "mouthLowerDown": 0.15},
        head=(4.0, 0.0, 0.0),
        effort=0.3,
        blinks=0.7,
    ),
    "disgust": Emotion(
        {"noseSneer": 0.8, "mouthUpperUp": 0.35, "browDown": 0.45, "eyeSquint": 0.5, "cheekSquint": 0.4}
        | {"mouthFrown": 0.3, "mouthShrugLower": 0.2},
        head=(-3.0, 5.0, 2.0),
        effort=-0.1,
    ),
    "fear": Emotion(
        {"browInnerUp": 0.8, "browOuterUp": 0.35, "browDown": 0.2, "eyeWide": 0.7, "mouthStretch": 0.5}
        | {"jawOpen": 0.05, "mouthFrown": 0.15},
        head=(-3.0, 0.0, 0.0),
        effort=0.1,
        blinks=1.5,
    ),
    "happiness": Emotion(
        {"mouthSmile": 0.7, "cheekSquint": 0.55, "eyeSquint": 0.3, "mouthDimple": 0.2, "mouthUpperUp": 0.12}
        | {"browOuterUp": 0.12, "browInnerUp": 0.1},
        head=(-2.0, 0.0, 2.0),
        effort=0.12,
        blinks=1.2,
    ),
    "sadness": Emotion(
        {"browInnerUp": 0.75, "browDown": 0.15, "eyeSquint": 0.2, "eyeBlink": 0.15, "mouthFrown": 0.6}
        | {"mouthShrugLower": 0.25, "mouthRollLower": 0.08},
        head=(6.0, 0.0, 1.5),
        effort=-0.3,
        blinks=0.8,
    ),
    "surprise": Emotion(
        {"browInnerUp": 0.9, "browOuterUp": 0.85, "eyeWide": 0.75, "jawOpen": 0.08, "mouthFunnel": 0.08},
        head=(-4.0, 0.0, 0.0),
        effort=0.25,
        blinks=0.6,
    ),
    "contempt": Emotion(
        {"mouthSmileLeft": 0.5, "mouthDimpleLeft": 0.6, "mouthPressLeft": 0.3, "eyeSquint": 0.3, "browDownRight": 0.3}
        | {"browOuterUpLeft": 0.3, "eyeBlink": 0.1},
        head=(-4.0, 3.0, -2.0),
        effort=-0.1,
    ),
}


@dataclass(frozen=True, eq=False)
class Mood:
    """What a mixture of emotions asks for by frame, in the units of Emotion; head in radians."""

    shapes: Float[np.ndarray, "frame 52"]
    head: Float[np.ndarray, "frame 3"]
    effort: Float[np.ndarray, " frame"]
    blinks: float


def mood(emotions: Mapping[str, Intensity], times: Float[np.ndarray, " frame"]) -> Mood:
    """The mixture of emotions by name and intensity, at these times (seconds).

    Raises:
        ValueError: an unknown emotion, or an intensity that is not from 0 to 1.
    """
    frames = len(times)
    shapes, head, effort, blinks = np.zeros((frames, 52)), np.zeros((frames, 3)), np.ones(frames), 1.0
    for name, given in emotions.items():
        if name not in EMOTIONS:
            raise ValueError(f"there is no emotion {name!r}; there are {', '.join(EMOTIONS)}")
        emotion, intensity = EMOTIONS[name], _intensity(name, given, times)
        shapes += intensity[:, None] * _row(emotion.shapes)
        head += intensity[:, None] * np.deg2rad(emotion.head)
        effort += intensity * emotion.effort
        blinks *= emotion.blinks ** float(intensity.mean())
    return Mood(shapes.clip(0, 1), head, effort.clip(0.4, 1.6), blinks)


def _intensity(name: str, given: Intensity, times: np.ndarray) -> Float[np.ndarray, " frame"]:
    keys = np.array([(0.0, given)] if isinstance(given, int | float) else list(given), dtype=float).reshape(-1, 2)
    if not len(keys) or not ((keys[:, 1] >= 0) & (keys[:, 1] <= 1)).all():
        raise ValueError(f"the intensity of {name} must be from 0 to 1")
    if not (np.isfinite(keys[:, 0]).all() and (np.diff(keys[:, 0]) > 0).all()):
        raise ValueError(f"the times of {name} must rise from key to key")
    return np.interp(times, *keys.T)


def laid_over(
    weights: Float[np.ndarray, "frame 52"], more: Float[np.ndarray, "frame 52"]
) -> Float[np.ndarray, "frame 52"]:
    """Weights over weights: what is nearly full grows little (1 - (1 - a)(1 - b))."""
    return 1 - (1 - weights.clip(0, 1)) * (1 - more.clip(0, 1))


def _row(shapes: Mapping[str, float]) -> Float[np.ndarray, " 52"]:
    row = np.zeros(len(ARKIT_NAMES))
    for name, weight in shapes.items():
        for side in ("", "Left", "Right"):
            if name + side in ARKIT_NAMES:
                row[ARKIT_NAMES.index(name + side)] = weight
    return row
