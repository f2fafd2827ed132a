"""The way a person moves, taken from a performance of theirs: range, asymmetry, habits, how often they blink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from avatars.speech.life import BLINKS_A_MINUTE
from morphable import ARKIT_NAMES, Performance

STYLED = np.array(
    [
        name.startswith(("brow", "cheek", "eyeSquint", "eyeWide", "jaw", "mouth", "noseSneer")) and name != "mouthClose"
        for name in ARKIT_NAMES
    ]
)
"""Shapes that people differ in; gaze, lids, the tongue and contacts are not among them."""
LOW, HIGH = 10, 95
"""Percentiles between which a shape's range lies: its rest, and what it reaches."""
LEAST_RANGE = 0.02
"""A shape that the reference moves less than this says nothing of its range."""
GAINS, HEAD_GAINS = (0.5, 1.8), (0.3, 2.5)
LARGEST_HABIT = 0.3
"""Weight at rest: more of it would be an expression, not a habit."""
SHORTEST = 2.0
"""Seconds of reference."""
SHUT = 0.5
"""Weight of eyeBlink from which lids count as shut."""


@dataclass(frozen=True, eq=False)
class Style:
    """How a person moves.

    Attributes:
        ranges: of each shape, in weights.
        habits: each shape's weight at rest.
        head: standard deviation of the head's rotation about x, y, z, radians.
        blinks: a minute.
    """

    ranges: Float[np.ndarray, " 52"]
    habits: Float[np.ndarray, " 52"]
    head: Float[np.ndarray, " 3"]
    blinks: float

    @classmethod
    def of(cls, performance: Performance) -> Style:
        """That of a performance, from the frames that were seen.

        Raises:
            ValueError: there is too little of it.
        """
        seen = performance.confidence > 0.5
        if performance.duration < SHORTEST or seen.sum() < 10:
            raise ValueError(f"a style takes at least {SHORTEST:g} seconds of a performance in which a face is seen")
        weights = performance.weights[seen].astype(float)
        low, high = np.percentile(weights, (LOW, HIGH), axis=0)
        minutes = performance.duration / 60
        blinks = _blinks(performance.weights, performance.times) / minutes if _moves_lids(weights) else BLINKS_A_MINUTE
        return cls(high - low, low, performance.head[seen].std(0), float(np.clip(blinks, 2, 60)))

    def worn(
        self, weights: Float[np.ndarray, "frame 52"], speech: Bool[np.ndarray, " frame"]
    ) -> Float[np.ndarray, "frame 52"]:
        """Weights with this person's ranges and habits; what their own range is, is seen where there is speech."""
        if not speech.any():
            return weights
        low, high = np.percentile(weights[speech], (LOW, HIGH), axis=0)
        known = STYLED & (self.ranges > LEAST_RANGE) & (high - low > LEAST_RANGE)
        gain = np.where(known, np.clip(self.ranges / np.maximum(high - low, LEAST_RANGE), *GAINS), 1.0)
        return (weights * gain + np.where(STYLED, self.habits.clip(0, LARGEST_HABIT), 0.0)).clip(0, 1)

    def turned(self, head: Float[np.ndarray, "frame 3"]) -> Float[np.ndarray, "frame 3"]:
        """Head rotations as wide as this person's."""
        own = head.std(0)
        return head * np.where(own > 1e-6, np.clip(self.head / np.maximum(own, 1e-6), *HEAD_GAINS), 1.0)


def _moves_lids(weights: np.ndarray) -> bool:
    return bool(weights[:, _LIDS].max() > SHUT)


def _blinks(weights: np.ndarray, times: np.ndarray) -> int:
    """How many times the lids fall, at least 0.15 s apart."""
    shut = weights[:, _LIDS].mean(1) > SHUT
    falls = times[1:][shut[1:] & ~shut[:-1]]
    return int(1 + (np.diff(falls) > 0.15).sum()) if len(falls) else 0


_LIDS = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
