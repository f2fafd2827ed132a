"""Learning a texture avatar from captures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avatars.capture import Capture
from avatars.neural.cloth import cloth_below
from avatars.neural.footage import Footage, Shot
from avatars.neural.habits import DEVIATIONS, FRAME_RATE, HABIT_RATES, Habits, frame_changes
from avatars.neural.learning import (
    Progress,
    frame_of_step,
    frames_to_learn,
    learn,
    optimizer_groups,
    restore_optimizers,
    set_rates,
)
from avatars.neural.looks import LOOK_RATES, Looks
from avatars.neural.similarity import structural_similarity
from avatars.neural.storage import flat_groups
from avatars.texture.avatar import Drawn, TextureAvatar, decoder_of
from avatars.texture.sheet import sheet_size


@dataclass(frozen=True)
class Preset:
    """How long and how finely an avatar is learned.

    Attributes:
        size: longer side of the frames, pixels.
        steps: frames that are looked at.
        texels: along a side of the skin's texture.
        widths: channels of the decoder at each resolution, the finest first.
    """

    size: int
    steps: int
    texels: int
    widths: tuple[int, ...]


PRESETS = {
    "cpu": Preset(128, 2000, 128, (24, 48, 96)),
    "gpu": Preset(512, 30_000, 512, (32, 64, 128, 128, 128)),
}
FEATURES = 12
"""Of each texel."""
LEVELS = 5
"""Textures that are summed, each half as fine as the one before: what no frame shows is told by the coarse ones."""
TEXTURE_RATE, DECODER_RATE = 0.01, 0.001
"""Step sizes of Adam at the start."""
LAST_RATE = 0.05
"""Step sizes at the end over those at the start."""
SIMILARITY, MASK = 0.2, 0.1
"""Weights of structural dissimilarity against absolute difference, and of the difference in opacity."""
PLAIN = 0.2
"""Weight of the absolute difference between the texture's colours and the picture, where the mesh is."""
CALM, TRUSTED = 0.01, 1e-3
"""Weights of what the expression does to the decoder, and of changes to what was tracked."""


def trained(
    captures: Sequence[Capture],
    folder: Path,
    *,
    preset: Preset,
    held_out: Int[np.ndarray, " some"],
    progress: Progress | None = None,
) -> TextureAvatar:
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


def begun(footage: Footage, learned: Int[np.ndarray, " some"], preset: Preset) -> TextureAvatar:
    """An avatar in which nothing was learned yet; only frames to learn from are looked at, for cloth those of the first
    clip."""
    first = footage.captures[0]
    cloth = cloth_below(first, footage.of_first(learned))
    habits, looks = Habits.of(footage.weights[learned]), Looks.none(len(footage.captures) - 1)
    features = torch.zeros(*sheet_size(preset.texels), FEATURES)
    features[..., :3] = 0.5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = decoder_of(FEATURES, len(habits.moods), preset.widths)
    return TextureAvatar(first.head, cloth, features, decoder, habits, first.camera, first.background, {}, looks)


class Training:
    """An avatar that is being learned, and all that going on with it needs."""

    def __init__(self, footage: Footage, learned: Int[np.ndarray, " some"], preset: Preset) -> None:
        self.footage, self.learned, self.preset = footage, learned, preset
        self.avatar = begun(footage, learned, preset)
        self.start = self.avatar.features
        height, width, _ = self.start.shape
        self.levels = {
            f"level {number}": torch.zeros(1, FEATURES, height >> number, width >> number) for number in range(LEVELS)
        }
        self.frames = frame_changes(len(footage))
        self.step = 0
        groups = [(level, TEXTURE_RATE) for level in self.levels.values()]
        groups += [(weights, DECODER_RATE) for weights in self.avatar.decoder.parameters()]
        groups += [(getattr(self.avatar.habits, name), rate) for name, rate in HABIT_RATES.items()]
        groups += [(tensor, LOOK_RATES[name]) for name, tensor in self.avatar.looks.tensors().items()]
        self.rates = [rate for _, rate in groups]
        self.adam = torch.optim.Adam([{"params": [t.requires_grad_()], "lr": rate} for t, rate in groups])
        self.frame_adam = torch.optim.SparseAdam([self.frames.weight], lr=FRAME_RATE)

    def advance(self) -> None:
        """One step, on the next frame of a shuffled round."""
        index = frame_of_step(self.learned, self.step)
        set_rates(self.adam, self.rates, LAST_RATE ** (self.step / self.preset.steps))
        shot = self.footage[index]
        change = self.frames(torch.tensor([index]))[0] * DEVIATIONS
        self.avatar.features = self._texture()
        drawn = self.avatar.drawn(shot.moment(self.avatar).changed(change), shot.capture.camera)
        loss = self._loss(drawn, shot) + TRUSTED * (change / DEVIATIONS).square().mean()
        loss = loss + TRUSTED * self.avatar.looks.strength(shot.clip)
        for optimizer in (self.adam, self.frame_adam):
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in (self.adam, self.frame_adam):
            optimizer.step()
        self.step += 1

    @torch.no_grad()
    def finished(self) -> TextureAvatar:
        """What was learned; what frames' changes have in common becomes a habit, so that other frames have it, too."""
        self.avatar.features = self._texture()
        self.avatar.habits.absorb(self.frames.weight[self.learned], self.footage.tracked(self.learned))
        self.avatar.decoder.requires_grad_(False)
        for tensor in (*self.avatar.habits.tensors().values(), *self.avatar.looks.tensors().values()):
            tensor.requires_grad_(False)
        return self.avatar

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint holds."""
        groups = {
            "levels": self.levels,
            "decoder": self.avatar.decoder.state_dict(),
            "habits": self.avatar.habits.tensors(),
            "looks": self.avatar.looks.tensors(),
            "training": {"step": torch.tensor(self.step), "frames": self.frames.weight},
        }
        groups |= optimizer_groups((self.adam, self.frame_adam))
        return {name: tensor.clone() for name, tensor in flat_groups(groups).items()}

    def restore(self, groups: dict[str, dict[str, Tensor]] | None) -> None:
        """Go on from a checkpoint, if there is one."""
        if groups is None:
            return
        for part in ("habits", "looks"):
            for name, tensor in groups.get(part, {}).items():
                getattr(getattr(self.avatar, part), name).data.copy_(tensor)
        for name, tensor in groups["levels"].items():
            self.levels[name].data.copy_(tensor)
        self.avatar.decoder.load_state_dict(groups["decoder"])
        self.step = int(groups["training"]["step"])
        self.frames.weight.data.copy_(groups["training"]["frames"])
        restore_optimizers((self.adam, self.frame_adam), groups)

    def _texture(self) -> Float[Tensor, "height width feature"]:
        """Levels summed."""
        height, width, _ = self.start.shape
        total = self.levels["level 0"]
        for level in list(self.levels.values())[1:]:
            total = total + torch.nn.functional.interpolate(level, (height, width), mode="bilinear")
        return self.start + total[0].permute(1, 2, 0)

    def _loss(self, drawn: Drawn, shot: Shot) -> Float[Tensor, ""]:
        truth, picture = shot.picture, drawn.over(shot.background)
        unlike = (1 - structural_similarity(picture, truth)).mean() / 2
        loss = (1 - SIMILARITY) * (picture - truth).abs().mean() + SIMILARITY * unlike
        plain = ((drawn.plain - truth * drawn.coverage[..., None]) * shot.mask[..., None]).abs().mean()
        calm = sum(weights.square().mean() for weights in self.avatar.decoder.modulations())
        return loss + PLAIN * plain + MASK * (drawn.opacity - shot.mask).abs().mean() + CALM * calm
