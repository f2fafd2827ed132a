"""A head of FLAME's layout with made-up numbers, for measuring and testing without FLAME itself."""

import pickle
from pathlib import Path

import numpy as np
from scipy.sparse import csc_matrix
from scipy.spatial import ConvexHull

HEAD, EYE = 3931, 546
"""FLAME's counts of vertices."""
SHAPES, EXPRESSIONS = 300, 100
EYES = np.array([[0.031, 0.025, 0.055], [-0.031, 0.025, 0.055]])
CENTRES = np.array([[0.0, -0.11, -0.02], [0.0, -0.06, 0.0], [0.0, -0.02, 0.02], *EYES])
"""Of the root, the neck, the jaw and the eyes."""


def flame_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a FLAME file: an ellipsoid with two eyeballs, random smooth components, weights by distance."""
    random = np.random.default_rng(seed)
    head, triangles = _ball(HEAD)
    eye, eye_triangles = _ball(EYE)
    template = np.concatenate([head * (0.08, 0.14, 0.1), *(0.012 * eye + centre for centre in EYES)])
    faces = np.concatenate([triangles, eye_triangles + HEAD, eye_triangles + HEAD + EYE])
    near = np.exp(-np.square(head * (0.08, 0.14, 0.1) - CENTRES[:, None]).sum(-1) / 0.05**2)
    near[3:] = 0
    eyes = np.repeat(np.eye(5)[3:], EYE, axis=0)
    weights = np.concatenate([(near / near.sum(0)).T, eyes])
    sizes = 0.003 / np.sqrt(1 + np.arange(SHAPES + EXPRESSIONS))
    return {
        "v_template": template,
        "f": faces.astype(np.uint32),
        "shapedirs": _waves(template, SHAPES + EXPRESSIONS, random) * sizes,
        "posedirs": _waves(template, 36, random) * 0.002,
        "J_regressor": weights.T / weights.sum(0)[:, None],
        "weights": weights,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], dtype=np.int64),
    }


def write_flame(arrays: dict[str, np.ndarray], path: Path) -> Path:
    """The arrays as FLAME's makers pickle them, the regressor being sparse."""
    held = {**arrays, "J_regressor": csc_matrix(arrays["J_regressor"]), "bs_type": "lrotmin", "bs_style": "lbs"}
    path.write_bytes(pickle.dumps(held, protocol=2))
    return path


def smplx_folder(arrays: dict[str, np.ndarray], folder: Path) -> Path:
    """A folder from which the `smplx` package loads the arrays."""
    write_flame(arrays, folder / "FLAME_NEUTRAL.pkl")
    landmarks = {"lmk_face_idx": np.arange(51), "lmk_b_coords": np.full((51, 3), 1 / 3)}
    (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(landmarks, protocol=2))
    return folder


def _ball(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a Fibonacci lattice on the unit sphere, and their triangles, counter-clockwise from outside."""
    height = 1 - (2 * np.arange(count) + 1) / count
    around = np.pi * (1 + 5**0.5) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    points = np.stack([radius * np.cos(around), height, radius * np.sin(around)], 1)
    triangles = ConvexHull(points).simplices
    a, b, c = points[triangles].transpose(1, 0, 2)
    inwards = np.einsum("ti,ti->t", a, np.cross(b, c)) < 0
    triangles[inwards] = triangles[inwards, ::-1]
    return points, triangles


def _waves(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """(vertex, 3, count) waves of random directions and phases over the points."""
    waves = points @ random.normal(0, 30, (3, 3, count)).reshape(3, -1)
    return np.sin(waves + random.uniform(0, 2 * np.pi, 3 * count)).reshape(len(points), 3, count)
