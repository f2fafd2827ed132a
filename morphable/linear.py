"""Models that are a mean and linear displacements, brought into the common frame and skeleton.

Files of such models hold no skeleton and often no texture coordinates; what the interface asks for beyond the file is
made here, and is plain: rotations about the default head's neck and head joints, a cylinder's texture coordinates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphable.arkit import ARKIT_NAMES
from morphable.model import LandmarkEmbedding, MorphableModel, Part

NECK, HEAD = (0.0, -0.1494, -0.0422), (0.0, -0.0423, -0.0035)
"""The default head's joints, metres in the world frame."""
BEHIND_EYES = 0.08
"""Metres from the origin to the plane of the eyeballs' centres."""
GAZE = np.pi / 6
"""How far an eyeLook shape turns an eyeball at weight 1."""
EYE_PARTS = ("eye_left", "eye_right")


@dataclass
class LinearHeads:
    """What a file says, in metres, y up, face along +z, any origin; displacements at one standard deviation.

    Attributes:
        vertices: the mean head.
        eyes: centres of the left and right eyeball on the mean head.
        eye_basis: how they move with each identity coefficient.
        expressions: ARKit name → offsets.
        native_expressions: the file's own expression space.
        parts: name → ranges; all of it is `head` where the file does not tell parts apart.
        uv, uv_triangles: (0, 0) at the top left.
        has_neck: whether the mesh reaches down to the neck, which then bends.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    identity_basis: Float[np.ndarray, "identity vertex 3"]
    eyes: Float[np.ndarray, "2 3"]
    eye_basis: Float[np.ndarray, "identity 2 3"]
    expressions: Mapping[str, Float[np.ndarray, "vertex 3"]] = field(default_factory=dict)
    native_expressions: Float[np.ndarray, "native vertex 3"] | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    landmarks: Mapping[str, LandmarkEmbedding] = field(default_factory=dict)
    uv: Float[np.ndarray, "corner 2"] | None = None
    uv_triangles: Int[np.ndarray, "triangle 3"] | None = None
    has_neck: bool = False

    def model(self, name: str) -> MorphableModel:
        """The model behind the common interface, float32."""
        origin = origin_of(self.eyes)
        mean, eyes = self.vertices - origin, self.eyes - origin
        triangles, uv_triangles = self.triangles, self.uv_triangles
        if volume(mean, triangles) < 0:
            triangles = triangles[:, ::-1]
            uv_triangles = None if uv_triangles is None else uv_triangles[:, ::-1]
        if self.uv is None or uv_triangles is None:
            uv, uv_triangles = cylinder(mean, triangles)
        else:
            uv = self.uv
        parts = dict(self.parts) or {"head": Part(slice(0, len(mean)), slice(0, len(triangles)))}
        tensors = {
            "mean": mean,
            "identity_basis": self.identity_basis,
            "expression_basis": self._expression_basis(mean, eyes, parts),
            "joint_mean": np.stack([NECK, HEAD, *eyes]),
            "joint_basis": np.pad(self.eye_basis, ((0, 0), (2, 0), (0, 0))),
            "skinning_weights": _weights(mean, parts, self.has_neck),
            "triangles": triangles,
            "uv": uv,
            "uv_triangles": uv_triangles,
        }
        if self.native_expressions is not None:
            tensors["native_expression_basis"] = self.native_expressions
        return MorphableModel(name, as_buffers(tensors), parts, {}, dict(self.landmarks), *no_region_map())

    def _expression_basis(self, mean: np.ndarray, eyes: np.ndarray, parts: Mapping[str, Part]) -> np.ndarray:
        if not self.expressions:
            return np.zeros((0, *mean.shape))
        basis = np.zeros((len(ARKIT_NAMES), *mean.shape))
        for name, offsets in self.expressions.items():
            basis[ARKIT_NAMES.index(name)] = offsets
        for side, part in enumerate(EYE_PARTS):
            if part in parts:
                ball = parts[part].vertices
                for name, turn in _gaze_turns(side).items():
                    basis[ARKIT_NAMES.index(name), ball] = (mean[ball] - eyes[side]) @ (turn - np.eye(3)).T
        return basis


def origin_of(eyes: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "3"]:
    """Where the world frame's origin lies, given the eyeballs' centres."""
    return eyes.mean(0) - (0.0, 0.0, BEHIND_EYES)


def as_buffers(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Contiguous tensors: float32 and int32."""
    return {
        key: torch.from_numpy(np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else np.int32))
        for key, array in arrays.items()
    }


def no_region_map() -> tuple[Tensor, tuple[str, ...]]:
    """The map of a model whose regions are not drawn on its texture."""
    return torch.zeros(1, 1, dtype=torch.uint8), ("skin",)


def at_vertices(vertices: Int[np.ndarray, " landmark"], triangles: Int[np.ndarray, "triangle 3"]) -> LandmarkEmbedding:
    """Landmarks at vertices, each of which belongs to some triangle."""
    first = np.full(triangles.max() + 1, -1)
    first[triangles[::-1]] = np.arange(len(triangles))[::-1, None]
    chosen = first[vertices]
    return LandmarkEmbedding(
        torch.from_numpy(chosen.astype(np.int32)),
        torch.from_numpy((triangles[chosen] == vertices[:, None]).astype(np.float32)),
    )


def volume(vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]) -> float:
    """Volume of the cone over the surface from its centroid: positive where triangles run counter-clockwise as seen
    from outside, of an open face as of a closed head."""
    a, b, c = (vertices - vertices.mean(0))[triangles].transpose(1, 0, 2)
    return float(np.einsum("ti,ti->", a, np.cross(b, c)) / 6)


def cylinder(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]
) -> tuple[Float[np.ndarray, "corner 2"], Int[np.ndarray, "triangle 3"]]:
    """Texture coordinates of a cylinder about the y axis, the face in the middle and its seam at the back.

    Triangles across the seam take copies of the corners on its left, moved beyond the right edge and, like all, drawn
    in to fit.
    """
    turn = np.arctan2(vertices[:, 0], vertices[:, 2]) / (2 * np.pi) + 0.5
    across = np.ptp(turn[triangles], axis=1) > 0.5
    moved = across[:, None] & (turn[triangles] < 0.5)
    copied, places = np.unique(triangles[moved], return_inverse=True)
    corners = triangles.copy()
    corners[moved] = len(vertices) + places
    u = np.concatenate([turn, turn[copied] + 1])
    height = vertices[:, 1].max() - vertices[:, 1]
    v = np.concatenate([height, height[copied]]) / max(float(height.max()), 1e-9)
    return np.stack([u / max(float(u.max()), 1.0), v], 1), corners


def _weights(mean: np.ndarray, parts: Mapping[str, Part], has_neck: bool) -> np.ndarray:
    """Everything follows the head; a neck bends over from its joint to the head's, smoothly with height."""
    weights = np.zeros((len(mean), 4))
    if has_neck:
        rise = np.clip((mean[:, 1] - NECK[1]) / (HEAD[1] - NECK[1]), 0, 1)
        weights[:, 1] = rise**2 * (3 - 2 * rise)
    else:
        weights[:, 1] = 1
    for side, part in enumerate(EYE_PARTS):
        if part in parts:
            weights[parts[part].vertices] = np.eye(4)[2 + side]
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    return weights


def _gaze_turns(side: int) -> dict[str, np.ndarray]:
    """How the eyeLook shapes turn the left (0) or right (1) eyeball."""
    name, inwards = ("Left", -1) if side == 0 else ("Right", 1)
    cosine, sine = np.cos(GAZE), np.sin(GAZE)

    def sideways(sign: int) -> np.ndarray:
        return np.array([[cosine, 0, sign * sine], [0, 1, 0], [-sign * sine, 0, cosine]])

    def upwards(sign: int) -> np.ndarray:
        return np.array([[1, 0, 0], [0, cosine, sign * sine], [0, -sign * sine, cosine]])

    return {
        f"eyeLookIn{name}": sideways(inwards),
        f"eyeLookOut{name}": sideways(-inwards),
        f"eyeLookUp{name}": upwards(1),
        f"eyeLookDown{name}": upwards(-1),
    }
