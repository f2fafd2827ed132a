"""Learning in steps that can be interrupted anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from avatars.neural import checkpoints
from avatars.neural.avatar import NeuralAvatar
from avatars.neural.evaluation import peak_signal
from avatars.neural.footage import Footage

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
        footage: what it is learned from.
        step: how many are done.
    """

    step: int

    @property
    def avatar(self) -> NeuralAvatar: ...

    @property
    def footage(self) -> Footage: ...

    def advance(self) -> None:
        """One step."""

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint holds."""

    def restore(self, groups: dict[str, dict[str, Tensor]] | None) -> None:
        """Go on from a checkpoint, if there is one."""


def frames_to_learn(footage: Footage, held_out: Int[np.ndarray, " some"]) -> Int[np.ndarray, " learned"]:
    """All others.

    Raises:
        ValueError: there are none of the first clip.
    """
    learned = np.setdiff1d(np.arange(len(footage)), held_out)
    if not len(footage.of_first(learned)):
        raise ValueError("no frame of the first clip is left to learn from; hold out fewer")
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
            seen = [peak_signal(training.avatar, training.footage[int(index)]) for index in looked]
            quality = float(np.mean(seen))
        if training.step % SAVE_EVERY == 0:
            checkpoints.write(folder, training.step, training.state())
        if progress:
            progress(training.step, steps, quality)


def frame_of_step(learned: Int[np.ndarray, " learned"], step: int) -> int:
    """The next frame of rounds that are shuffled anew each time, always in the same way."""
    turn, place = divmod(step, len(learned))
    return int(np.random.default_rng([0, turn]).permutation(learned)[place])


def set_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float], share: float) -> None:
    """Step sizes of an optimizer's groups: a share of those at the start."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * share


def optimizer_groups(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, dict[str, Tensor]]:
    """What optimizers remember, as a checkpoint holds it."""
    return {
        f"optimizer {number} {key}": {name: torch.as_tensor(value) for name, value in held.items()}
        for number, optimizer in enumerate(optimizers)
        for key, held in optimizer.state_dict()["state"].items()
    }


def restore_optimizers(optimizers: Sequence[torch.optim.Optimizer], groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Give optimizers back what `optimizer_groups` wrote."""
    for number, optimizer in enumerate(optimizers):
        whole = optimizer.state_dict()
        counts = isinstance(optimizer, torch.optim.SparseAdam)  # its steps are numbers, Adam's are tensors
        for group, values in groups.items():
            if group.startswith(f"optimizer {number} "):
                state = {name: int(value) if name == "step" and counts else value for name, value in values.items()}
                whole["state"][int(group.split()[-1])] = state
        optimizer.load_state_dict(whole)
