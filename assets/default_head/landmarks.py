"""Landmark embeddings, found by looking: render the mean head, detect, and cast the points back onto its surface."""

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from face3d.perception import MediaPipeDetector
from face3d.registration.landmarks import weighted_median
from morphable import LandmarkEmbedding
from renderers import Camera, DirectionalLight, EnvironmentLight, Light, linear_to_srgb, render_mesh

SIZE = 768
VIEWS = ((0, 0), (0.3, 0), (-0.3, 0), (0.6, 0), (-0.6, 0), (0, 0.25), (0, -0.3), (0.35, -0.3), (-0.35, -0.3))
"""Yaw and pitch, in radians, from which the head is looked at; the first is its front."""
IRIS = slice(468, 478)
IRISES = (slice(468, 473), slice(473, 478))
"""Of the right and the left eye: the pupil's centre, then four points of the limbus a quarter turn apart."""
IRIS_RADIUS = 0.0117 / 2
MIDDLE, AWAY = 0.05, 0.01
"""Beyond this share of the image from the middle, a point is hardly trusted as seen from the other side."""
UPPER_LIP = (185, 40, 39, 37, 0, 267, 269, 270, 409, 191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP = (146, 91, 181, 84, 17, 314, 405, 321, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324)
"""Points of the lips' contours, corners left out: closed lips lie too near for the nearest to be the right one."""
Pieces = dict[str, np.ndarray]
"""`skin`, `lip_upper`, `lip_lower`, `eyes` → triangles."""
FACING = 0.3
"""Least cosine between a surface and the line of sight for its point to count."""

IBUG68_OF_MEDIAPIPE = (
    *(127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
"""The MediaPipe point nearest to each of iBUG's 68 points (Sagonas et al. 2013), in their order."""
NOW7_OF_IBUG68 = (36, 39, 42, 45, 33, 48, 54)
"""The NoW challenge's points (Sanyal et al. 2019): outer and inner corners of the eyes, base of the nose, corners of
the mouth."""


def detected_landmarks(
    vertices: Float[Tensor, "vertex 3"],
    triangles: np.ndarray,
    colour: Float[Tensor, "vertex 3"] | dict,
    pieces: Pieces,
    detector: MediaPipeDetector,
) -> LandmarkEmbedding:
    """MediaPipe's 478 points on a head that is symmetric about x = 0, each on the piece that it belongs to.

    They are the median of VIEWS and of their mirror images. Irises are set where the eyeballs look straight ahead.
    """
    seen = [_seen_from(yaw, pitch, vertices, torch.as_tensor(triangles), colour, detector) for yaw, pitch in VIEWS]
    points, trust, pixels = (np.stack(values) for values in zip(*seen, strict=True))
    side = (pixels[0, :, 0] - SIZE / 2) / SIZE
    for view, (yaw, _) in enumerate(VIEWS):
        trust[view, (side * yaw < 0) & (np.abs(side) > MIDDLE)] *= AWAY
    if (trust.max(0) <= 0).any():
        raise RuntimeError(f"no view shows landmarks {np.flatnonzero(trust.max(0) <= 0).tolist()}")
    opposite = _opposites(pixels[0])
    both = np.concatenate([points, points[:, opposite] * (-1, 1, 1)])
    middle = weighted_median(both, np.concatenate([trust, trust[:, opposite]]))
    ends = vertices.numpy()[np.unique(triangles[pieces["eyes"]])]
    for iris, eye in zip(IRISES, (ends[ends[:, 0] < 0], ends[ends[:, 0] > 0]), strict=True):
        middle[iris] = _straight_iris(middle[iris], eye)
    return _onto_surface(middle, vertices.numpy(), triangles, pieces)


def _opposites(frontal: Float[np.ndarray, "478 2"]) -> Int[np.ndarray, "478"]:
    """The point that each becomes when left and right are exchanged, from the image of a symmetric head's front."""
    flipped = frontal * (-1, 1) + (SIZE, 0)
    opposite = linear_sum_assignment(((frontal[:, None] - flipped) ** 2).sum(-1))[1]
    if (opposite[opposite] != np.arange(len(frontal))).any():
        raise RuntimeError("the detected points are not symmetric")
    return opposite


def _straight_iris(detected: Float[np.ndarray, "5 3"], ball: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "5 3"]:
    """The centre and four points of the limbus of a ball that looks along +z, in the order of the detected ones."""
    low, high = ball.min(0), ball.max(0)
    radius, centre = (high - low)[2] / 2, (high + low) / 2
    around = (detected[1:] - detected[0])[:, :2]
    turn = np.round(np.arctan2(around[:, 1], around[:, 0]) / (np.pi / 2)) * (np.pi / 2)
    depth = np.full(4, np.sqrt(radius**2 - IRIS_RADIUS**2))
    limbus = np.stack([IRIS_RADIUS * np.cos(turn), IRIS_RADIUS * np.sin(turn), depth], 1)
    return centre + np.concatenate([[[0, 0, radius]], limbus])


def _seen_from(yaw, pitch, vertices, triangles, colour, detector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World positions of the points as seen from one side, how much to trust each, and where they lie in the image."""
    target = torch.tensor([0.0, -0.02, 0.02])
    direction = [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
    eye = target + 0.9 * torch.tensor(direction, dtype=torch.float32)
    camera = Camera.looking_at(eye, target, [0.0, 1.0, 0.0], 0.33, (SIZE, SIZE))
    placed = camera.focal[None], camera.principal[None], camera.rotation[None], camera.translation[None]
    camera = Camera(*placed, (SIZE, SIZE))
    ambient = torch.zeros(9, 3)
    ambient[0] = 1.6
    lights: list[Light] = [
        EnvironmentLight(ambient),
        DirectionalLight(torch.tensor([[0.0, -0.5, -1.0]]), torch.full((1, 3), 0.6)),
    ]
    paint = colour if isinstance(colour, dict) else {"colour": colour}
    result = render_mesh(camera, vertices[None], triangles, **paint, lights=lights, background=0.35, supersample=2)
    image = (linear_to_srgb(result.colour[0].clamp(0, 1)) * 255 + 0.5).to(torch.uint8).numpy()
    faces = detector.detect(image)
    if not faces:
        raise RuntimeError(f"no face found on the head seen from yaw {yaw}")
    landmarks = faces[0].landmarks[:, :2]
    column = np.clip(landmarks[:, 0].astype(int), 0, SIZE - 1)
    row = np.clip(landmarks[:, 1].astype(int), 0, SIZE - 1)
    depth = result.depth[0].numpy()[row, column]
    focal, principal = camera.focal[0].numpy(), camera.principal[0].numpy()
    rays = np.concatenate([(landmarks - principal) / focal, np.ones((478, 1))], 1) * depth[:, None]
    seen = np.isfinite(depth) & (depth > 0)
    points = np.where(seen[:, None], (rays - camera.translation[0].numpy()) @ camera.rotation[0].numpy(), 0.0)
    towards = camera.position[0].numpy() - points
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    facing = (result.normals[0].numpy()[row, column] * towards).sum(1)
    return points, np.where(seen, np.maximum(facing - FACING, 1e-3 * (facing > 0)) ** 2, 0.0), landmarks


def _onto_surface(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, pieces: Pieces) -> LandmarkEmbedding:
    """The nearest surface point of the piece that each landmark belongs to."""
    piece_of = np.full(len(points), "skin", dtype="U9")
    piece_of[list(UPPER_LIP)], piece_of[list(LOWER_LIP)], piece_of[IRIS] = "lip_upper", "lip_lower", "eyes"
    chosen, weights = np.zeros(len(points), int), np.zeros((len(points), 3))
    for piece, candidates in pieces.items():
        own = piece_of == piece
        mesh = trimesh.Trimesh(vertices, triangles[candidates], process=False)
        nearest, _, hit = trimesh.proximity.closest_point_naive(mesh, points[own])
        chosen[own] = candidates[hit]
        weights[own] = trimesh.triangles.points_to_barycentric(mesh.triangles[hit], nearest)
    weights = np.clip(weights, 0, 1)
    weights /= weights.sum(1, keepdims=True)
    return LandmarkEmbedding(torch.as_tensor(chosen), torch.as_tensor(weights, dtype=torch.float32))
