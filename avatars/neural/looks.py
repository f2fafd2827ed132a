"""What differs between clips of one person: exposure, white balance and light, and where the torso is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from avatars.neural.driving import Moment

LOOK_RATES = {"colour": 0.01, "light": 0.01, "torso": 0.002}
"""Step sizes of Adam at the start, each in its own unit."""
COLOUR, LIGHT = 0.3, 0.3
"""By how much clips differ: in the affine map of colours, and from one side of a head to the middle."""
TORSO = torch.tensor([0.2] * 3 + [0.03] * 3)
"""The same of the torso: rotation and translation, radians and metres."""


class Look(NamedTuple):
    """What a clip's camera and light make of the avatar's colours; zeros change nothing.

    Attributes:
        colour: what an affine map of encoded sRGB has beyond the identity, its offset last.
        light: harmonics of order 1 over that of order 0 (Ramamoorthi & Hanrahan 2001): by what share each channel
            grows along the world's axes.
    """

    colour: Float[Tensor, "3 4"]
    light: Float[Tensor, "3 3"]

    def __call__(
        self, colours: Float[Tensor, "point 3"], normals: Float[Tensor, "point 3"]
    ) -> Float[Tensor, "point 3"]:
        """Encoded sRGB of points of a surface with these normals in the world."""
        balanced = colours + colours @ self.colour[:, :3].T + self.colour[:, 3]
        return (balanced * (1 + normals @ self.light.T)).clamp(min=0)


@dataclass
class Looks:
    """Of all clips but the first, against the first, whose look is the avatar's own.

    Attributes:
        colour, light: as `Look` has them.
        torso: rotation (radians) and translation (metres) of the torso.
    """

    colour: Float[Tensor, "other 3 4"]
    light: Float[Tensor, "other 3 3"]
    torso: Float[Tensor, "other 6"]

    @classmethod
    def none(cls, others: int = 0) -> Looks:
        """Clips that do not differ."""
        return cls(torch.zeros(others, 3, 4), torch.zeros(others, 3, 3), torch.zeros(others, 6))

    @classmethod
    def stored(cls, groups: Mapping[str, Mapping[str, Tensor]]) -> Looks:
        """From a file's groups of tensors."""
        return cls(**groups["looks"]) if "looks" in groups else cls.none()

    def tensors(self) -> dict[str, Tensor]:
        """By name; none if there is no other clip."""
        return {field.name: getattr(self, field.name) for field in fields(self)} if len(self.torso) else {}

    def moment(self, moment: Moment, clip: int) -> Moment:
        """A moment of the avatar as it is in a clip."""
        if clip == 0:
            return moment
        look = Look(self.colour[clip - 1], self.light[clip - 1])
        return moment._replace(torso=moment.torso + self.torso[clip - 1], look=look)

    def strength(self, clip: int) -> Float[Tensor, ""]:
        """How far a clip differs from the first, squared deviations."""
        if clip == 0:
            return torch.zeros(())
        terms = (self.colour[clip - 1] / COLOUR, self.light[clip - 1] / LIGHT, self.torso[clip - 1] / TORSO)
        return torch.stack([term.square().mean() for term in terms]).sum()
