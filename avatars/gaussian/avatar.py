"""A person as Gaussians on a head: what is stored, and how it looks at a moment."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from avatars.neural.driving import Cloth, Moment, Surface
from avatars.neural.habits import Habits
from avatars.neural.looks import Looks
from avatars.neural.storage import Stored, read_avatar, write_avatar
from morphable import Head, Performance
from morphable.skinning import rotation_matrices
from renderers import Camera, Splatted, harmonic_colours, splat

KIND = "gaussian"


@dataclass
class Gaussians:
    """Bound to triangles; lengths are in sizes of the triangle, directions in its frame.

    Attributes:
        triangle: index into the surface's triangles.
        position: of the mean.
        turn: quaternion, x y z w, of any length.
        size: logarithm of the three deviations.
        opacity: logit.
        colour: harmonic coefficients of order 1 (3DGS's), of directions in the frame of the head; encoded sRGB.
        shift: how each mood moves the mean.
        tint: how each mood changes the first coefficient of the colour.
    """

    triangle: Int[Tensor, " gaussian"]
    position: Float[Tensor, "gaussian 3"]
    turn: Float[Tensor, "gaussian 4"]
    size: Float[Tensor, "gaussian 3"]
    opacity: Float[Tensor, " gaussian"]
    colour: Float[Tensor, "gaussian 4 3"]
    shift: Float[Tensor, "gaussian mood 3"]
    tint: Float[Tensor, "gaussian mood 3"]

    def __len__(self) -> int:
        return len(self.triangle)

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(eq=False)
class GaussianAvatar:
    """A person, ready to play any performance.

    Attributes:
        head: whose triangles Gaussians are bound to.
        cloth: what goes on below it.
        gaussians, habits: what was learned.
        camera: the first clip's.
        background: of the first clip, sRGB.
        provenance: how it was made; anything that JSON can hold.
        looks: of the other clips.
    """

    head: Head
    cloth: Cloth
    gaussians: Gaussians
    habits: Habits
    camera: Camera
    background: UInt8[np.ndarray, "height width 3"]
    provenance: dict[str, Any]
    looks: Looks

    def __post_init__(self) -> None:
        self.surface = Surface(self.head, self.cloth)

    def moment(self, performance: Performance, index: int = 0) -> Moment:
        """A frame of a performance, as this person does it."""
        return self.habits.moment(performance, index)

    @property
    def size(self) -> dict[str, int]:
        """What it is made of."""
        return {"gaussians": len(self.gaussians)}

    def picture(
        self, moment: Moment, camera: Camera, background: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "height width 3"]:
        """The avatar before a background, encoded sRGB."""
        return self.splatted(moment, camera).over(background)

    def splatted(self, moment: Moment, camera: Camera) -> Splatted:
        """The avatar before nothing. Colours are encoded sRGB."""
        means, axes, opacities, colours = self.placed(moment, camera)
        return splat(means, axes, opacities, colours.clamp(max=1), camera)

    def placed(self, moment: Moment, camera: Camera) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gaussians in the world, as `splat` takes them."""
        means, axes = self.shaped(moment)
        return means, axes, self.gaussians.opacity.sigmoid(), self.coloured(means, moment, camera)

    def shaped(self, moment: Moment) -> tuple[Float[Tensor, "gaussian 3"], Float[Tensor, "gaussian 3 3"]]:
        """Means and axes in the world, metres."""
        own = self.gaussians
        frames = self.surface.frames(moment)
        centre, rotation, size = (values.index_select(0, own.triangle) for values in frames)
        moved = own.position + torch.einsum("m,nmi->ni", self.habits.coordinates(moment.weights), own.shift)
        means = centre + size[:, None] * (rotation @ moved[..., None])[..., 0]
        turn = roma.unitquat_to_rotmat(torch.nn.functional.normalize(own.turn, dim=-1))
        return means, rotation @ (turn * (size[:, None] * own.size.exp())[:, None])

    def coloured(
        self, means: Float[Tensor, "gaussian 3"], moment: Moment, camera: Camera
    ) -> Float[Tensor, "gaussian 3"]:
        """Colours seen from a camera."""
        own = self.gaussians
        sight = torch.nn.functional.normalize(means - camera.position, dim=-1)
        on_head = (own.triangle < self.surface.head_triangles)[:, None]
        sight = torch.where(on_head, sight @ rotation_matrices(moment.head), sight)
        colours = harmonic_colours(self.harmonics(moment), sight)
        return colours if moment.look is None else moment.look(colours, self.facing(moment))

    @torch.no_grad()
    def facing(self, moment: Moment) -> Float[Tensor, "gaussian 3"]:
        """Normals of their triangles."""
        return self.surface.frames(moment).rotation[self.gaussians.triangle, :, 1]

    def harmonics(self, moment: Moment) -> Float[Tensor, "gaussian 4 3"]:
        """Coefficients of the colours, tinted by the expression."""
        own = self.gaussians
        tint = torch.einsum("m,nmi->ni", self.habits.coordinates(moment.weights), own.tint)
        return torch.cat([own.colour[:, :1] + tint[:, None], own.colour[:, 1:]], 1)

    def save(self, folder: str | Path) -> None:
        """Write the avatar's files into a folder.

        Raises:
            OSError: they cannot be written.
        """
        groups = {
            "gaussians": self.gaussians.tensors(),
            "habits": self.habits.tensors(),
            "cloth": vars(self.cloth),
            "looks": self.looks.tensors(),
        }
        write_avatar(folder, KIND, Stored(groups, self.head, self.background, self.camera, self.provenance))

    @classmethod
    def load(cls, folder: str | Path) -> GaussianAvatar:
        """Read a folder that `save` wrote.

        Raises:
            ValueError: it holds no avatar, one of another kind or version, or a damaged one.
            OSError: a file is missing.
        """
        groups, head, background, camera, provenance = read_avatar(folder, KIND)
        cloth, gaussians, habits = (
            Cloth(**groups["cloth"]),
            Gaussians(**groups["gaussians"]),
            Habits(**groups["habits"]),
        )
        return cls(head, cloth, gaussians, habits, camera, background, provenance, Looks.stored(groups))
