"""Where training begins: a Gaussian on every triangle of the head, and cloth below it, in the clip's colours."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avatars.capture import Capture
from avatars.gaussian.avatar import GaussianAvatar, Gaussians
from avatars.neural.cloth import cloth_below, sampled
from avatars.neural.footage import Footage
from avatars.neural.habits import Habits
from avatars.neural.looks import Looks

LOOKS = 8
"""Frames from which first colours are taken."""
ZEROTH = 0.28209479
"""The constant harmonic."""
OPACITY, FLATNESS, WIDTH = 0.8, 0.15, 0.45
"""Of first Gaussians; deviations across and along the surface in sizes of their triangle."""


def started(footage: Footage, learned: Int[np.ndarray, " some"]) -> GaussianAvatar:
    """An avatar in which nothing was learned yet; only frames to learn from are looked at, for cloth and colours those
    of the first clip."""
    first, shown = footage.captures[0], footage.of_first(learned)
    cloth = cloth_below(first, shown)
    habits, looks = Habits.of(footage.weights[learned]), Looks.none(len(footage.captures) - 1)
    nothing = _plain(0, len(habits.moods))
    empty = GaussianAvatar(first.head, cloth, nothing, habits, first.camera, first.background, {}, looks)
    empty.gaussians = _plain(len(empty.surface.triangles), len(habits.moods))
    empty.gaussians.colour[:, 0] = (_colours(empty, first, shown) - 0.5) / ZEROTH
    return empty


def _plain(count: int, moods: int) -> Gaussians:
    return Gaussians(
        triangle=torch.arange(count),
        position=torch.zeros(count, 3),
        turn=torch.tensor([0.0, 0.0, 0.0, 1.0]).repeat(count, 1),
        size=torch.tensor([WIDTH, FLATNESS, WIDTH]).log().repeat(count, 1),
        opacity=torch.full((count,), OPACITY).logit(),
        colour=torch.zeros(count, 4, 3),
        shift=torch.zeros(count, moods, 3),
        tint=torch.zeros(count, moods, 3),
    )


def _colours(
    avatar: GaussianAvatar, capture: Capture, learned: Int[np.ndarray, " some"]
) -> Float[Tensor, "gaussian 3"]:
    """Mean of what some frames show at each Gaussian, weighed by the person's opacity there."""
    total, weight = torch.zeros(len(avatar.gaussians), 3), torch.full((len(avatar.gaussians), 1), 1e-6)
    for index in learned[np.linspace(0, len(learned) - 1, min(LOOKS, len(learned))).round().astype(int)]:
        means, _ = avatar.shaped(avatar.moment(capture.performance, int(index)))
        layer = np.concatenate([capture.frames[index], capture.masks[index][..., None]], -1)
        seen = sampled(torch.as_tensor(layer).float() / 255, capture.camera.project(means))
        total += seen[:, :3] * seen[:, 3:]
        weight += seen[:, 3:]
    return total / weight
