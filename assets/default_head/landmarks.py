"""Landmark embeddings, found by looking: render the mean head, detect, and cast the points back onto its surface."""

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from face3d.perception import MediaPipeDetector
from morphable import LandmarkEmbedding
from renderers import Camera, DirectionalLight, EnvironmentLight, linear_to_srgb, render_mesh

SIZE = 768
YAWS = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""Radians around the head from which it is looked at."""
IRIS = slice(468, 478)
UPPER_LIP = (185, 40, 39, 37, 0, 267, 269, 270, 409, 191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP = (146, 91, 181, 84, 17, 314, 405, 321, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324)
"""Points of the lips' outer and inner contours, corners left out: closed lips lie too near for the nearest to be right."""
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
    """MediaPipe's 478 points on a mesh, averaged over YAWS, each on the piece that it belongs to."""
    total, weight = np.zeros((478, 3)), np.zeros((478, 1))
    for yaw in YAWS:
        points, trust = _seen_from(yaw, vertices, torch.as_tensor(triangles), colour, detector)
        total += trust[:, None] * points
        weight += trust[:, None]
    if (weight <= 0).any():
        raise RuntimeError(f"no view shows landmarks {np.flatnonzero(weight <= 0).tolist()}")
    return _onto_surface(total / weight, vertices.numpy(), triangles, pieces)


def _seen_from(yaw, vertices, triangles, colour, detector) -> tuple[np.ndarray, np.ndarray]:
    """World positions of the points as seen from one side, and how much to trust each."""
    eye = torch.tensor([np.sin(yaw), 0.05, np.cos(yaw)], dtype=torch.float32) * 0.9
    camera = Camera.looking_at(eye, [0.0, -0.02, 0.02], [0.0, 1.0, 0.0], 0.33, (SIZE, SIZE))
    camera = Camera(
        *(t[None] for t in (camera.focal, camera.principal, camera.rotation, camera.translation)), (SIZE, SIZE)
    )
    ambient = torch.zeros(9, 3)
    ambient[0] = 1.6
    lights = [EnvironmentLight(ambient), DirectionalLight(torch.tensor([[-0.3, -0.5, -1.0]]), torch.full((1, 3), 0.6))]
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
    points = (rays - camera.translation[0].numpy()) @ camera.rotation[0].numpy()
    normals = result.normals[0].numpy()[row, column]
    towards = camera.position[0].numpy() - points
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    facing = (normals * towards).sum(1)
    return points, np.where(depth > 0, np.maximum(facing - FACING, 1e-3 * (facing > 0)), 0.0)


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
