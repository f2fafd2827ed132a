"""Learning an avatar from captures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from avatars.capture import Capture
from avatars.gaussian.avatar import GaussianAvatar, Gaussians
from avatars.gaussian.start import started
from avatars.neural.driving import Moment
from avatars.neural.footage import Footage, Shot
from avatars.neural.habits import DEVIATIONS, FRAME_RATE, HABIT_RATES, frame_changes
from avatars.neural.learning import (
    Progress,
    frame_of_step,
    frames_to_learn,
    learn,
    optimizer_groups,
    restore_optimizers,
    set_rates,
)
from avatars.neural.looks import LOOK_RATES
from avatars.neural.similarity import structural_similarity
from avatars.neural.storage import flat_groups
from renderers import Camera, splat


@dataclass(frozen=True)
class Preset:
    """How long and how finely an avatar is learned.

    Attributes:
        size: longer side of the frames, pixels.
        steps: frames that are looked at.
        capacity: Gaussians at most.
    """

    size: int
    steps: int
    capacity: int


PRESETS = {"cpu": Preset(256, 2500, 18_000), "gpu": Preset(512, 15_000, 80_000)}

RATES = {
    "position": 0.05,
    "turn": 0.005,
    "size": 0.01,
    "opacity": 0.03,
    "colour": 0.005,
    "shift": 0.0003,
    "tint": 0.0002,
}
"""Step sizes of Adam at the start, in each tensor's unit."""
HARMONICS = 0.1
"""Gradient of colours' higher orders over that of the first, as they rest on few directions."""
LAST_RATE = 0.05
"""Step sizes at the end over those at the start."""
SIMILARITY, MASK = 0.2, 0.1
"""Weights of structural dissimilarity against absolute difference, and of the difference in opacity."""
LEASH, LARGEST = 4.0, 1.0
"""Sizes of its triangle that a Gaussian may be away from it, and deviations that it may have, before it is held."""
HELD, CALM, TRUSTED = 0.01, 0.02, 1e-3
"""Weights of being held, of corrections by moods and harmonics, and of changes to what was tracked."""
FIRST_GROWTH, GROWTH_EVERY, LAST_GROWTH = 0.1, 0.05, 0.6
"""Of all steps: when Gaussians are added, how often, until when."""
GROWTH = 0.15
"""Of the Gaussians, those that are split at once."""
FAINT = 0.02
"""Opacity below which a Gaussian is taken away."""
SPLIT = 0.6
"""Of the longest deviation, where the halves of a split Gaussian go, and how long they are."""
LEAST_SEEN = 0.02
"""How much the pictures said of a Gaussian's colour, over what they say of one in ten or less, for it to be kept."""
SIDEDNESS = 0.1
"""Metres that count as far as a normal turned by a radian, when what is nearest is looked for."""


def trained(
    captures: Sequence[Capture],
    folder: Path,
    *,
    preset: Preset,
    held_out: Int[np.ndarray, " some"],
    progress: Progress | None = None,
) -> GaussianAvatar:
    """Learn from all frames but those held out; goes on from the newest sound checkpoint in `folder`.

    The same captures give the same avatar on the CPU, interrupted or not.

    Args:
        captures: of clips of one person, all with the same head.
        held_out: numbers of frames, counted through all captures.

    Raises:
        ValueError: nothing of the first capture is left to learn from, or the captures' heads differ.
    """
    footage = Footage(captures)
    training = Training(footage, frames_to_learn(footage, held_out), preset)
    learn(training, folder, preset.steps, held_out, progress)
    return training.finished()


class Training:
    """An avatar that is being learned, and all that going on with it needs."""

    def __init__(self, footage: Footage, learned: Int[np.ndarray, " some"], preset: Preset) -> None:
        self.footage, self.learned, self.preset = footage, learned, preset
        self.avatar = started(footage, learned)
        self.frames = frame_changes(len(footage))
        self.step = 0
        self._own(self.avatar.gaussians)
        self.noticed = torch.zeros(2, len(self.avatar.gaussians))
        self.seen = torch.zeros(len(self.avatar.gaussians))

    def advance(self) -> None:
        """One step, on the next frame of a shuffled round."""
        index = frame_of_step(self.learned, self.step)
        set_rates(self.adam, self.rates, LAST_RATE ** (self.step / self.preset.steps))
        shot = self.footage[index]
        change = self.frames(torch.tensor([index]))[0] * DEVIATIONS
        moment = shot.moment(self.avatar).changed(change)
        camera = shot.capture.camera
        means, axes, opacities, colours = self.avatar.placed(moment, camera)
        means.retain_grad()
        drawn = splat(means, axes, opacities, colours, camera)
        picture = drawn.over(shot.background)
        loss = self._loss(picture, drawn.alpha, shot) + TRUSTED * (change / DEVIATIONS).square().mean()
        loss = loss + TRUSTED * self.avatar.looks.strength(shot.clip)
        for optimizer in self._optimizers():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._notice(means, camera)
        for optimizer in self._optimizers():
            optimizer.step()
        self.step += 1
        self._grow()

    @torch.no_grad()
    def finished(self) -> GaussianAvatar:
        """What was learned, and where nothing was seen what is nearest; what frames' changes have in common becomes a
        habit, so that other frames have it, too."""
        own = Gaussians(**{name: tensor.detach().clone() for name, tensor in self.avatar.gaussians.tensors().items()})
        avatar = replace(self.avatar, gaussians=own)
        avatar.habits.absorb(self.frames.weight[self.learned].detach(), self.footage.tracked(self.learned))
        rest = Moment.rest()
        places = torch.cat([avatar.shaped(rest)[0], SIDEDNESS * avatar.facing(rest)], 1)
        enough = self.seen > LEAST_SEEN * self.seen.quantile(0.9)
        unseen, seen = torch.nonzero(~enough)[:, 0], torch.nonzero(enough)[:, 0]
        if len(seen) and len(unseen):
            nearest = seen[cKDTree(places[seen].numpy()).query(places[unseen].numpy())[1]]
            own.colour[unseen] = 0
            own.colour[unseen, 0] = own.colour[nearest, 0]
        for tensor in (*avatar.habits.tensors().values(), *avatar.looks.tensors().values()):
            tensor.requires_grad_(False)
        return avatar

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint holds."""
        groups = {
            "gaussians": self.avatar.gaussians.tensors(),
            "habits": self.avatar.habits.tensors(),
            "looks": self.avatar.looks.tensors(),
            "training": {
                "step": torch.tensor(self.step),
                "frames": self.frames.weight,
                "noticed": self.noticed,
                "seen": self.seen,
            },
        }
        groups |= optimizer_groups(self._optimizers())
        return {name: tensor.clone() for name, tensor in flat_groups(groups).items()}

    def restore(self, groups: dict[str, dict[str, Tensor]] | None) -> None:
        """Go on from a checkpoint, if there is one."""
        if groups is None:
            return
        for part in ("habits", "looks"):
            for name, tensor in groups.get(part, {}).items():
                getattr(getattr(self.avatar, part), name).data.copy_(tensor)
        self._own(Gaussians(**groups["gaussians"]))
        kept = groups["training"]
        self.step = int(kept["step"])
        self.frames.weight.data.copy_(kept["frames"])
        self.noticed, self.seen = kept["noticed"], kept["seen"]
        restore_optimizers(self._optimizers(), groups)

    def _own(self, gaussians: Gaussians) -> None:
        """Take Gaussians as what is learned, with fresh optimizers."""
        for name in RATES:
            setattr(gaussians, name, getattr(gaussians, name).detach().clone().requires_grad_())
        self.avatar.gaussians = gaussians
        habits, looks = self.avatar.habits, self.avatar.looks
        learned = [(getattr(gaussians, name), rate) for name, rate in RATES.items()]
        learned += [(getattr(habits, name).requires_grad_(), rate) for name, rate in HABIT_RATES.items()]
        learned += [(tensor.requires_grad_(), LOOK_RATES[name]) for name, tensor in looks.tensors().items()]
        self.rates = [rate for _, rate in learned]
        self.adam = torch.optim.Adam([{"params": [tensor], "lr": rate} for tensor, rate in learned], eps=1e-15)
        self.frame_adam = torch.optim.SparseAdam([self.frames.weight], lr=FRAME_RATE)

    def _optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        return self.adam, self.frame_adam

    def _loss(
        self, picture: Float[Tensor, "height width 3"], alpha: Float[Tensor, "height width"], shot: Shot
    ) -> Float[Tensor, ""]:
        truth = shot.picture
        unlike = (1 - structural_similarity(picture, truth)).mean() / 2
        loss = (1 - SIMILARITY) * (picture - truth).abs().mean() + SIMILARITY * unlike
        own = self.avatar.gaussians
        away = (own.position.norm(dim=-1) - LEASH).clamp(min=0).square().mean()
        large = (own.size.exp() - LARGEST).clamp(min=0).square().mean()
        calm = own.shift.square().mean() + own.tint.square().mean() + own.colour[:, 1:].square().mean()
        return loss + MASK * (alpha - shot.mask).abs().mean() + HELD * (away + large) + CALM * calm

    def _notice(self, means: Tensor, camera: Camera) -> None:
        """How much the picture pulls at each Gaussian on the screen, and how much it says of its colour."""
        own = self.avatar.gaussians
        assert means.grad is not None and own.colour.grad is not None
        depth = camera.view(means.detach())[:, 2]
        shown = own.colour.grad[:, 0].abs().sum(-1)
        self.noticed[0] += means.grad.norm(dim=-1) * depth / camera.focal.mean()
        self.noticed[1] += shown > 0
        self.seen += shown
        own.colour.grad[:, 1:] *= HARMONICS

    @torch.no_grad()
    def _grow(self) -> None:
        """Split Gaussians at which the picture pulls most, take away those that are hardly there."""
        every = max(1, round(GROWTH_EVERY * self.preset.steps))
        if self.step % every or not FIRST_GROWTH <= self.step / self.preset.steps <= LAST_GROWTH:
            return
        own = self.avatar.gaussians
        kept = torch.nonzero(own.opacity.sigmoid() >= FAINT)[:, 0]
        pull = (self.noticed[0] / self.noticed[1].clamp(min=1))[kept]
        count = min(round(GROWTH * len(kept)), self.preset.capacity - len(kept))
        parents = kept[pull.topk(max(0, count)).indices]
        chosen = torch.cat([kept, parents])
        halves = torch.isin(chosen, parents)
        after = torch.arange(len(chosen)) >= len(kept)
        before, sparse = self.adam.state_dict(), self.frame_adam
        self._own(Gaussians(**{name: tensor[chosen] for name, tensor in own.tensors().items()}))
        self.frame_adam = sparse
        for number in range(len(RATES)):
            held = before["state"][number]
            for name in ("exp_avg", "exp_avg_sq"):
                held[name] = torch.where(_wide(halves, held[name][chosen]), 0, held[name][chosen])
        self.adam.load_state_dict(before)
        _split(self.avatar.gaussians, halves, torch.where(after, 1.0, -1.0))
        self.noticed = torch.zeros(2, len(chosen))
        self.seen = self.seen[chosen]


def _split(own: Gaussians, halves: Tensor, way: Float[Tensor, " gaussian"]) -> None:
    """Move halves apart along their longest axis, which gets shorter."""
    which = torch.nonzero(halves)[:, 0]
    longest = own.size[which].argmax(-1)
    turns = roma.unitquat_to_rotmat(torch.nn.functional.normalize(own.turn[which], dim=-1))
    axis = turns.gather(2, longest[:, None, None].expand(-1, 3, 1))[..., 0]
    length = own.size[which, longest].exp()
    own.position[which] += (way[which] * SPLIT * length)[:, None] * axis
    own.size[which, longest] += float(np.log(SPLIT))


def _wide(chosen: Tensor, like: Tensor) -> Tensor:
    return chosen.view(-1, *[1] * (like.ndim - 1))
