"""A tracked head, moved so that its skin shows the same in every frame.

Landmarks tell where a head is to a few pixels of a large picture, and smoothing makes them lag in fast turns. What is
learned from pictures pixel by pixel needs frames that agree to a fraction of one: here the brightness at
the mesh's vertices is compared with its mean over the clip, and each frame's pose and expression follow the differences
(Lucas & Kanade 1981, on a surface). A face seen from the front hardly tells a turn from a shift; how far vertices on
its outline are from the person's does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import roma
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avatars.mesh_performer import MeshPerformer
from face3d.heads import model_of
from morphable import Head, Performance
from morphable.editing import sampled
from morphable.live_link import gaze_of
from morphable.model import on_surface
from morphable.playing import HEAD, NECK
from renderers import Camera, vertex_normals

BLURS = (2.5, 2.5, 2.5, 1.5, 1.5, 1.5, 1.0, 1.0)
"""Deviations in pixels of the Gaussian that pictures are smoothed by, a round each."""
FACING = 0.3
"""Cosine to the line of sight below which skin is not looked at."""
NOISE, ALIKE = 0.04, 20.0
"""Deviation of brightness of 1, and how many neighbouring vertices share an error."""
GRAZING, FARTHEST, OUTLINE_NOISE = 0.15, 6.0, 0.35
"""Cosine to the line of sight of vertices that are looked at on the outline; pixels from the person's outline beyond
which they are not on it, and its deviation."""
MARK_NOISE = 2.0
"""Pixels: their errors come and go with pose and expression, and are shared."""
ROTATION, PLACE, WEIGHT = 0.02, 0.004, 0.3
"""By how much a tracked frame may be off: radians, metres, expression weights."""
FREE = 0.02
"""Share that the neck's joint has at most of a vertex that follows the skull."""
BATCH = 64
"""Frames posed at once."""


def locked(
    performance: Performance,
    head: Head,
    camera: Camera,
    frames: UInt8[np.ndarray, "frame height width 3"],
    masks: UInt8[np.ndarray, "frame height width"],
    landmarks: Float[np.ndarray, "frame 478 2"],
) -> Performance:
    """The performance with pose and expression as the skin says.

    Args:
        camera: of the frames, which stands still in the performance's world.
        frames: sRGB, one for each frame of the performance.
        masks: opacity of the person in them.
        landmarks: MediaPipe's in them, pixels.
    """
    skin = _Skin.of(performance, head)
    tracked = _States.of(performance)
    states = tracked
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255 for frame in frames]
    outlines = torch.stack([_with_slopes(_distance(mask)) for mask in masks])
    for blur in BLURS:
        pictures = torch.stack([_with_slopes(cv2.GaussianBlur(grey, (0, 0), blur)) for grey in greys])
        states = _followed(states, tracked, skin, camera, pictures, outlines, torch.as_tensor(landmarks).float())
    return replace(
        performance,
        weights=states.weights.numpy(),
        head=roma.rotmat_to_rotvec(states.rotations).numpy(),
        translation=states.places.numpy(),
        gaze=gaze_of(states.weights.numpy()).astype(np.float32),
    )


@dataclass(frozen=True)
class _States:
    rotations: Float[Tensor, "frame 3 3"]
    places: Float[Tensor, "frame 3"]
    weights: Float[Tensor, "frame 52"]

    @classmethod
    def of(cls, performance: Performance) -> _States:
        turns = roma.rotvec_to_rotmat(torch.as_tensor(performance.head))
        return cls(turns, torch.as_tensor(performance.translation), torch.as_tensor(performance.weights))

    def moved(self, steps: Float[Tensor, "frame 58"]) -> _States:
        turns = roma.rotvec_to_rotmat(steps[:, :3]) @ self.rotations
        return _States(turns, self.places + steps[:, 3:6], (self.weights + steps[:, 6:]).clamp(0, 1))

    def beyond(self, other: _States) -> Float[Tensor, "frame 58"]:
        """The step from the other one."""
        turns = roma.rotmat_to_rotvec(self.rotations @ other.rotations.mT)
        return torch.cat([turns, self.places - other.places, self.weights - other.weights], -1)


@dataclass(frozen=True)
class _Skin:
    """Vertices that follow the skull, about the head's joint: at rest, their shapes, and their normals in each frame as
    tracked, against the skull; landmarks at rest and their shapes."""

    joint: Float[Tensor, " 3"]
    neutral: Float[Tensor, "vertex 3"]
    shapes: Float[Tensor, "52 vertex 3"]
    normals: Float[Tensor, "frame vertex 3"]
    marks: Float[Tensor, "478 3"]
    mark_shapes: Float[Tensor, "52 478 3"]

    @classmethod
    def of(cls, performance: Performance, head: Head) -> _Skin:
        still = np.zeros_like(performance.head)
        at_rest = replace(performance, head=still, translation=still)
        performer = MeshPerformer(head, 64)
        triangles = torch.as_tensor(np.asarray(head.layout.triangles))
        part = head.layout.parts["head"].vertices
        follows = torch.as_tensor(np.asarray(head.layout.skinning_weights))[part, NECK] < FREE
        normals = []
        for start in range(0, len(at_rest), BATCH):
            posed = performer.posed(sampled(at_rest, at_rest.times[start : start + BATCH]))
            normals.append(torch.stack([vertex_normals(each, triangles) for each in posed])[:, part][:, follows])
        joint = torch.as_tensor(head.joints[HEAD])
        neutral, shapes = torch.as_tensor(head.neutral) - joint, torch.as_tensor(head.expressions)
        embedding = model_of(head).landmarks["mediapipe"]
        marks = (on_surface(embedding, each, triangles) for each in (neutral, shapes))
        return cls(joint, neutral[part][follows], shapes[:, part][:, follows], torch.cat(normals), *marks)


def _followed(
    states: _States,
    tracked: _States,
    skin: _Skin,
    camera: Camera,
    brightness: Float[Tensor, "frame height width 3"],
    outline: Float[Tensor, "frame height width 3"],
    landmarks: Float[Tensor, "frame 478 2"],
) -> _States:
    """One Gauss-Newton step of all frames towards the mean of what they show."""
    points = _Points.of(skin.neutral, skin.shapes, states, skin.joint, camera)
    away = -torch.nn.functional.normalize(points.seen, dim=-1)
    facing = (away * (skin.normals @ states.rotations.mT @ camera.rotation.T)).sum(-1)

    def compared(shown: Tensor, slopes: Tensor, weight: Tensor, noise: float) -> tuple[Tensor, Tensor]:
        off = _mean(shown, weight, 0) - shown
        design = slopes[..., :1] * points.design[..., 0, :] + slopes[..., 1:] * points.design[..., 1, :]
        return _evidence(design, off, weight, noise)

    shown, slopes, inside = _sampled(brightness, points.pixels)
    front = ((facing - FACING) / (1 - FACING)).clamp(min=0) * inside
    shown = shown - _mean(shown, front, 1)
    shown = shown - _mean(shown - _mean(shown, front, 0), front, 1)
    parts = [compared(shown, slopes, front, NOISE)]
    shown, slopes, inside = _sampled(outline, points.pixels)
    rim = torch.exp(-((facing / GRAZING) ** 2)) * inside * (shown.abs() < FARTHEST)
    parts.append(compared(shown, slopes, rim, OUTLINE_NOISE))
    marks = _Points.of(skin.marks, skin.mark_shapes, states, skin.joint, camera)
    off = landmarks - marks.pixels
    off = off - off.median(0).values
    for axis in range(2):
        parts.append(_evidence(marks.design[..., axis, :], off[..., axis], torch.ones_like(off[..., 0]), MARK_NOISE))
    normal, pull = (torch.stack(each).sum(0) for each in zip(*parts, strict=True))
    trust = torch.tensor([ROTATION**-2] * 3 + [PLACE**-2] * 3 + [WEIGHT**-2] * len(skin.shapes))
    pull = pull - trust * states.beyond(tracked)
    steps = torch.linalg.solve(normal + torch.diag(trust), pull)
    return states.moved(steps - steps.mean(0))  # what all frames do moves the mean with them


@dataclass(frozen=True)
class _Points:
    """Points of the head in the camera's axes and pixels, and how pixels (x, y) change with a frame's 58 numbers."""

    seen: Float[Tensor, "frame point 3"]
    pixels: Float[Tensor, "frame point 2"]
    design: Float[Tensor, "frame point 2 58"]

    @classmethod
    def of(cls, neutral: Tensor, shapes: Tensor, states: _States, joint: Tensor, camera: Camera) -> _Points:
        arms = (neutral + torch.einsum("fe,evi->fvi", states.weights, shapes)) @ states.rotations.mT
        seen = camera.view(arms + (joint + states.places)[:, None])
        x, y, z = seen.unbind(-1)
        fx, fy = camera.focal
        zero = torch.zeros_like(z)
        rows = [torch.stack([fx / z, zero, -fx * x / z**2], -1), torch.stack([zero, fy / z, -fy * y / z**2], -1)]
        design = []
        for row in rows:
            moving = row @ camera.rotation
            shaping = torch.einsum("fvi,evi->fve", moving @ states.rotations, shapes)
            design.append(torch.cat([torch.linalg.cross(arms, moving), moving, shaping], -1))
        pixels = seen[..., :2] / z[..., None] * camera.focal + camera.principal
        return cls(seen, pixels, torch.stack(design, 2))


def _evidence(design: Tensor, off: Tensor, weight: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Normal equations of each frame: what is off at its points, robustly."""
    weighed = (design * (weight / (1 + (off / noise) ** 2) / (ALIKE * noise**2))[..., None]).mT
    return weighed @ design, (weighed @ off[..., None])[..., 0]


def _sampled(
    pictures: Float[Tensor, "frame height width 3"], pixels: Float[Tensor, "frame vertex 2"]
) -> tuple[Float[Tensor, "frame vertex"], Float[Tensor, "frame vertex 2"], Float[Tensor, "frame vertex"]]:
    """What pictures show at points, its slopes, and 1 where points are in them."""
    size = torch.tensor(pictures.shape[2:0:-1])
    found = torch.nn.functional.grid_sample(
        pictures.permute(0, 3, 1, 2), (2 * pixels / size - 1)[:, None], align_corners=False
    )[:, :, 0].permute(0, 2, 1)
    return found[..., 0], found[..., 1:], ((pixels > 1) & (pixels < size - 1)).all(-1).float()


def _distance(mask: UInt8[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Pixels from a person's outline, positive within."""
    inside = (mask > 127).astype(np.uint8)
    within, beyond = (cv2.distanceTransform(each, cv2.DIST_L2, 5) for each in (inside, 1 - inside))
    distance: np.ndarray = cv2.GaussianBlur(np.clip(within - beyond, -FARTHEST, FARTHEST), (0, 0), 1.0)
    return distance


def _with_slopes(picture: Float[np.ndarray, "height width"]) -> Float[Tensor, "height width 3"]:
    """Brightness, and its slopes to the right and down."""
    down, right = np.gradient(picture)
    return torch.as_tensor(np.stack([picture, right, down], -1))


def _mean(values: Tensor, weight: Tensor, axis: int) -> Tensor:
    return (values * weight).sum(axis, keepdim=True) / weight.sum(axis, keepdim=True).clamp(min=1e-6)
