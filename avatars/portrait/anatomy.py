"""What a head is made of, as far as pictures of it show or hide it."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from avatars.mesh_performer import MeshPerformer
from avatars.portrait.unseen import enclosed, lids, mouth_depth, smooth_step, with_teeth_showing
from morphable import JOINT_NAMES, Head
from renderers import vertex_normals

TEXTURE_SIZE = 1024
"""Of the head's own skin, which is seen inside the mouth and under the lids."""
MOUTH_DEPTH = 0.04
"""Metres into the mouth over which light falls to a third."""
SIDE, FRONT = 0.2, 0.5
"""Of a normal towards the face's front: between them begins the face, whose skin is drawn from the head's own texture
when it turns into view; hair and ears are not."""
BACK = 0.045
"""Metres behind the eyes at which the face ends."""
UPPER_TEETH = "teeth_upper"
EYES, TEETH = ("eye_left", "eye_right"), (UPPER_TEETH, "teeth_lower")
NECK = JOINT_NAMES.index("neck")
EYE_JOINTS = [JOINT_NAMES.index(name) for name in EYES]


class Anatomy:
    """A head with its teeth as far out as of people who talk, and shares in [0, 1] of its vertices.

    Attributes:
        mesh: draws the head.
        rigid: moves with the skull.
        skin: of the head's surface, not of parts in it.
        in_mouth, cavity: inside the mouth; and of the skin there.
        darkness: what of the light comes so deep into the mouth.
        lids: of the eyelids.
        inner: what a picture shows only when something opens.
        front: of the face, not of its sides.
        eyes, teeth: of these.
        skull: the vertices that teeth move with.
    """

    @torch.no_grad()
    def __init__(self, head: Head) -> None:
        self.mesh = MeshPerformer(with_teeth_showing(head), TEXTURE_SIZE)
        head, parts = self.mesh.head, self.mesh.layout.parts
        neutral = torch.as_tensor(head.neutral)
        self.skin = self._share_of("head")
        hidden = enclosed(neutral, self.mesh.triangles)
        depth = mouth_depth(head, hidden)
        self.rigid = smooth_step(3 - 4 * self.mesh.skinning_weights[:, NECK])
        self.in_mouth = (depth >= 0).float()
        self.cavity = self.in_mouth * self.skin
        self.darkness = torch.exp(-depth.clamp(min=0) / MOUTH_DEPTH)
        self.lids = lids(head)
        self.inner = torch.maximum(torch.maximum(1 - self.skin, self.in_mouth), self.lids) * self.rigid
        ahead = vertex_normals(neutral, self.mesh.every_triangle)[:, 2]
        before = neutral[:, 2] - float(head.joints[EYE_JOINTS, 2].mean())
        facing_front = smooth_step((ahead - SIDE) / (FRONT - SIDE)) * smooth_step(before / BACK + 1)
        self.front = facing_front * self.rigid * self.skin
        self.eyes, self.teeth = self._share_of(*EYES), self._share_of(*TEETH)
        self.skull = parts[UPPER_TEETH if UPPER_TEETH in parts else "head"].vertices

    def mesh_of(self, head: Head) -> MeshPerformer:
        """What draws the same head with a neutral shape of its own."""
        mesh = copy.copy(self.mesh)
        mesh.head = with_teeth_showing(head)
        mesh.neutral = torch.as_tensor(mesh.head.neutral)
        return mesh

    def _share_of(self, *names: str) -> Float[Tensor, " vertex"]:
        share, parts = torch.zeros(len(self.mesh.neutral)), self.mesh.layout.parts
        for name in set(names) & set(parts):
            share[parts[name].vertices] = 1
        return share
