"""Learning a radiance avatar from captures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avatars.capture import Capture
from avatars.neural.cloth import cloth_below
from avatars.neural.driving import Moment, Surface
from avatars.neural.footage import Footage
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
from avatars.neural.storage import flat_groups
from avatars.radiance.avatar import PIXELS_PER_STEP, RadianceAvatar, canonical_moment, centres, covered
from avatars.radiance.field import started
from avatars.radiance.shell import CELL, OUTSIDE, Shell, shell_of
from renderers import OccupancyGrid, camera_rays, growing_resolutions, quadrature


@dataclass(frozen=True)
class Preset:
    """How long and how finely an avatar is learned.

    Attributes:
        size: longer side of the frames, pixels.
        steps: each looks at some rays of one frame.
        rays: as many.
        levels, finest: of the hashed grids; the finest one's cells along the cube.
        entries: of each table.
    """

    size: int
    steps: int
    rays: int
    levels: int
    finest: int
    entries: int


PRESETS = {
    "cpu": Preset(128, 2000, 1024, 6, 192, 2**15),
    "gpu": Preset(512, 30_000, 8192, 8, 768, 2**19),
}
COARSEST = 16
FEATURES = 2
"""Of each entry."""
TABLE_RATES = {"tables": 0.01, "moods": 0.0002}
RATE = 0.003
"""Step sizes of Adam at the start: of tables, and of the networks."""
LAST_RATE = 0.05
"""Step sizes at the end over those at the start."""
MASK = 0.1
"""Weight of the difference in opacity against squared difference in colour."""
CALM, TRUSTED = 0.1, 1e-3
"""Weights of corrections by moods, and of changes to what was tracked."""
PRUNED_FROM, PRUNE_EVERY = 0.1, 0.1
"""Of all steps: when cells in which nothing was seen are first left out, and how often."""
FAINT = 0.1
"""Opacity over a step, of the largest, below which nothing is seen in a cell."""
FORGETTING = 0.95
"""What is left of a cell's density each time that cells are left out."""


def trained(
    captures: Sequence[Capture],
    folder: Path,
    *,
    preset: Preset,
    held_out: Int[np.ndarray, " some"],
    progress: Progress | None = None,
) -> RadianceAvatar:
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


def begun(footage: Footage, learned: Int[np.ndarray, " some"], preset: Preset) -> RadianceAvatar:
    """An avatar in which nothing was learned yet; only frames to learn from are looked at, for cloth those of the first
    clip."""
    first = footage.captures[0]
    cloth = cloth_below(first, footage.of_first(learned))
    habits, looks = Habits.of(footage.weights[learned]), Looks.none(len(footage.captures) - 1)
    rest = Surface(first.head, cloth).vertices(canonical_moment())
    low = rest.amin(0) - OUTSIDE - CELL
    extent = float((rest.amax(0) + OUTSIDE + CELL - low).max())
    resolutions = growing_resolutions(COARSEST, preset.finest, preset.levels)
    field = started(low, extent, resolutions, preset.entries, FEATURES, len(habits.moods))
    shape = ((rest.amax(0) + OUTSIDE + CELL - low) / CELL).ceil().long().tolist()
    room = OccupancyGrid(low, CELL, torch.ones(shape, dtype=torch.bool))
    away = float(first.camera.view(rest).mean(0)[2])
    step = PIXELS_PER_STEP * away / float(first.camera.focal.mean())
    return RadianceAvatar(first.head, cloth, field, habits, room, step, first.camera, first.background, {}, looks)


class Training:
    """An avatar that is being learned, and all that going on with it needs."""

    def __init__(self, footage: Footage, learned: Int[np.ndarray, " some"], preset: Preset) -> None:
        self.footage, self.learned, self.preset = footage, learned, preset
        self.avatar = begun(footage, learned, preset)
        self.frames = frame_changes(len(footage))
        self.step = 0
        self.densest = torch.zeros(self.avatar.room.occupied.numel())
        self.shells: dict[int, Shell] = {}
        self.looks: dict[int, tuple[Shell, Tensor]] = {}
        groups = [(getattr(self.avatar.field, name), rate) for name, rate in self._rates_of_field().items()]
        groups += [(getattr(self.avatar.habits, name), rate) for name, rate in HABIT_RATES.items()]
        groups += [(tensor, LOOK_RATES[name]) for name, tensor in self.avatar.looks.tensors().items()]
        self.rates = [rate for _, rate in groups]
        parameters = [{"params": [tensor.requires_grad_()], "lr": rate} for tensor, rate in groups]
        self.adam = torch.optim.Adam(parameters, betas=(0.9, 0.99), eps=1e-15)
        self.frame_adam = torch.optim.SparseAdam([self.frames.weight], lr=FRAME_RATE)

    def advance(self) -> None:
        """One step, on some rays of the next frame of a shuffled round."""
        index = frame_of_step(self.learned, self.step)
        random = torch.Generator().manual_seed(self.step)
        set_rates(self.adam, self.rates, LAST_RATE ** (self.step / self.preset.steps))
        shell, pixels = self._shell(index)
        chosen = pixels[torch.randint(len(pixels), (self.preset.rays,), generator=random)]
        change = self.frames(torch.tensor([index]))[0] * DEVIATIONS
        shot = self.footage[index]
        moment = shot.moment(self.avatar).changed(change)
        camera = shot.capture.camera
        rays = camera_rays(camera, centres(camera, chosen))
        samples, triangle, origin = self.avatar.sampled(rays, moment, shell, random)
        density, colours = self.avatar.looked_at(rays, samples, origin, triangle, moment)
        seen = quadrature(samples, density, colours, len(chosen))
        truth, mask = shot.picture.view(-1, 3)[chosen], shot.mask.flatten()[chosen]
        picture = seen.features + (1 - seen.opacity[:, None]) * shot.background.view(-1, 3)[chosen]
        loss = (picture - truth).square().mean() + MASK * (seen.opacity - mask).square().mean()
        loss = loss + CALM * self.avatar.field.moods.square().mean()
        loss = loss + TRUSTED * (change / DEVIATIONS).square().mean()
        loss = loss + TRUSTED * self.avatar.looks.strength(shot.clip)
        for optimizer in (self.adam, self.frame_adam):
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in (self.adam, self.frame_adam):
            optimizer.step()
        self._notice(origin.detach(), density.detach())
        self.step += 1
        self._prune()

    def finished(self) -> RadianceAvatar:
        """What was learned; what frames' changes have in common becomes a habit, so that other frames have it, too."""
        self.avatar.habits.absorb(self.frames.weight[self.learned].detach(), self.footage.tracked(self.learned))
        for part in (self.avatar.field, self.avatar.habits, self.avatar.looks):
            for tensor in part.tensors().values():
                tensor.requires_grad_(False)
        return self.avatar

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint holds."""
        groups = {
            "field": self.avatar.field.tensors(),
            "habits": self.avatar.habits.tensors(),
            "looks": self.avatar.looks.tensors(),
            "training": {
                "step": torch.tensor(self.step),
                "frames": self.frames.weight,
                "densest": self.densest,
                "occupied": self.avatar.room.occupied,
            },
        }
        groups |= optimizer_groups((self.adam, self.frame_adam))
        return {name: tensor.clone() for name, tensor in flat_groups(groups).items()}

    def restore(self, groups: dict[str, dict[str, Tensor]] | None) -> None:
        """Go on from a checkpoint, if there is one."""
        if groups is None:
            return
        for part in ("field", "habits", "looks"):
            for name, tensor in groups.get(part, {}).items():
                getattr(getattr(self.avatar, part), name).data.copy_(tensor)
        held = groups["training"]
        self.step, self.densest = int(held["step"]), held["densest"]
        self.frames.weight.data.copy_(held["frames"])
        self.avatar.room = replace(self.avatar.room, occupied=held["occupied"])
        restore_optimizers((self.adam, self.frame_adam), groups)

    def _rates_of_field(self) -> dict[str, float]:
        """Of its tensors that are learned."""
        fixed = ("resolutions", "low", "extent")
        networks = {each.name: RATE for each in fields(self.avatar.field) if each.name not in fixed}
        return networks | TABLE_RATES

    def _shell(self, index: int) -> tuple[Shell, Tensor]:
        """The space about the surface as tracked in a frame, and the pixels that may show it; kept."""
        shot = self.footage[index]
        tracked = Moment.tracked(shot.capture.performance, shot.frame)
        if index not in self.shells:
            with torch.no_grad():
                self.shells[index] = shell_of(self.avatar.surface.vertices(tracked), self.avatar.surface.triangles)
        if index not in self.looks:
            shell = self.avatar.inhabited(self.shells[index], tracked)
            self.looks[index] = shell, covered(shell, shot.capture.camera)
        return self.looks[index]

    @torch.no_grad()
    def _notice(self, origin: Float[Tensor, "sample 3"], density: Float[Tensor, " sample"]) -> None:
        """How dense each cell was seen to be at most."""
        cells, inside = self.avatar.room.cells(origin)
        self.densest.scatter_reduce_(0, cells, torch.where(inside, density, 0), "amax")

    def _prune(self) -> None:
        """Leave out cells in which nothing has been seen."""
        every = max(1, round(PRUNE_EVERY * self.preset.steps))
        if self.step % every or self.step < PRUNED_FROM * self.preset.steps:
            return
        opacity = -torch.expm1(-self.densest * self.avatar.step)
        seen = (opacity > FAINT * opacity.max()).view_as(self.avatar.room.occupied)
        near = torch.nn.functional.max_pool3d(seen[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0
        self.avatar.room = replace(self.avatar.room, occupied=self.avatar.room.occupied & near)
        self.densest *= FORGETTING
        self.looks.clear()
