"""How vertices hang together: what a file needs to know of a head beyond where its vertices are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphable.model import Part


class Layout(Protocol):
    """What a `MorphableModel` and a `Topology` have in common; see there."""

    @property
    def parts(self) -> Mapping[str, Part]: ...
    @property
    def triangles(self) -> Int[Tensor, "triangle 3"]: ...
    @property
    def uv(self) -> Float[Tensor, "corner 2"]: ...
    @property
    def uv_triangles(self) -> Int[Tensor, "triangle 3"]: ...
    @property
    def skinning_weights(self) -> Float[Tensor, "vertex 4"]: ...


@dataclass(frozen=True, eq=False)
class Topology:
    """The mesh of a head that is of no model.

    Attributes:
        parts: name → ranges in vertices and triangles, one after the other without gaps.
        triangles: of all parts in one index space, counter-clockwise from outside.
        uv, uv_triangles: texture coordinates, (0, 0) at the top left, and the corners of each triangle in them. Of each
            part, the first are those of its vertices, in their order; copies along the seams follow.
        skinning_weights: how much each vertex follows each joint of JOINT_NAMES.
    """

    parts: Mapping[str, Part]
    triangles: Int[Tensor, "triangle 3"]
    uv: Float[Tensor, "corner 2"]
    uv_triangles: Int[Tensor, "triangle 3"]
    skinning_weights: Float[Tensor, "vertex 4"]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Topology):
            return NotImplemented
        names = ("triangles", "uv", "uv_triangles", "skinning_weights")
        same = all(torch.equal(getattr(self, name), getattr(other, name)) for name in names)
        return same and dict(self.parts) == dict(other.parts)
