"""The interface behind which every head model stands."""

from copy import copy
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from morphable.arkit import ARKIT_NAMES
from morphable.skinning import blend_skinning

JOINT_NAMES = ("neck", "head", "eye_left", "eye_right")
JOINT_PARENTS = (-1, 0, 1, 1)


@dataclass(frozen=True)
class Part:
    """A piece of the head that is a mesh of its own: its ranges in the model's vertices and triangles."""

    vertices: slice
    triangles: slice


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Points on the surface, which stay on it whatever the head's shape."""

    triangles: Int[Tensor, " landmark"]
    barycentric: Float[Tensor, "landmark 3"]


class MorphableModel(nn.Module):
    """A linear space of heads, the 52 expression shapes that fit each of them, and a skeleton.

    World frame: metres, y up, the face along +z; the origin lies between the eyeballs' centres, 80 mm behind them.

    Attributes:
        mean: the average head at rest.
        identity_basis: displacements at one standard deviation of the prior, which is a unit Gaussian.
        expression_basis: offsets of ARKIT_NAMES; empty if the model has none, and its face then keeps still.
        joint_mean, joint_basis: as mean and identity_basis, for the joints of JOINT_NAMES.
        skinning_weights: how much each vertex follows each joint.
        triangles: of all parts in one index space, counter-clockwise from outside.
        uv, uv_triangles: texture coordinates, (0, 0) at the top left, and the corners of each triangle in them.
        parts: name → Part.
        regions: name → (vertex,) bool.
        landmarks: name of a set ("mediapipe", "ibug68", "now7") → LandmarkEmbedding.
        region_map: names of regions, indices into `region_names`, over the texture of the part `head`.
    """

    mean: Float[Tensor, "vertex 3"]
    identity_basis: Float[Tensor, "identity vertex 3"]
    expression_basis: Float[Tensor, "expression vertex 3"]
    joint_mean: Float[Tensor, "joint 3"]
    joint_basis: Float[Tensor, "identity joint 3"]
    skinning_weights: Float[Tensor, "vertex joint"]
    triangles: Int[Tensor, "triangle 3"]
    uv: Float[Tensor, "corner 2"]
    uv_triangles: Int[Tensor, "triangle 3"]

    def __init__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        parts: dict[str, Part],
        regions: dict[str, Bool[Tensor, " vertex"]],
        landmarks: dict[str, LandmarkEmbedding],
        region_map: UInt8[Tensor, "height width"],
        region_names: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.name = name
        for key, tensor in tensors.items():
            self.register_buffer(key, tensor)
        self.parts = parts
        self.regions = regions
        self.landmarks = landmarks
        self.region_map = region_map
        self.region_names = region_names

    def forward(
        self,
        identity: Float[Tensor, "batch identity"],
        expression: Float[Tensor, "batch 52"],
        pose: Float[Tensor, "batch 4 3"],
    ) -> tuple[Float[Tensor, "batch vertex 3"], Float[Tensor, "batch 4 3"]]:
        """Posed vertices and joints, in metres.

        Args:
            identity: coefficients; the prior is a unit Gaussian.
            expression: weights of ARKIT_NAMES, normally in [0, 1].
            pose: axis-angle rotations of JOINT_NAMES relative to their parents, radians.
        """
        neutral, joints = self.neutral(identity), self.joints(identity)
        shaped = neutral + self.shape_offsets(neutral, joints, expression[:, None])[:, 0]
        return blend_skinning(shaped, joints, JOINT_PARENTS, self.skinning_weights, pose)

    def neutral(self, identity: Float[Tensor, "batch identity"]) -> Float[Tensor, "batch vertex 3"]:
        """Heads at rest."""
        return self.mean + torch.tensordot(identity, self.identity_basis, 1)

    def joints(self, identity: Float[Tensor, "batch identity"]) -> Float[Tensor, "batch 4 3"]:
        """JOINT_NAMES at rest."""
        return self.joint_mean + torch.tensordot(identity, self.joint_basis, 1)

    def expressions(self, identity: Float[Tensor, "batch identity"]) -> Float[Tensor, "batch 52 vertex 3"]:
        """The 52 shapes of each head as offsets from its rest."""
        each = torch.eye(len(ARKIT_NAMES)).to(identity).expand(len(identity), -1, -1)
        return self.shape_offsets(self.neutral(identity), self.joints(identity), each)

    def shape_offsets(
        self,
        neutral: Float[Tensor, "batch vertex 3"],
        joints: Float[Tensor, "batch 4 3"],
        weights: Float[Tensor, "batch mix 52"],
    ) -> Float[Tensor, "batch mix vertex 3"]:
        """How mixes of shapes move the vertices of heads at rest: the weighted sums of each head's own 52 shapes.

        Here, of plain offsets that are the same on all heads; models that fit them to a head do so by overriding this.
        """
        if not self.can_express:
            return neutral.new_zeros(*weights.shape[:2], *neutral.shape[1:])
        return torch.einsum("bxe,evi->bxvi", weights, self.expression_basis)

    def widened(self, modes: Float[Tensor, "mode vertex 3"], joint_modes: Float[Tensor, "mode joint 3"]) -> Self:
        """A model with further directions of identity, after its own."""
        wider = copy(self)
        wider._buffers = dict(self._buffers)
        wider.identity_basis = torch.cat([self.identity_basis, modes.to(self.identity_basis)])
        wider.joint_basis = torch.cat([self.joint_basis, joint_modes.to(self.joint_basis)])
        return wider

    @property
    def can_express(self) -> bool:
        """Whether the model has the 52 shapes."""
        return len(self.expression_basis) > 0

    @property
    def identities(self) -> int:
        """Length of the identity vector."""
        return len(self.identity_basis)


def on_surface(
    embedding: LandmarkEmbedding, vertices: Float[Tensor, "*batch vertex 3"], triangles: Int[Tensor, "triangle 3"]
) -> Float[Tensor, "*batch landmark 3"]:
    """Where the landmarks lie on a posed head."""
    corners = vertices[..., triangles[embedding.triangles].long(), :]
    return (corners * embedding.barycentric[:, :, None].to(vertices)).sum(-2)
