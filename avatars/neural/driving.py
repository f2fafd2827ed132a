"""The surface that avatars are bound to: the head's mesh, and cloth below it, posed with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avatars.neural.looks import Look
from avatars.painting import LASHES
from morphable import ARKIT_NAMES, JOINT_PARENTS, Head, Performance
from morphable.playing import HEAD, NECK, NECK_SHARE
from morphable.skinning import joint_transforms, rotation_matrices


class Moment(NamedTuple):
    """One frame of a performance, with gradients.

    Attributes:
        weights: of ARKIT_NAMES.
        head: rotation of the skull, axis-angle, radians.
        place: translation of the head's joint, metres.
        torso: what cloth does besides, rotation (radians) and translation (metres).
        look: of the clip that it is of; the avatar's own if None.
    """

    weights: Float[Tensor, " 52"]
    head: Float[Tensor, " 3"]
    place: Float[Tensor, " 3"]
    torso: Float[Tensor, " 6"]
    look: Look | None = None

    def changed(self, change: Float[Tensor, " 64"]) -> Moment:
        """Rotation, translation, those of the torso and weights moved by so much; weights stay in [0, 1]."""
        return self._replace(
            weights=(self.weights + change[12:]).clamp(0, 1),
            head=self.head + change[:3],
            place=self.place + change[3:6],
            torso=self.torso + change[6:12],
        )

    @classmethod
    def tracked(cls, performance: Performance, index: int) -> Moment:
        """A frame as it is, the torso still."""
        weights, head, place = (
            torch.as_tensor(values[index]).float()
            for values in (performance.weights, performance.head, performance.translation)
        )
        return cls(weights, head, place, torch.zeros(6))

    @classmethod
    def rest(cls) -> Moment:
        """A head at rest."""
        return cls(torch.zeros(len(ARKIT_NAMES)), torch.zeros(3), torch.zeros(3), torch.zeros(6))


class Frames(NamedTuple):
    """Where triangles are: a point x bound to one is at centre + size * rotation @ x."""

    centre: Float[Tensor, "triangle 3"]
    rotation: Float[Tensor, "triangle 3 3"]
    size: Float[Tensor, " triangle"]


@dataclass(frozen=True, eq=False)
class Cloth:
    """A sheet through shoulders and chest, at rest.

    Attributes:
        vertices: metres.
        triangles: indices of the sheet's own.
        clinging: how far each vertex follows the neck; the rest stays with the torso.
    """

    vertices: Float[Tensor, "vertex 3"]
    triangles: Int[Tensor, "triangle 3"]
    clinging: Float[Tensor, " vertex"]


class Surface:
    """A head's opaque triangles, then those of the cloth."""

    def __init__(self, head: Head, cloth: Cloth) -> None:
        layout = head.layout
        self.rest = torch.cat([torch.as_tensor(head.neutral), cloth.vertices])
        self.shapes = torch.as_tensor(head.expressions).flatten(1)
        self.joints = torch.as_tensor(head.joints)
        skin = torch.as_tensor(np.asarray(layout.skinning_weights)).float()
        sheet = torch.zeros(len(cloth.vertices), skin.shape[1] + 1)
        sheet[:, NECK], sheet[:, -1] = cloth.clinging, 1 - cloth.clinging
        self.skinning = torch.cat([torch.nn.functional.pad(skin, (0, 1)), sheet])
        self.opaque = torch.ones(len(layout.triangles), dtype=torch.bool)
        if LASHES in layout.parts:
            self.opaque[layout.parts[LASHES].triangles] = False
        own = torch.as_tensor(np.asarray(layout.triangles)).long()[self.opaque]
        self.triangles = torch.cat([own, cloth.triangles.long() + len(head.neutral)])
        self.head_triangles = len(own)

    def vertices(self, moment: Moment) -> Float[Tensor, "vertex 3"]:
        """Metres."""
        offsets = (moment.weights @ self.shapes).unflatten(0, (-1, 3))
        shaped = self.rest + torch.nn.functional.pad(offsets, (0, 0, 0, len(self.rest) - len(offsets)))
        rotations, translations = self.motions(moment)
        moved = torch.einsum("jik,vk->jvi", rotations, shaped) + translations[:, None]
        return torch.einsum("vj,jvi->vi", self.skinning, moved)

    def motions(self, moment: Moment) -> tuple[Float[Tensor, "joint 3 3"], Float[Tensor, "joint 3"]]:
        """Rotation and translation of what follows each joint of the head, and last of the torso.

        Skull and head joint do what the moment says, as `morphable.playing.joint_motion` does.
        """
        half = NECK_SHARE * moment.head
        still = torch.zeros_like(half)
        turns = torch.stack([half, moment.head - half, still, still])
        upwards, pivot = self.joints[HEAD] - self.joints[NECK], self.joints[NECK]
        root = moment.place - (rotation_matrices(half) @ upwards - upwards)
        rotations, translations = joint_transforms(self.joints[None], JOINT_PARENTS, turns[None])
        torso = rotation_matrices(moment.torso[:3])
        swing = pivot - torso @ pivot + moment.torso[3:]
        return torch.cat([rotations[0], torso[None]]), torch.cat([translations[0] + root, swing[None]])

    def frames(self, moment: Moment) -> Frames:
        """A triangle's frame: along its first edge, its normal, and across (Qian et al., "GaussianAvatars", 2024); its
        size is the side of a square of twice its area."""
        # Unlike that of indexing, the gradient of index_select is summed in one order whatever the threads do.
        a, b, c = self.vertices(moment).index_select(0, self.triangles.flatten()).view(-1, 3, 3).unbind(1)
        along = torch.nn.functional.normalize(b - a, dim=-1)
        normal = torch.linalg.cross(b - a, c - a)
        area = normal.norm(dim=-1).clamp(min=1e-12)
        upright = normal / area[:, None]
        rotation = torch.stack([along, upright, torch.linalg.cross(along, upright)], -1)
        return Frames((a + b + c) / 3, rotation, area.sqrt())
