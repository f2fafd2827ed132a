"""Learning in steps that can be interrupted anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Int
from torch import Tensor

from avatars.capture import Capture
from avatars.neural import checkpoints
from avatars.neural.avatar import NeuralAvatar
from avatars.neural.evaluation import peak_signal

SAVE_EVERY, LOOK_EVERY = 500, 200
"""Steps between checkpoints, and between looks at frames that are held out."""
LOOKED = 4
"""Of those, how many are looked at."""
Progress = Callable[[int, int, float], None]
"""Told of steps done, of how many, and the PSNR of held-out frames (nan: none were looked at yet)."""


class Training(Protocol):
    """An avatar that is being learned, and all that going on with it needs.

    Attributes:
        avatar: as it is now.
        capture: what it is learned from.
        step: how many are done.
    """

    step: int

    @property
    def avatar(self) -> NeuralAvatar: ...

    @property
    def capture(self) -> Capture: ...

    def advance(self) -> None:
        """One step."""

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint holds."""

    def restore(self, groups: dict[str, dict[str, Tensor]] | None) -> None:
        """Go on from a checkpoint, if there is one."""


def frames_to_learn(capture: Capture, held_out: Int[np.ndarray, " some"]) -> Int[np.ndarray, " learned"]:
    """All others.

    Raises:
        ValueError: there are none.
    """
    learned = np.setdiff1d(np.arange(len(capture)), held_out)
    if not len(learned):
        raise ValueError("no frame is left to learn from; hold out fewer")
    return learned


def learn(
    training: Training,
    folder: Path,
    steps: int,
    held_out: Int[np.ndarray, " some"],
    progress: Progress | None = None,
) -> None:
    """Advance to the last step from the newest sound checkpoint in `folder`, if there is one."""
    training.restore(checkpoints.newest(folder))
    looked = held_out[:: max(1, len(held_out) // LOOKED)]
    quality = float("nan")
    while training.step < steps:
        training.advance()
        if training.step % LOOK_EVERY == 0 and len(looked):
            seen = [peak_signal(training.avatar, training.capture, int(index)) for index in looked]
            quality = float(np.mean(seen))
        if training.step % SAVE_EVERY == 0:
            checkpoints.write(folder, training.step, training.state())
        if progress:
            progress(training.step, steps, quality)
