"""Training's state on the disk: files whose names say the step and the digest of what they hold."""

from __future__ import annotations

import warnings
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from avatars.neural.storage import digest, read_groups

KEPT = 3
"""Newest checkpoints that stay."""


def write(folder: Path, step: int, state: dict[str, Tensor]) -> Path:
    """Add a checkpoint; it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "unfinished"
    save_file(state, unfinished)
    path = unfinished.replace(folder / f"{step:07d}-{digest(unfinished)}.safetensors")
    for old in _all(folder)[:-KEPT]:
        old.unlink()
    return path


def newest(folder: Path) -> dict[str, dict[str, Tensor]] | None:
    """Groups of tensors of the newest whole checkpoint, None if there is none; damaged ones are named in a warning."""
    for path in reversed(_all(folder)):
        if digest(path) == path.stem.partition("-")[2]:
            return read_groups(path)
        warnings.warn(f"the checkpoint {path} is damaged; the one before it is used", stacklevel=2)
    return None


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-*.safetensors"))
