"""Faces as files: a mesh with the seven landmarks of the NoW challenge (Sanyal et al. 2019).

The landmarks are the outer and inner corner of the right eye, the inner and outer corner of the left one, the base of
the nose between the nostrils, and the right and left corner of the mouth: the person's own right and left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from jaxtyping import Float, Int

from face3d.errors import Face3DError
from face3d.heads import model_of
from face3d.scan_file import load_scan
from morphable import Head, MorphableModel, on_surface

MESHES = (".glb", ".obj", ".ply")
LANDMARKS = (".npy", ".txt", ".pp", ".picked_points", "_picked_points.pp")
"""Endings in place of a mesh's suffix; `.pp` is MeshLab's."""
NOW_LANDMARKS = "scans_lmks_onlypp"
"""The folder in which NoW keeps the landmarks of what its folder `scans` holds."""
NOW7_OF = {"now7": [0, 1, 2, 3, 4, 5, 6], "ibug68": [36, 39, 42, 45, 33, 48, 54]}
"""Where they are among the landmarks of a model."""
UNITS = (1.0, 1e-2, 1e-3)
"""Metres, centimetres, millimetres."""
EYE_DISTANCE = (0.05, 0.15)
"""Metres between the outer corners of anybody's eyes, at least and at most."""
OPEN_PARTS = ("head", "eye_left", "eye_right")
"""Of our heads, what a scanner can see,"""
HIDDEN_REGIONS = ("inner_mouth", "eye_socket")
"""and what of that it cannot: were it kept, points could be near to what nobody sees."""


@dataclass(frozen=True, eq=False)
class Face:
    """A mesh with its seven landmarks.

    Attributes:
        vertices, landmarks: metres if `metric`, else of unknown unit.
    """

    name: str
    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    landmarks: Float[np.ndarray, "7 3"]
    metric: bool


def read_face(path: str | Path, root: str | Path | None = None) -> Face:
    """Reads a head of ours (`.glb`), or an `.obj` or `.ply` with a file of landmarks.

    The unit is metres, centimetres or millimetres, whichever makes the landmarks a face's.

    Args:
        root: the folder that the path is under, if landmarks may be where the NoW challenge has them, next to it.

    Raises:
        Face3DError: the mesh or its landmarks are missing or damaged.
        OSError: a file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() == ".glb":
        vertices, triangles, landmarks = _read_head(path)
    else:
        scan = load_scan(path)
        vertices, triangles = scan.vertices, scan.triangles
        landmarks = read_landmarks(_landmark_file(path, root))
    vertices, triangles = without_strays(vertices, triangles)
    width = np.linalg.norm(landmarks[0] - landmarks[3])
    unit = next((unit for unit in UNITS if EYE_DISTANCE[0] < width * unit < EYE_DISTANCE[1]), None)
    return Face(path.name, vertices * (unit or 1), triangles, landmarks * (unit or 1), metric=unit is not None)


def read_landmarks(path: Path) -> Float[np.ndarray, "7 3"]:
    """Reads seven points from NumPy's `.npy`, a text of seven rows, or MeshLab's picked points.

    Raises:
        Face3DError: the file does not hold them.
    """
    try:
        points = np.asarray(_read_points(path), dtype=float)
    except (ValueError, KeyError, EOFError, ElementTree.ParseError) as error:
        raise Face3DError(f"{path} holds no landmarks that can be read: {error}.") from error
    if points.shape != (7, 3) or not np.isfinite(points).all():
        raise Face3DError(f"{path} does not hold seven points of three finite numbers each.")
    return points


def without_strays(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]
) -> tuple[Float[np.ndarray, "used 3"], Int[np.ndarray, "triangle 3"]]:
    """The mesh without vertices that no triangle has."""
    used, places = np.unique(triangles, return_inverse=True)
    return vertices[used], places.reshape(triangles.shape)


def visible_triangles(model: MorphableModel) -> Int[np.ndarray, "triangle 3"]:
    """Of skin and eyeballs, without what the mouth and the eyes' sockets hide."""
    hidden = torch.zeros(len(model.mean), dtype=torch.bool)
    for name in HIDDEN_REGIONS:
        hidden |= model.regions.get(name, hidden)
    triangles = torch.cat([model.triangles[model.parts[part].triangles] for part in OPEN_PARTS if part in model.parts])
    return triangles[~hidden[triangles.long()].all(1)].numpy().astype(int)


def meshes_under(folder: Path) -> Iterator[Path]:
    """All mesh files in a folder and its folders, by name."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in MESHES and path.is_file():
            yield path


def _read_points(path: Path) -> np.ndarray | list[list[float]]:
    if path.suffix.lower() == ".npy":
        points: np.ndarray = np.load(path, allow_pickle=False)
        return points
    text = path.read_text()
    if path.suffix.lower() == ".txt":
        return [[float(number) for number in line.replace(",", " ").split()] for line in text.splitlines() if line]
    points_ = ElementTree.fromstring(text).iter("point")
    return [[float(point.attrib[axis]) for axis in "xyz"] for point in points_ if point.get("active") != "0"]


def _landmark_file(mesh: Path, root: str | Path | None) -> Path:
    beside = [mesh.with_name(mesh.stem + ending) for ending in LANDMARKS]
    if root is not None:
        folder = (
            Path(root).absolute().parent / NOW_LANDMARKS / mesh.absolute().parent.relative_to(Path(root).absolute())
        )
        beside += sorted(folder.glob("*.pp"))[:1]
    found = next((path for path in beside if path.is_file()), None)
    if found is None:
        raise Face3DError(f"{mesh} has no landmarks: put its seven points beside it as {mesh.stem}.npy, .txt or .pp.")
    return found


def _read_head(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    head = Head.load(path)
    try:
        model = model_of(head)
    except ValueError as error:
        raise Face3DError(f"{path}: {error}") from error
    name = next((name for name in NOW7_OF if name in model.landmarks), None)
    if name is None:
        raise Face3DError(f"{path} cannot be compared with scans: its model {head.model!r} has no landmarks.")
    landmarks = on_surface(model.landmarks[name], torch.as_tensor(head.neutral).double(), model.triangles)
    return head.neutral.astype(float), visible_triangles(model), landmarks[NOW7_OF[name]].numpy()
