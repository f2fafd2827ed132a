"""The surface that Gaussians are bound to: the head's mesh, and cloth below it, posed with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avatars.painting import LASHES
from morphable import ARKIT_NAMES, JOINT_PARENTS, Head
from morphable.playing import HEAD, NECK, NECK_SHARE
from morphable.skinning import blend_skinning, rotation_matrices


class Moment(NamedTuple):
    """One frame of a performance, with gradients.

    Attributes:
        weights: of ARKIT_NAMES.
        head: rotation of the skull, axis-angle, radians.
        place: translation of the head's joint, metres.
        torso: what cloth does besides, rotation (radians) and translation (metres).
    """

    weights: Float[Tensor, " 52"]
    head: Float[Tensor, " 3"]
    place: Float[Tensor, " 3"]
    torso: Float[Tensor, " 6"]

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
        self.neutral = torch.as_tensor(head.neutral)
        self.shapes = torch.as_tensor(head.expressions).flatten(1)
        self.joints = torch.as_tensor(head.joints)
        self.skinning = torch.as_tensor(np.asarray(layout.skinning_weights)).float()
        opaque = torch.ones(len(layout.triangles), dtype=torch.bool)
        if LASHES in layout.parts:
            opaque[layout.parts[LASHES].triangles] = False
        own = torch.as_tensor(np.asarray(layout.triangles)).long()[opaque]
        self.triangles = torch.cat([own, cloth.triangles.long() + len(self.neutral)])
        self.head_triangles = len(own)
        self.cloth = cloth

    def vertices(self, moment: Moment) -> Float[Tensor, "vertex 3"]:
        """Metres; skull and head joint do what the moment says, as `morphable.playing.joint_motion` does."""
        shaped = self.neutral + (moment.weights @ self.shapes).unflatten(0, (-1, 3))
        half = NECK_SHARE * moment.head
        still = torch.zeros_like(half)
        turns = torch.stack([half, moment.head - half, still, still])
        upwards = self.joints[HEAD] - self.joints[NECK]
        neck = rotation_matrices(half)
        root = moment.place - (neck @ upwards - upwards)
        posed, _ = blend_skinning(shaped[None], self.joints[None], JOINT_PARENTS, self.skinning, turns[None])
        pivot = self.joints[NECK]
        from_neck = self.cloth.vertices - pivot
        following = from_neck @ neck.mT + pivot + root
        staying = from_neck @ rotation_matrices(moment.torso[:3]).mT + pivot + moment.torso[3:]
        sheet = torch.lerp(staying, following, self.cloth.clinging[:, None])
        return torch.cat([posed[0] + root, sheet])

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
