"""ICT-FaceKit's light face model (Li et al. 2020, MIT licence): 100 identity shapes and expressions close to ARKit's.

Its makers publish a folder of OBJ files, `FaceXModel`, in centimetres. The same arrays in one `.npz` are read as well:
`v`, `f`, `uv`, `ft`, `identity`, `expr`, `names` and `lmk68`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from morphable import checking
from morphable.arkit import ARKIT_NAMES
from morphable.errors import ModelFileError
from morphable.linear import LinearHeads, at_vertices
from morphable.model import MorphableModel, Part

CENTIMETRE = 0.01
VERTICES = 26719
PARTS = {
    "head": (0, 14062),
    "tongue": (14062, 17039),
    "teeth_upper": (17039, 19247),
    "teeth_lower": (19247, 21451),
    "eye_left": (21451, 23021),
    "eye_right": (23021, 24591),
    "lashes": (25351, VERTICES),
}
"""Ranges of vertices. Between the eyeballs and the lashes lie tears and shadows, transparent shells that are left out;
`tongue` has the gums too."""
NEUTRAL = "generic_neutral_mesh.obj"
"""The mean head; beside it `identity000.obj`, … and an OBJ for each expression."""


def is_ict(data: Mapping[str, Any]) -> bool:
    return {"v", "f", "identity", "expr"} <= data.keys()


def is_ict_folder(folder: Path) -> bool:
    return _inside(folder) is not None


def ict_from_folder(folder: Path, name: str) -> MorphableModel:
    """The model in `FaceXModel`, or in a folder that holds it.

    Raises:
        ModelFileError: an OBJ is damaged or of another mesh, or identities are missing.
    """
    inside = _inside(folder)
    if inside is None:
        raise ModelFileError(f"{folder} holds no {NEUTRAL}.")
    vertices, uv, triangles, uv_triangles = _read_obj(inside / NEUTRAL)
    identities = sorted(inside.glob("identity[0-9][0-9][0-9].obj"))
    if not identities:
        raise ModelFileError(f"{inside} holds no identity000.obj.")
    expressions = [path for path in sorted(inside.glob("*.obj")) if path not in identities and path.name != NEUTRAL]
    data = {
        "v": vertices,
        "uv": uv,
        "f": triangles,
        "ft": uv_triangles,
        "identity": np.stack([_offsets(path, vertices) for path in identities]),
        "expr": np.stack([_offsets(path, vertices) for path in expressions] or [np.zeros_like(vertices)]),
        "names": np.array([path.stem for path in expressions] or ["none"]),
        "lmk68": _landmark_vertices(inside / "vertex_indices.json"),
    }
    return ict_from_arrays(data, name, folder.name)


def ict_from_arrays(data: Mapping[str, Any], name: str, file: str) -> MorphableModel:
    """The model in arrays named as in this module's docstring.

    Raises:
        ModelFileError: an array is absent, of the wrong shape, or not finite.
    """
    vertices = checking.numbers(data, "v", (VERTICES, 3), file) * CENTIMETRE
    checking.plausible_head(vertices, file)
    triangles = checking.indices(data, "f", (None, 3), VERTICES, file)
    uv = checking.numbers(data, "uv", (None, 2), file) * (1, -1) + (0, 1)
    uv_triangles = checking.indices(data, "ft", (len(triangles), 3), len(uv), file)
    identity = checking.numbers(data, "identity", (None, VERTICES, 3), file) * CENTIMETRE
    expressions = checking.numbers(data, "expr", (len(data.get("names", ())), VERTICES, 3), file) * CENTIMETRE

    kept, places = _kept_vertices()
    parts, chosen = _parts(triangles, places)
    triangles = places[triangles[chosen]]
    uv, uv_triangles = _one_texture_a_part(uv, uv_triangles[chosen], parts)
    landmarks = {}
    if len(np.atleast_1d(data.get("lmk68", ()))):
        corners = places[checking.indices(data, "lmk68", (68,), VERTICES, file)]
        landmarks["ibug68"] = at_vertices(corners, triangles)
    balls = [slice(*PARTS[side]) for side in ("eye_left", "eye_right")]
    return LinearHeads(
        vertices[kept],
        triangles,
        identity[:, kept],
        eyes=np.stack([_centre(vertices[ball]) for ball in balls]),
        eye_basis=np.stack([identity[:, ball].mean(1) for ball in balls], 1),
        expressions=_arkit(map(str, data["names"]), expressions[:, kept]),
        parts=parts,
        landmarks=landmarks,
        uv=uv,
        uv_triangles=uv_triangles,
        has_neck=True,
    ).model(name)


def _arkit(names: Any, expressions: Float[np.ndarray, "shape vertex 3"]) -> dict[str, np.ndarray]:
    """Shapes under ARKit's names: `_L` is Left, and pairs that ARKit does not part are added up."""
    shapes: dict[str, np.ndarray] = {}
    for name, offsets in zip(names, expressions, strict=True):
        whole = re.sub("_[LR]$", "", name)
        sided = re.sub("_L$", "Left", re.sub("_R$", "Right", name))
        if sided in ARKIT_NAMES:
            shapes[sided] = offsets
        elif whole in ARKIT_NAMES:
            shapes[whole] = shapes.get(whole, 0) + offsets
    return shapes


def _centre(ball: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "3"]:
    """Of the sphere that fits the points best, in least squares."""
    design = np.concatenate([2 * ball, np.ones((len(ball), 1))], 1)
    centre: np.ndarray = np.linalg.lstsq(design, np.square(ball).sum(1), rcond=None)[0][:3]
    return centre


def _kept_vertices() -> tuple[np.ndarray, np.ndarray]:
    """The vertices of all parts, and where each of the file's vertices goes (-1: nowhere)."""
    kept = np.concatenate([np.arange(*span) for span in PARTS.values()])
    places = np.full(VERTICES, -1)
    places[kept] = np.arange(len(kept))
    return kept, places


def _parts(triangles: Int[np.ndarray, "triangle 3"], places: np.ndarray) -> tuple[dict[str, Part], np.ndarray]:
    """Each part's ranges, and which of the file's triangles are kept, in the order of the parts."""
    parts, chosen, start = {}, [], 0
    for name, (first, last) in PARTS.items():
        inside = np.flatnonzero(((triangles >= first) & (triangles < last)).all(1))
        vertices = slice(int(places[first]), int(places[last - 1]) + 1)
        parts[name] = Part(vertices, slice(start, start + len(inside)))
        chosen.append(inside)
        start += len(inside)
    return parts, np.concatenate(chosen)


def _one_texture_a_part(
    uv: Float[np.ndarray, "corner 2"], uv_triangles: Int[np.ndarray, "triangle 3"], parts: Mapping[str, Part]
) -> tuple[Float[np.ndarray, "corner 2"], Int[np.ndarray, "triangle 3"]]:
    """The file lays its textures side by side, one unit wide each; those that a part uses become its one texture."""
    corners, drawn, start = [], [], 0
    for part in parts.values():
        used, places = np.unique(uv_triangles[part.triangles], return_inverse=True)
        first, last = np.floor(uv[used, 0].min()), np.ceil(uv[used, 0].max())
        corners.append((uv[used] - (first, 0)) / (last - first, 1))
        drawn.append(places.reshape(-1, 3) + start)
        start += len(used)
    return np.concatenate(corners), np.concatenate(drawn)


def _inside(folder: Path) -> Path | None:
    return next((each for each in (folder, folder / "FaceXModel") if (each / NEUTRAL).is_file()), None)


def _offsets(path: Path, neutral: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
    vertices = _rows(path.read_bytes(), b"v ", path.name)
    if vertices.shape != neutral.shape:
        raise ModelFileError(f"{path.name} has {len(vertices)} vertices instead of {len(neutral)}.")
    return vertices - neutral


def _landmark_vertices(path: Path) -> Any:
    try:
        return json.loads(path.read_text())["idx_to_landmark_verts"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, texture coordinates, and triangles in each, quadrilaterals being cut in two."""
    text = path.read_bytes()
    corners: list[list[list[int]]] = []
    try:
        for line in text.splitlines():
            if line.startswith(b"f "):
                face = [[int(index) - 1 for index in corner.split(b"/")[:2]] for corner in line.split()[1:]]
                corners += [[face[0], face[i], face[i + 1]] for i in range(1, len(face) - 1)]
        both = np.array(corners).reshape(-1, 3, 2)
    except ValueError as error:
        raise ModelFileError(f"{path.name} is damaged: its faces cannot be read.") from error
    return _rows(text, b"v ", path.name), _rows(text, b"vt ", path.name)[:, :2], both[..., 0], both[..., 1]


def _rows(text: bytes, key: bytes, file: str) -> np.ndarray:
    """The numbers of all lines of an OBJ that start with the key."""
    lines = [line[len(key) :].split() for line in text.splitlines() if line.startswith(key)]
    try:
        return np.array(lines, dtype=np.float64).reshape(len(lines), -1)
    except ValueError as error:
        raise ModelFileError(f"{file} is damaged: a line of numbers cannot be read.") from error
