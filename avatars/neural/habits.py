"""How a person moves, as a clip tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avatars.neural.driving import Moment
from morphable import ARKIT_NAMES, Performance

EXPRESSIONS = len(ARKIT_NAMES)
MOODS = 4
"""Directions among expressions in which avatars are corrected."""
LEAST_MOOD = 0.05
"""Deviation below which a direction is noise."""
FARTHEST_MOOD = 2.5
"""Deviations of an expression from the clip's mean beyond which corrections grow no more."""
HABIT_RATES = {"pose": 2e-4, "torso": 2e-3}
"""Step sizes of Adam at the start, for what is learned of them."""
DEVIATIONS = torch.tensor([0.02] * 3 + [0.002] * 3 + [0.03] * 3 + [0.01] * 3 + [0.1] * EXPRESSIONS)
"""By how much tracking may be off in a frame: rotation, translation, those of the torso, weights; radians, metres."""
PLACES = 12
"""Of those, numbers that say where head and torso are."""
FARTHEST_LACK = 2.5
"""Deviations; how much a pose and an expression tell of at most."""
STEADINESS = 1.0
"""Frames that say that tracking lacks nothing, when what it lacks is told from pose and expression."""
FRAME_RATE = 0.15
"""Step size of those, in deviations."""


@dataclass
class Habits:
    """What a clip says of how a person moves; all linear.

    Attributes:
        mean: of the expression weights.
        moods: directions in which expressions differ, each over its deviation: moods @ (weights - mean) are their
            coordinates.
        pose: of (1, rotation, translation) → what tracking lacks of rotation and translation.
        torso: of (rotation, translation) of the head → rotation and translation of the torso.
        lack: of `causes` → what else tracking lacks of rotation and translation, of the head and of the torso, in
            DEVIATIONS; empty: nothing. Weights keep what they say, so that eyes that should shut do.
    """

    mean: Float[Tensor, " 52"]
    moods: Float[Tensor, "mood 52"]
    pose: Float[Tensor, "7 6"]
    torso: Float[Tensor, "6 6"]
    lack: Float[Tensor, "cause 12"] = field(default_factory=lambda: torch.zeros(0, PLACES))

    @classmethod
    def of(cls, weights: Float[np.ndarray, "frame 52"]) -> Habits:
        """Of a clip's expressions; poses as tracked, and a torso that keeps still."""
        return cls(*_moods(weights), torch.zeros(7, 6), torch.zeros(6, 6))

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def coordinates(self, weights: Float[Tensor, " 52"]) -> Float[Tensor, " mood"]:
        """Of an expression, among moods."""
        return (self.moods @ (weights - self.mean)).clamp(-FARTHEST_MOOD, FARTHEST_MOOD)

    def causes(self, tracked: Moment) -> Float[Tensor, " cause"]:
        """What an error of tracking may depend on: nothing, rotation, translation, coordinates among moods."""
        return torch.cat([torch.ones(1), tracked.head, tracked.place, self.coordinates(tracked.weights)])

    def absorb(self, changes: Float[Tensor, "frame 64"], tracked: Sequence[Moment]) -> None:
        """Learn from what was changed in frames (in DEVIATIONS) what tracking lacks of where head and torso are: the
        part that poses and expressions explain, by least squares."""
        causes = torch.stack([self.causes(moment) for moment in tracked])
        spread = causes.std(0, correction=0).clamp(min=1e-6)
        spread[0] = 1
        scaled = causes / spread
        steady = STEADINESS * torch.eye(len(spread))
        steady[0, 0] = 0
        explained = torch.linalg.solve(scaled.T @ scaled + steady, scaled.T @ changes[:, :PLACES])
        self.lack = explained / spread[:, None]

    def moment(self, performance: Performance, index: int) -> Moment:
        """A frame of a performance, as this person does it."""
        moment = Moment.tracked(performance, index)
        tracked = torch.cat([moment.head, moment.place])
        corrected = tracked + torch.cat([tracked.new_ones(1), tracked]) @ self.pose
        done = moment._replace(head=corrected[:3], place=corrected[3:], torso=tracked @ self.torso)
        if not len(self.lack):
            return done
        lack = (self.causes(moment) @ self.lack).clamp(-FARTHEST_LACK, FARTHEST_LACK)
        return done.changed(torch.nn.functional.pad(lack, (0, EXPRESSIONS)) * DEVIATIONS)


def frame_changes(frames: int) -> torch.nn.Embedding:
    """What tracking is off by in each frame, in DEVIATIONS: nothing yet."""
    changes = torch.nn.Embedding(frames, len(DEVIATIONS), sparse=True)
    torch.nn.init.zeros_(changes.weight)
    return changes


def _moods(weights: Float[np.ndarray, "frame 52"]) -> tuple[Float[Tensor, " 52"], Float[Tensor, "mood 52"]]:
    """Mean, and principal directions over their deviations."""
    mean = weights.mean(0)
    _, strengths, directions = np.linalg.svd(weights - mean, full_matrices=False)
    deviations = strengths / np.sqrt(len(weights))
    kept = np.flatnonzero(deviations > LEAST_MOOD)[:MOODS]
    moods = directions[kept] / deviations[kept, None]
    return torch.as_tensor(mean).float(), torch.as_tensor(moods).float().reshape(-1, EXPRESSIONS)
