"""What callipers and a tape would say of a head, and how sure that is.

Points are those of anthropometry, fixed to the surface: found once on the model's average head, they are the same
places on every other one. The deviations come from drawing heads from the posterior that the head carries.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from scipy.spatial import ConvexHull
from torch import Tensor

from face3d.heads import model_of
from morphable import Head, MorphableModel, on_surface
from morphable.anthropometry import anthropometric_points
from morphable.surface import Surface

SAMPLES = 200
"""Heads drawn from the posterior: enough for deviations to be right within 5 % of themselves."""
ALIKE = 1e-9
"""Metres: lengths that differ by no more than this are one."""
MEASURES = {
    "interpupillary_distance": "between the centres of the eyeballs",
    "face_width": "bizygomatic breadth: between the outermost points of the zygomatic arches",
    "face_height": "menton to sellion",
    "jaw_width": "bigonial breadth: between the corners of the jaw",
    "nose_bridge_width": "nasal root breadth: at the height of the sellion, half way back to the eyes' inner corners",
    "nose_breadth": "between the wings of the nose",
    "nose_height": "sellion to subnasale",
    "nose_length": "sellion to the tip of the nose",
    "nose_protrusion": "subnasale to the tip of the nose, along the line of sight",
    "mouth_width": "between the corners of the mouth",
    "eye_width": "palpebral fissure: between the corners of an eye, mean of both",
    "inner_eye_distance": "between the inner corners of the eyes",
    "outer_eye_distance": "between the outer corners of the eyes",
    "ear_length": "from the highest to the lowest point of the ear, mean of both",
    "head_breadth": "between the outermost points of the skull above the ears",
    "head_length": "glabella to opisthocranion",
    "head_circumference": "of a tape about glabella and opisthocranion, above the ears, over a bald head",
}
"""Every measure, and what it is; a model that lacks the places has fewer."""
PAIRS = {
    "interpupillary_distance": [("eye_left", "eye_right")],
    "face_width": [("zygion_left", "zygion_right")],
    "face_height": [("menton", "sellion")],
    "jaw_width": [("gonion_left", "gonion_right")],
    "nose_breadth": [("alare_left", "alare_right")],
    "nose_height": [("sellion", "subnasale")],
    "nose_length": [("sellion", "pronasale")],
    "mouth_width": [("cheilion_left", "cheilion_right")],
    "eye_width": [("exocanthion_left", "endocanthion_left"), ("exocanthion_right", "endocanthion_right")],
    "inner_eye_distance": [("endocanthion_left", "endocanthion_right")],
    "outer_eye_distance": [("exocanthion_left", "exocanthion_right")],
    "ear_length": [("superaurale_left", "subaurale_left"), ("superaurale_right", "subaurale_right")],
    "head_breadth": [("euryon_left", "euryon_right")],
    "head_length": [("glabella", "opisthocranion")],
}
"""The measures that are straight distances between two points."""
EMBEDDED = {
    "exocanthion_right": ("ibug68", 36),
    "endocanthion_right": ("ibug68", 39),
    "endocanthion_left": ("ibug68", 42),
    "exocanthion_left": ("ibug68", 45),
    "cheilion_right": ("ibug68", 48),
    "cheilion_left": ("ibug68", 54),
    "gonion_right": ("mediapipe", 172),
    "gonion_left": ("mediapipe", 397),
}
"""Points that are landmarks of a set: the person's own left and right."""
SKULL = {"euryon_left", "euryon_right", "opisthocranion"}
SKULL_LENGTH = 0.13
"""Metres from the glabella to the hindmost point: a model with less has a face and no skull."""


@dataclass(frozen=True)
class Measurement:
    """A length in metres, and one standard deviation of it; None if nobody knows."""

    value: float
    deviation: float | None


def measure(head: Head) -> dict[str, Measurement]:
    """The MEASURES of a head at rest.

    Raises:
        Face3DError: the head has a mesh of its own, or does not fit its model.
        ValueError: there is no such model here.
    """
    model = model_of(head)
    callipers = _callipers(model)
    found = callipers.lengths(torch.as_tensor(head.neutral)[None], torch.as_tensor(head.joints)[None])
    possible = callipers.lengths(*_drawn_from_posterior(head, model))
    return {
        name: Measurement(float(length[0]), _deviation(possible[name]))
        for name, length in found.items()
        if np.isfinite(length[0])
    }


def _deviation(lengths: Float[np.ndarray, " sample"]) -> float | None:
    deviation = float(np.nanstd(lengths, ddof=1))
    return deviation if deviation > ALIKE else None


def _drawn_from_posterior(
    head: Head, model: MorphableModel
) -> tuple[Float[Tensor, "sample vertex 3"], Float[Tensor, "sample 4 3"]]:
    """Neutral meshes and joints that the head may as well have had; all alike if it does not say how sure it is.

    What the identity does not explain of the vertices' deviations is taken as independent from place to place.
    """
    generator = torch.Generator().manual_seed(0)
    vertices = torch.as_tensor(head.neutral).expand(SAMPLES, -1, -1)
    joints = torch.as_tensor(head.joints).expand(SAMPLES, -1, -1)
    if head.identity_factor is not None and len(head.identity_factor) == model.identities:
        factor = torch.as_tensor(head.identity_factor)
        identity = torch.as_tensor(head.identity)
        drawn = identity + torch.randn(SAMPLES, factor.shape[1], generator=generator) @ factor.T
        vertices = vertices + model.neutral(drawn) - model.neutral(identity[None])
        joints = joints + model.joints(drawn) - model.joints(identity[None])
    if head.deviation is not None:
        normals = torch.as_tensor(Surface(head.neutral, model.triangles.numpy()).normals, dtype=torch.float32)
        explained = ((vertices - torch.as_tensor(head.neutral)) * normals).sum(-1).square().mean(0)
        left = (torch.as_tensor(head.deviation).square() - explained).clamp(min=0).sqrt()
        vertices = vertices + (left * torch.randn(vertices.shape[:2], generator=generator))[..., None] * normals
    return vertices, joints


class _Callipers:
    """Takes the measures of heads of one model."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        skin = model.parts["head"]
        self.vertices = _vertex_points(model)
        middle = model.mean[self.vertices["sellion"]]
        triangles = model.triangles[skin.triangles].long()
        near = ((model.mean[triangles] - middle).norm(dim=-1) < 0.04).all(1)
        self.nose = triangles[near].numpy()
        ears = model.regions.get("ears", torch.zeros(len(model.mean), dtype=torch.bool))
        self.bald = triangles[~ears[triangles].any(1)].numpy()

    def lengths(
        self, vertices: Float[Tensor, "sample vertex 3"], joints: Float[Tensor, "sample 4 3"]
    ) -> dict[str, Float[np.ndarray, " sample"]]:
        """Those of MEASURES that the model has places for, metres."""
        points = self._points(vertices, joints)
        lengths = {
            name: np.mean([np.linalg.norm(points[one] - points[other], axis=1) for one, other in pairs], axis=0)
            for name, pairs in PAIRS.items()
            if all(point in points for pair in pairs for point in pair)
        }
        lengths["nose_protrusion"] = points["pronasale"][:, 2] - points["subnasale"][:, 2]
        meshes = vertices.numpy()
        if "endocanthion_left" in points:
            corners = (points["endocanthion_left"][:, 2] + points["endocanthion_right"][:, 2]) / 2
            heads = zip(meshes, points["sellion"], corners, strict=True)
            lengths["nose_bridge_width"] = np.array([_root_breadth(mesh, self.nose, *at) for mesh, *at in heads])
        if "opisthocranion" in points:
            heads = zip(meshes, points["glabella"], points["opisthocranion"], strict=True)
            lengths["head_circumference"] = np.array([_tape(mesh, self.bald, *ends) for mesh, *ends in heads])
        return {name: lengths[name] for name in MEASURES if name in lengths}

    def _points(
        self, vertices: Float[Tensor, "sample vertex 3"], joints: Float[Tensor, "sample 4 3"]
    ) -> dict[str, Float[np.ndarray, "sample 3"]]:
        points = {name: vertices[:, index] for name, index in self.vertices.items()}
        points |= {"eye_left": joints[:, 2], "eye_right": joints[:, 3]}
        for kind, embedding in self.model.landmarks.items():
            places = on_surface(embedding, vertices, self.model.triangles)
            points |= {name: places[:, index] for name, (of, index) in EMBEDDED.items() if of == kind}
        return {name: point.double().numpy() for name, point in points.items()}


@lru_cache(maxsize=4)
def _callipers(model: MorphableModel) -> _Callipers:
    return _Callipers(model)


def _vertex_points(model: MorphableModel) -> dict[str, int]:
    """Points that are vertices of the model. Faces without a skull have none of its points."""
    skin = model.mean[model.parts["head"].vertices].numpy()
    points = anthropometric_points(skin, model.joint_mean[2:].mean(0).numpy())
    if skin[points["glabella"], 2] - skin[points["opisthocranion"], 2] < SKULL_LENGTH:
        points = {name: index for name, index in points.items() if name not in SKULL}
    ears = model.regions.get("ears", torch.zeros(0)).nonzero()[:, 0].numpy()
    for side, sign in (("left", 1), ("right", -1)):
        ear = ears[sign * model.mean[ears, 0].numpy() > 0]
        if len(ear):
            heights = model.mean[ear, 1].numpy()
            points |= {f"superaurale_{side}": ear[heights.argmax()], f"subaurale_{side}": ear[heights.argmin()]}
    first = model.parts["head"].vertices.start
    return {name: int(index) + (0 if "aurale" in name else first) for name, index in points.items()}


def _root_breadth(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    sellion: Float[np.ndarray, "3"],
    corners: float,
) -> float:
    """Breadth of the nose at the height of the sellion, at half the depth from there to `corners` (Zhuang & Bradtmiller
    2005); NaN where the nose is so low that it has no such place."""
    depth = (sellion[2] + corners) / 2
    segments = _section(vertices, triangles, sellion, np.array([0.0, 1.0, 0.0]))
    ahead = segments[..., 2] - depth
    crossing = segments[ahead[:, 0] * ahead[:, 1] < 0]
    start, end = crossing[:, 0], crossing[:, 1]
    share = (depth - start[:, 2]) / (end[:, 2] - start[:, 2])
    x = start[:, 0] + share * (end[:, 0] - start[:, 0]) - sellion[0]
    left, right = x[x > 0], x[x < 0]
    return float(left.min() - right.max()) if len(left) and len(right) else np.nan


def _tape(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    front: Float[np.ndarray, "3"],
    back: Float[np.ndarray, "3"],
) -> float:
    """Length of a tight tape in the plane through two points that no sideways tilt leaves."""
    along = (front - back) / np.linalg.norm(front - back)
    across = np.array([1.0, 0.0, 0.0])
    upward = np.cross(along, across)
    points = _section(vertices, triangles, front, upward).reshape(-1, 3) - front
    flat = np.stack([points @ across, points @ along], 1)
    return float(ConvexHull(flat).area)  # in the plane, a hull's area is its perimeter


def _section(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    origin: Float[np.ndarray, "3"],
    normal: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "segment 2 3"]:
    mesh = trimesh.Trimesh(vertices, triangles, process=False)
    segments: np.ndarray = trimesh.intersections.mesh_plane(mesh, normal, origin)
    return segments
