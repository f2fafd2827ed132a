"""A person as a radiance field about a head: what is stored, and how it looks at a moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avatars.neural.driving import Cloth, Frames, Moment, Surface
from avatars.neural.habits import Habits
from avatars.neural.looks import Looks
from avatars.neural.storage import Stored, read_avatar, write_avatar
from avatars.radiance.field import Field
from avatars.radiance.shell import Carrying, Shell, shell_of
from morphable import ARKIT_NAMES, Head, Performance
from morphable.skinning import rotation_matrices
from renderers import Camera, OccupancyGrid, Rays, Samples, Seen, camera_rays, march, quadrature

KIND = "radiance"
PIXELS_PER_STEP = 1.0
"""Length of the steps along rays over what a pixel covers at the head."""
JAW = 0.6
"""How far the mouth is open in the pose in which the field is described."""
CHUNK = 4096
"""Rays that are followed at once when a picture is drawn."""


@dataclass(eq=False)
class RadianceAvatar:
    """A person, ready to play any performance.

    Attributes:
        head: about which the field is.
        cloth: what goes on below it.
        field, habits: what was learned.
        room: cells of the space about the canonical pose in which anything is.
        step: metres between samples along rays.
        camera: the first clip's.
        background: of the first clip, sRGB.
        provenance: how it was made; anything that JSON can hold.
        looks: of the other clips.
    """

    head: Head
    cloth: Cloth
    field: Field
    habits: Habits
    room: OccupancyGrid
    step: float
    camera: Camera
    background: UInt8[np.ndarray, "height width 3"]
    provenance: dict[str, Any]
    looks: Looks

    def __post_init__(self) -> None:
        self.surface = Surface(self.head, self.cloth)
        self.carrying = Carrying(self.surface, canonical_moment())

    @property
    def size(self) -> dict[str, int]:
        """What it is made of."""
        return {
            "features": self.field.tables.numel() + self.field.moods.numel(),
            "occupied_cells": int(self.room.occupied.sum()),
        }

    def moment(self, performance: Performance, index: int = 0) -> Moment:
        """A frame of a performance, as this person does it."""
        return self.habits.moment(performance, index)

    @torch.no_grad()
    def shell(self, moment: Moment) -> Shell:
        """The space about the posed surface in which anything is."""
        return self.inhabited(shell_of(self.surface.vertices(moment), self.surface.triangles), moment)

    @torch.no_grad()
    def inhabited(self, shell: Shell, moment: Moment) -> Shell:
        """The part of a shell in which anything is."""
        cells = shell.grid.occupied.flatten().nonzero()[:, 0]
        came_from = self.carrying(shell.grid.middles(cells), shell.triangles[cells, 0].long(), *self.posed(moment))
        occupied = torch.zeros_like(shell.grid.occupied).flatten()
        occupied[cells] = self.room.at(came_from)
        return replace(shell, grid=replace(shell.grid, occupied=occupied.view_as(shell.grid.occupied)))

    def posed(self, moment: Moment) -> tuple[Float[Tensor, "vertex 3"], Frames]:
        """The surface, and its triangles' frames."""
        return self.surface.vertices(moment), self.surface.frames(moment)

    def seen(self, rays: Rays, moment: Moment, shell: Shell, random: torch.Generator | None = None) -> Seen:
        """What rays see of the avatar, encoded sRGB, nothing behind it."""
        samples, triangle, points = self.sampled(rays, moment, shell, random)
        density, colours = self.looked_at(rays, samples, points, triangle, moment)
        return quadrature(samples, density, colours, len(rays.origins))

    def sampled(
        self, rays: Rays, moment: Moment, shell: Shell, random: torch.Generator | None = None
    ) -> tuple[Samples, Tensor, Float[Tensor, "sample 3"]]:
        """Samples on rays where anything may be, their nearest triangles, and where they come from, metres."""
        samples = march(rays, shell.grid, self.step, random)
        points = rays.at(samples.ray, samples.distance)
        vertices, frames = self.posed(moment)
        candidates = shell.triangles.index_select(0, shell.grid.cells(points)[0])
        triangle = self.carrying.nearest(points, candidates, vertices)
        return samples, triangle, self.carrying(points, triangle, vertices, frames)

    def looked_at(
        self, rays: Rays, samples: Samples, origin: Float[Tensor, "sample 3"], triangle: Tensor, moment: Moment
    ) -> tuple[Float[Tensor, " sample"], Float[Tensor, "sample 3"]]:
        """Densities and colours of samples, seen along their rays."""
        sight = rays.directions.index_select(0, samples.ray)
        on_head = (triangle < self.surface.head_triangles)[:, None]
        sight = torch.where(on_head, sight @ rotation_matrices(moment.head), sight)
        tables = self.field.merged(self.habits.coordinates(moment.weights))
        density, colours = self.field.densities_and_colours(origin, sight, tables)
        if moment.look is not None:
            with torch.no_grad():
                facing = self.surface.frames(moment).rotation[triangle, :, 1]
            colours = moment.look(colours, facing)
        return density, colours

    @torch.no_grad()
    def picture(
        self, moment: Moment, camera: Camera, background: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "height width 3"]:
        """The avatar before a background, encoded sRGB."""
        shell = self.shell(moment)
        picture = background.reshape(-1, 3).clone()
        chosen = covered(shell, camera)
        for some in chosen.split(CHUNK):
            seen = self.seen(camera_rays(camera, centres(camera, some)), moment, shell)
            picture[some] = seen.features + (1 - seen.opacity[:, None]) * picture[some]
        return picture.view_as(background)

    def save(self, folder: str | Path) -> None:
        """Write the avatar's files into a folder.

        Raises:
            OSError: they cannot be written.
        """
        room = {"low": self.room.low.clone(), "cell": torch.tensor(self.room.cell), "occupied": self.room.occupied}
        groups = {
            "field": self.field.tensors(),
            "habits": self.habits.tensors(),
            "cloth": vars(self.cloth),
            "looks": self.looks.tensors(),
            "room": room | {"step": torch.tensor(self.step)},
        }
        write_avatar(folder, KIND, Stored(groups, self.head, self.background, self.camera, self.provenance))

    @classmethod
    def load(cls, folder: str | Path) -> RadianceAvatar:
        """Read a folder that `save` wrote.

        Raises:
            ValueError: it holds no avatar, one of another kind or version, or a damaged one.
            OSError: a file is missing.
        """
        groups, head, background, camera, provenance = read_avatar(folder, KIND)
        kept_room = groups["room"]
        room = OccupancyGrid(kept_room["low"], float(kept_room["cell"]), kept_room["occupied"])
        cloth, field, habits = Cloth(**groups["cloth"]), Field(**groups["field"]), Habits(**groups["habits"])
        step, looks = float(kept_room["step"]), Looks.stored(groups)
        return cls(head, cloth, field, habits, room, step, camera, background, provenance, looks)


def canonical_moment() -> Moment:
    """The pose in which the field is described: a head at rest whose mouth is open, so that what is before one lip is
    not in the other."""
    weights = torch.zeros(len(ARKIT_NAMES))
    weights[ARKIT_NAMES.index("jawOpen")] = JAW
    return Moment.rest()._replace(weights=weights)


def covered(shell: Shell, camera: Camera) -> Tensor:
    """Indices of a camera's pixels, row by row, through which the shell may be seen."""
    height, width = camera.resolution
    middles = shell.grid.middles(shell.grid.occupied.flatten().nonzero()[:, 0])
    seen = camera.view(middles)[:, 2] > camera.near
    places, depth = camera.project(middles[seen]), camera.view(middles[seen])[:, 2]
    radius = int((camera.focal.max() * shell.grid.cell / depth.min() / 2**0.5).ceil()) if len(depth) else 0
    columns, rows = places.floor().long().unbind(-1)
    inside = (columns >= -radius) & (columns < width + radius) & (rows >= -radius) & (rows < height + radius)
    marked = torch.zeros(1, 1, height + 2 * radius, width + 2 * radius)
    marked[0, 0, rows[inside] + radius, columns[inside] + radius] = 1
    near = torch.nn.functional.max_pool2d(marked, 2 * radius + 1, stride=1)
    return near[0, 0].flatten().nonzero()[:, 0]


def centres(camera: Camera, pixels: Tensor) -> Float[Tensor, "pixel 2"]:
    """Of pixels given by their indices, row by row."""
    width = camera.resolution[1]
    return torch.stack([pixels % width, pixels // width], -1) + 0.5
