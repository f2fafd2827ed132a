"""How the detector sees a head: where its points lie at rest, and how each expression moves them.

A detector has habits: it sees lids and lips move less than they do, and points displaced. They are measured by drawing
the very head that is tracked and looking at the pictures with the same detector, so that what is seen on it can be
compared with what is seen on the video.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float64

from avatars.mesh_performer import MeshPerformer
from avatars.painting import studio_lights
from face3d.perception import FaceObservation, MediaPipeDetector
from morphable import ARKIT_NAMES, Head, MorphableModel, Performance, on_surface
from renderers import Camera, vertex_normals

KNOTS = (0.5, 1.0)
"""Weights at which each shape is looked at; in between, points move evenly."""
SIZE = 320
"""Pixels a side of the pictures."""
FIELD_OF_VIEW = 0.28
DISTANCE = 0.9
"""Metres."""
BACKGROUND = np.full(3, 0.3)
"""Linear grey."""
TURNS = tuple((yaw, pitch) for yaw in (-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9) for pitch in (-0.35, 0.0, 0.35))
"""Directions from which the head at rest is looked at: to its left and up, radians."""
FARTHEST_TURN = (0.9, 0.4)
"""Beyond these, what is seen is as it is there."""
OFFSET_SPREAD = np.array([0.005, 0.003, 0.003, 0.003, 0.003, 0.003])
"""Metres by which a point may be seen beside where it is embedded: from in front, and per radian, of `_turn_terms`."""
SEEN_SPREAD = 0.001
"""Metres of error in where a point is seen."""
STILL = 0.0005
"""Metres; motions below it are noise."""
PAIRED = ("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide")
"""Shapes of both eyes, which are drawn together: a detector is not used to eyes that do different things."""


@dataclass(frozen=True)
class Response:
    """Where the detector sees its points on a head, in the head's own frame, metres.

    Attributes:
        embedded: where they are embedded on the head at rest.
        offsets: from there to where they are seen at rest, by the terms of the direction that it is seen from.
        bends: how far each of ARKIT_NAMES has moved them at each of KNOTS.
        normals: of the surface at the points.
    """

    embedded: Float64[np.ndarray, "478 3"]
    offsets: Float64[np.ndarray, "term 478 3"]
    bends: Float64[np.ndarray, "52 2 478 3"]
    normals: Float64[np.ndarray, "478 3"]

    def points(self, weights: Float64[np.ndarray, "52"], eye: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "478 3"]:
        """Where points are seen under expression weights by a camera at `eye`, in the head's frame, metres."""
        yaw, pitch = _direction(eye)
        rest = self.embedded + np.tensordot(_turn_terms(yaw, pitch), self.offsets, 1)
        shares = np.stack([np.minimum(weights, KNOTS[0]), np.maximum(weights - KNOTS[0], 0)], 1)
        moved: np.ndarray = rest + np.tensordot(shares, self._slopes, 2)
        return moved

    def slopes(self, weights: Float64[np.ndarray, "52"]) -> Float64[np.ndarray, "52 478 3"]:
        """How points move with each weight, from where it is towards the farther knot."""
        return self._slopes[np.arange(len(weights)), (weights >= KNOTS[0]).astype(int)]

    def shifted(self, habits: Float64[np.ndarray, "478 3"]) -> "Response":
        """Points are seen that much beside where they were, from wherever one looks."""
        return replace(self, offsets=np.concatenate([self.offsets[:1] + habits, self.offsets[1:]]))

    @cached_property
    def _slopes(self) -> Float64[np.ndarray, "52 2 478 3"]:
        first, second = self.bends[:, 0], self.bends[:, 1]
        return np.stack([first / KNOTS[0], (second - first) / (KNOTS[1] - KNOTS[0])], 1)


def measured_response(head: Head, model: MorphableModel, detector: MediaPipeDetector) -> Response:
    """Draw the head and look. Where the detector sees nothing, the model is believed."""
    looking = _Looking(head, model, detector)
    rest = looking.points(np.zeros(52))
    front = looking.camera(0.0, 0.0)
    before = looking.seen(np.zeros(52), front)
    bends = np.zeros((52, 2, len(rest), 3))
    for names in _together():
        for knot, weight in enumerate(KNOTS):
            weights = np.isin(ARKIT_NAMES, names) * weight
            motion = looking.points(weights) - rest
            after = looking.seen(weights, front)
            if before is not None and after is not None:
                motion[:, :2] = looking.unprojected(after - before)
            for name in names:
                bends[ARKIT_NAMES.index(name), knot] = _own_part(motion, rest, name if len(names) > 1 else "")
    normals = vertex_normals(torch.as_tensor(head.neutral), model.triangles)
    at_points = on_surface(model.landmarks["mediapipe"], normals, model.triangles).double().numpy()
    return Response(rest, _offsets(looking, rest), bends, at_points / np.linalg.norm(at_points, axis=1, keepdims=True))


class _Looking:
    """A head before cameras, and the detector behind them."""

    def __init__(self, head: Head, model: MorphableModel, detector: MediaPipeDetector) -> None:
        self.model, self.detector = model, detector
        self.performer = MeshPerformer(head, 512)
        self.lights = studio_lights()
        self.centre = torch.as_tensor(self.points(np.zeros(52))).float().mean(0)

    def camera(self, yaw: float, pitch: float) -> Camera:
        towards = torch.tensor([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]).float()
        eye = self.centre + DISTANCE * towards
        return Camera.looking_at(eye, self.centre, (0.0, 1.0, 0.0), FIELD_OF_VIEW, (SIZE, SIZE))

    def points(self, weights: Float[np.ndarray, "52"]) -> Float64[np.ndarray, "478 3"]:
        """Of the embedding."""
        vertices = self.performer.posed(_moment(weights))[0]
        return on_surface(self.model.landmarks["mediapipe"], vertices, self.model.triangles).double().numpy()

    def seen(self, weights: Float[np.ndarray, "52"], camera: Camera) -> Float64[np.ndarray, "478 2"] | None:
        """Landmarks in pixels."""
        picture = self.performer.draw(_moment(weights), camera, self.lights, BACKGROUND)
        at_rest = camera.project(torch.as_tensor(self.points(np.zeros(52))).float()).numpy()
        (x0, y0), (x1, y1) = at_rest.min(0).tolist(), at_rest.max(0).tolist()
        found: FaceObservation | None = self.detector.follow(picture, (x0, y0, x1, y1))
        return None if found is None else found.landmarks[:, :2]

    def unprojected(self, motion: Float64[np.ndarray, "478 2"]) -> Float64[np.ndarray, "478 2"]:
        """Motions in the picture of the camera in front, in metres to the left and up."""
        focal = SIZE / 2 / np.tan(FIELD_OF_VIEW / 2)
        depth = DISTANCE + float(self.centre[2]) - self.points(np.zeros(52))[:, 2:]
        return motion * depth / focal * np.array([1.0, -1.0])


def _offsets(looking: _Looking, rest: Float64[np.ndarray, "478 3"]) -> Float64[np.ndarray, "term 478 3"]:
    """From embedded points to those seen at rest: each point's ridge regression over the directions."""
    terms = len(OFFSET_SPREAD)
    normal = np.tile(np.diag(np.repeat(OFFSET_SPREAD**-2, 3)), (len(rest), 1, 1))
    pull = np.zeros((len(rest), 3 * terms))
    for yaw, pitch in TURNS:
        camera = looking.camera(yaw, pitch)
        seen = looking.seen(np.zeros(52), camera)
        if seen is None:
            continue
        points = torch.as_tensor(rest).float()
        depth = camera.view(points)[:, 2:].double().numpy()
        error = (seen - camera.project(points).double().numpy()) * depth / float(camera.focal[0])
        plane = np.kron(
            _turn_terms(*_direction(camera.position.double().numpy())), camera.rotation[:2].double().numpy()
        )
        normal += plane.T @ plane / SEEN_SPREAD**2
        pull += error @ plane / SEEN_SPREAD**2
    offsets = np.linalg.solve(normal, pull[..., None])[..., 0]
    return offsets.reshape(len(rest), terms, 3).transpose(1, 0, 2)


def _direction(eye: Float64[np.ndarray, "3"]) -> tuple[float, float]:
    """Yaw to the head's left and pitch up of a place before it, radians, no farther than FARTHEST_TURN."""
    yaw, pitch = np.arctan2(eye[0], eye[2]), np.arctan2(eye[1], np.hypot(eye[0], eye[2]))
    clipped = np.clip((yaw, pitch), -np.array(FARTHEST_TURN), FARTHEST_TURN)
    return float(clipped[0]), float(clipped[1])


def _turn_terms(yaw: float, pitch: float) -> Float64[np.ndarray, " term"]:
    return np.array([1.0, yaw, pitch, yaw**2, pitch**2, yaw * pitch])


def _own_part(
    motion: Float64[np.ndarray, "478 3"], rest: Float64[np.ndarray, "478 3"], name: str
) -> Float64[np.ndarray, "478 3"]:
    """What of a motion is more than noise and, if two shapes made it, on the side of the one named."""
    length = np.linalg.norm(motion, axis=1, keepdims=True)
    motion = motion * length**2 / (length**2 + STILL**2)
    if name:
        left = rest[:, :1] > 0
        motion = np.where(left if name.endswith("Left") else ~left, motion, 0.0)
    return motion


def _together() -> list[tuple[str, ...]]:
    """Shapes that are drawn together."""
    pairs: list[tuple[str, ...]] = [(f"{name}Left", f"{name}Right") for name in PAIRED]
    paired = [name for pair in pairs for name in pair]
    return [*pairs, *((name,) for name in ARKIT_NAMES if name not in paired)]


def _moment(weights: Float[np.ndarray, "52"]) -> Performance:
    return Performance.of(np.zeros(1), np.asarray(weights, dtype=np.float32)[None])
