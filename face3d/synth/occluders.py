"""What comes between the camera and the face: hands, microphones, cups, sheets of paper, out of focus things."""

import numpy as np
import roma
import torch
from jaxtyping import Float

from face3d.synth.pieces import Mesh, Piece, grid_triangles, joined, normals_of, plain, tube, unit
from face3d.synth.skin import noise

SHARE, HANDS = 0.2, 0.6
"""Of photos, those with something before the face; of these, those with a hand."""


def occluder(
    random: np.random.Generator,
    points: Float[np.ndarray, "landmark 3"],
    eye: Float[np.ndarray, "3"],
    skin: Float[np.ndarray, "3"],
) -> Piece:
    """Something on the way from a face's landmarks to the eye, near the face."""
    target = points[random.integers(0, 468)]
    towards = unit(eye - target)
    place = target + towards * random.uniform(0.015, min(0.09, 0.3 * float(np.linalg.norm(eye - target))))
    turn = roma.random_rotmat(1, generator=torch.Generator().manual_seed(int(random.integers(2**31))))[0].numpy()
    if random.uniform() < HANDS:
        mesh, triangles, normals = _hand(random)
        facing = np.stack([*_across(towards), towards])
        spin = random.uniform(0, 2 * np.pi)
        flat = np.array([[np.cos(spin), -np.sin(spin), 0], [np.sin(spin), np.cos(spin), 0], [0, 0, 1]])
        tilt = roma.rotvec_to_rotmat(torch.from_numpy(random.normal(0, 0.4, 3))).numpy()
        turn = (facing.T @ flat @ tilt).astype(np.float32)
        colour, gloss = plain(mesh, skin * random.uniform(0.85, 1.1)) * _mottled(random, len(mesh)), 0.3
    else:
        mesh, triangles, normals = _thing(random)
        colour, gloss = plain(mesh, random.uniform(0.01, 0.7, 3)) * _mottled(random, len(mesh)), random.uniform(0, 2)
    mesh = (mesh @ turn.T + place).astype(np.float32)
    return Piece(mesh, triangles, (normals @ turn.T).astype(np.float32), colour.astype(np.float32), "occluder", gloss)


def _across(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = unit(np.cross(direction, [0.0, 1.0, 0.1]))
    return first, np.cross(direction, first)


def _mottled(random: np.random.Generator, count: int) -> np.ndarray:
    return np.exp(0.1 * noise(random, 3).ravel()[:count])[:, None]


def _hand(random: np.random.Generator) -> Mesh:
    """A palm in the plane z = 0, a forearm down from it, four fingers up and a thumb aside, each bent by chance."""
    size = random.uniform(0.85, 1.1)
    parts = [_ellipsoid(np.array([0.0, 0.0, 0.0]), np.array([0.042, 0.05, 0.014]) * size)]
    arm = np.stack([np.zeros(6), -0.04 - np.linspace(0, 0.22, 6), np.linspace(0, 0.03, 6)], 1) * size
    parts.append(tube(arm.astype(np.float32), np.linspace(0.024, 0.036, 6) * size, 10))
    bend = random.uniform(-0.1, 1.1)
    spread = random.uniform(0.02, 0.22)
    for finger in range(4):
        base = np.array([(finger - 1.5) * 0.02, 0.042 - 0.003 * abs(finger - 1.5), 0.0])
        curl = bend * random.uniform(0.6, 1.2) if random.uniform() < 0.8 else 0.0
        parts.append(_finger(base, (finger - 1.5) * spread, curl, 0.085 - 0.008 * abs(finger - 1.2), 0.0085, size))
    parts.append(_finger(np.array([0.036, -0.02, 0.0]), random.uniform(0.5, 1.1), 0.3 * bend, 0.065, 0.0105, size))
    return joined(parts)


def _finger(base: np.ndarray, aside: float, curl: float, length: float, radius: float, size: float) -> Mesh:
    """Three phalanges, each bent by `curl` radians against the one before."""
    path, way = [base], np.array([np.sin(aside), np.cos(aside), 0.0])
    for phalanx, share in enumerate((0.45, 0.3, 0.25)):
        angle = curl * (phalanx + 0.5)
        step = way * np.cos(angle) + np.array([0.0, 0.0, -1.0]) * np.sin(angle)
        path += [path[-1] + 0.5 * share * length * step, path[-1] + share * length * step]
    thin = radius * np.array([1.05, 0.95, 1.0, 0.88, 0.92, 0.8, 0.3])
    return tube((np.array(path) * size).astype(np.float32), thin * size, 8)


def _thing(random: np.random.Generator) -> Mesh:
    kind = random.integers(3)
    extent = np.exp(random.uniform(np.log(0.012), np.log(0.06), 3))
    if kind == 0:
        return _ellipsoid(np.zeros(3), extent)
    if kind == 1:
        path = np.stack([np.zeros(5), np.linspace(-1, 1, 5) * random.uniform(0.03, 0.15), np.zeros(5)], 1)
        return tube(path.astype(np.float32), extent[0] * random.uniform(0.5, 1, 5), 12)
    sides = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * extent[:2] * 1.5
    mesh = np.concatenate([np.c_[sides, np.full(4, -0.005)], np.c_[sides, np.full(4, 0.005)]]).astype(np.float32)
    walls = [(i, (i + 1) % 4, (i + 1) % 4 + 4, i + 4) for i in range(4)]
    quads = [(3, 2, 1, 0), (4, 5, 6, 7), *walls]
    triangles = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    return mesh, triangles, normals_of(mesh, triangles)


def _ellipsoid(centre: np.ndarray, radii: np.ndarray) -> Mesh:
    theta, phi = np.meshgrid(np.linspace(0.02, np.pi - 0.02, 12), np.arange(18) / 18 * 2 * np.pi, indexing="ij")
    ball = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1).reshape(-1, 3)
    return (
        (centre + ball * radii).astype(np.float32),
        grid_triangles(12, 18, True),
        unit(ball / radii).astype(np.float32),
    )
