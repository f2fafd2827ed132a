"""Clips of one person that make one avatar: their frames, numbered through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avatars.capture import Capture
from avatars.neural.avatar import NeuralAvatar
from avatars.neural.driving import Moment


class Shot(NamedTuple):
    """A frame of a clip.

    Attributes:
        clip: which one, from 0.
        capture: the clip.
        frame: of it, from 0.
    """

    clip: int
    capture: Capture
    frame: int

    @property
    def picture(self) -> Float[Tensor, "height width 3"]:
        """Encoded sRGB."""
        return torch.as_tensor(self.capture.frames[self.frame]).float() / 255

    @property
    def mask(self) -> Float[Tensor, "height width"]:
        """Opacity of the person."""
        return torch.as_tensor(self.capture.masks[self.frame]).float() / 255

    @property
    def background(self) -> Float[Tensor, "height width 3"]:
        """Encoded sRGB."""
        return torch.as_tensor(self.capture.background).float() / 255

    def moment(self, avatar: NeuralAvatar) -> Moment:
        """As tracked, in the clip's look."""
        return avatar.looks.moment(avatar.moment(self.capture.performance, self.frame), self.clip)


class Footage:
    """Captures of one head, each by its own camera, in its own world and light.

    Attributes:
        captures: of the clips; the first one's camera, background and look become the avatar's.
        starts: number of the first frame of each, and at last of all frames.
    """

    captures: tuple[Capture, ...]
    starts: Int[np.ndarray, " clips_and_one"]

    def __init__(self, captures: Sequence[Capture]) -> None:
        """Raises ValueError where there is no capture, or they are of several heads."""
        if not captures:
            raise ValueError("an avatar is learned from at least one capture")
        if any(not np.array_equal(each.head.neutral, captures[0].head.neutral) for each in captures):
            raise ValueError("captures of one avatar have one head; give the same to each")
        self.captures = tuple(captures)
        self.starts = np.cumsum([0, *map(len, captures)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, number: int) -> Shot:
        """A frame by its number in all of the footage."""
        clip = int(np.searchsorted(self.starts, number, side="right")) - 1
        return Shot(clip, self.captures[clip], int(number - self.starts[clip]))

    @property
    def weights(self) -> Float[np.ndarray, "frame 52"]:
        """Of the expression, in all frames."""
        return np.concatenate([capture.performance.weights for capture in self.captures])

    def tracked(self, frames: Int[np.ndarray, " some"]) -> list[Moment]:
        """Frames as tracked, without any habit."""
        shots = (self[int(frame)] for frame in frames)
        return [Moment.tracked(shot.capture.performance, shot.frame) for shot in shots]

    def of_first(self, frames: Int[np.ndarray, " some"]) -> Int[np.ndarray, " fewer"]:
        """Those frames that are the first clip's."""
        return frames[frames < self.starts[1]]
