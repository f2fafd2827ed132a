"""The Basel Face Models: 2009 (Paysan et al.), 2017 and 2019 (Gerig et al.), and the front of 2009's with expressions
from FaceWarehouse that reconstruction networks of the Deep3D family use."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from morphable import checking
from morphable.albedo import AlbedoSpace
from morphable.errors import ModelFileError
from morphable.linear import LinearHeads, at_vertices
from morphable.model import MorphableModel

MICROMETRE, MILLIMETRE, DECIMETRE = 1e-6, 1e-3, 0.1
LID_TO_CENTRE = 0.012
"""Metres from the surface of closed or open lids to the eyeball's centre: about its radius."""
EYES_FROM_NOSE = ((0.0315, 0.042, 0.0), (-0.0315, 0.042, 0.0))
"""Metres from the tip of the nose to before the eyes, where a file does not name them: half the distance between
adults' pupils (Dodgson 2004) and, roughly, the height of a nose."""
REACH = 0.008
"""Metres about that place within which the surface is taken for the lids."""
RIGHT_EYE, LEFT_EYE = range(36, 42), range(42, 48)
"""In iBUG's 68 landmarks."""
EYE_NAMES = ("eye.pupil.center", "eye.corner_outer", "eye.corner_inner")


def basel_from_mat(path: Path, name: str) -> tuple[MorphableModel, AlbedoSpace]:
    """The model of 2009 (`01_MorphableModel.mat`), or `BFM_model_front.mat`, with colours per vertex.

    Raises:
        ModelFileError: the file is damaged or is neither.
    """
    data = _read_mat(path)
    if "shapeMU" in data:
        return _from_2009(data, name, path.name)
    if "meanshape" in data:
        return _from_front(data, name, path.name)
    raise ModelFileError(f"{path.name} is no Basel Face Model: it has neither `shapeMU` nor `meanshape`.")


def basel_from_hdf5(path: Path, name: str) -> tuple[MorphableModel, AlbedoSpace]:
    """The model of 2017 or 2019, with colours per vertex.

    Raises:
        ModelFileError: the file is damaged or is no such model, or h5py, which reads it, is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ModelFileError(f"{path.name} needs h5py to be read: pip install 'face3d[models]'.") from error
    try:
        with h5py.File(path, "r") as file:
            data = {
                key: file[key][()]
                for part in ("shape", "expression", "color")
                for key in (f"{part}/model/{array}" for array in ("mean", "pcaBasis", "pcaVariance"))
                if key in file
            }
            data |= {
                key: file[key][()] for key in ("shape/representer/cells", "metadata/landmarks/json") if key in file
            }
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path.name} is damaged or no HDF5 file.") from error
    return _from_2017(data, name, path.name)


def _from_2009(data: Mapping[str, Any], name: str, file: str) -> tuple[MorphableModel, AlbedoSpace]:
    vertices, identity = _space(data, ("shapeMU", "shapePC", "shapeEV"), file)
    triangles = _one_based(data, "tl", len(vertices), file)
    colours = _space(data, ("texMU", "texPC", "texEV"), file)
    heads = _heads(vertices * MICROMETRE, triangles, identity * MICROMETRE, None, file)
    return heads.model(name), _albedo(*colours, 255)


def _from_front(data: Mapping[str, Any], name: str, file: str) -> tuple[MorphableModel, AlbedoSpace]:
    vertices, identity = _space(data, ("meanshape", "idBase", None), file)
    _, expressions = _space(data, ("meanshape", "exBase", None), file)
    colours = _space(data, ("meantex", "texBase", None), file)
    triangles = _one_based(data, "tri", len(vertices), file)
    keypoints = (
        checking.indices({"keypoints": np.ravel(data.get("keypoints", ()))}, "keypoints", (68,), 2**31, file) - 1
    )
    keypoints = checking.indices({"keypoints": keypoints}, "keypoints", (68,), len(vertices), file)
    vertices = vertices * DECIMETRE
    lids = [keypoints[list(side)] for side in (LEFT_EYE, RIGHT_EYE)]
    heads = _heads(vertices, triangles, identity * DECIMETRE, lids, file)
    heads.native_expressions = expressions * DECIMETRE
    heads.landmarks = {"ibug68": at_vertices(keypoints, triangles)}
    return heads.model(name), _albedo(*colours, 255)


def _from_2017(data: Mapping[str, Any], name: str, file: str) -> tuple[MorphableModel, AlbedoSpace]:
    vertices, identity = _statismo(data, "shape", file)
    shift, expressions = _statismo(data, "expression", file)
    colours = _statismo(data, "color", file)
    vertices = (vertices + shift) * MILLIMETRE
    cells = {key: np.asarray(data[key]).T for key in ("shape/representer/cells",) if key in data}
    triangles = checking.indices(cells, "shape/representer/cells", (None, 3), len(vertices), file)
    lids = _named_lids(data.get("metadata/landmarks/json"), vertices)
    heads = _heads(vertices, triangles, identity * MILLIMETRE, lids, file)
    heads.native_expressions = expressions * MILLIMETRE
    return heads.model(name), _albedo(*colours, 1)


def _heads(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    identity: Float[np.ndarray, "identity vertex 3"],
    lids: list[np.ndarray] | None,
    file: str,
) -> LinearHeads:
    """With eyes behind the lids: vertices about the left and right eye, found under the nose's tip if not given."""
    checking.plausible_head(vertices, file)
    lids = lids or _lids_from_nose(vertices, file)
    behind = (0.0, 0.0, LID_TO_CENTRE)
    eyes = np.stack([vertices[side].mean(0) - behind for side in lids])
    if not 0.03 < eyes[0, 0] - eyes[1, 0] < 0.12:
        raise ModelFileError(f"The eyes in {file} do not lie as a face's do that looks along +z.")
    return LinearHeads(
        vertices, triangles, identity, eyes=eyes, eye_basis=np.stack([identity[:, side].mean(1) for side in lids], 1)
    )


def _lids_from_nose(vertices: Float[np.ndarray, "vertex 3"], file: str) -> list[np.ndarray]:
    tip = vertices[vertices[:, 2].argmax()]
    places = (tip + offset for offset in EYES_FROM_NOSE)
    ahead = vertices[:, 2] > tip[2] - 0.08
    lids = [np.flatnonzero(ahead & (np.hypot(*(vertices - place)[:, :2].T) < REACH)) for place in places]
    if not all(map(len, lids)):
        raise ModelFileError(f"The vertices in {file} are no face that looks along +z.")
    return lids


def _named_lids(text: Any, vertices: Float[np.ndarray, "vertex 3"]) -> list[np.ndarray] | None:
    """Vertices nearest to the landmarks of the left and right eye, which the file gives in millimetres."""
    if text is None:
        return None
    try:
        listed = json.loads(_text_of(text))
        places = {each["id"]: np.array(each["coordinates"], float) * MILLIMETRE for each in listed}
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    lids = []
    for side in ("left", "right"):
        named = [places[f"{side}.{each}"] for each in EYE_NAMES if f"{side}.{each}" in places]
        if not named:
            return None
        lids.append(np.array([np.square(vertices - place).sum(1).argmin() for place in named]))
    return lids


def _text_of(held: Any) -> str:
    """Text that HDF5 files hold as a string, as an array of one, or as bytes of no type."""
    array = np.asarray(held)
    whole = array.ravel()[0] if array.dtype.kind in "OSU" else array.tobytes()
    return whole.decode().rstrip("\0") if isinstance(whole, bytes) else str(whole)


def _space(
    data: Mapping[str, Any], keys: tuple[str, str, str | None], file: str
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "mode vertex 3"]]:
    """Mean and modes, from x, y, z of all vertices in one column each; modes are multiplied by their deviations."""
    mean_key, basis_key, deviation_key = keys
    flat = {mean_key: np.ravel(data[mean_key])} if mean_key in data else {}
    mean = checking.numbers(flat, mean_key, (None,), file)
    if len(mean) % 3:
        raise ModelFileError(f"`{mean_key}` in {file} holds {len(mean)} numbers, which are no triples.")
    modes = checking.numbers(data, basis_key, (len(mean), None), file)
    if deviation_key is not None:
        flat = {deviation_key: np.ravel(data[deviation_key])} if deviation_key in data else {}
        modes = modes * checking.numbers(flat, deviation_key, (modes.shape[1],), file)
    return mean.reshape(-1, 3), modes.T.reshape(modes.shape[1], -1, 3)


def _statismo(data: Mapping[str, Any], part: str, file: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and modes at one standard deviation of a part (`shape`, `expression`, `color`) of a Statismo file."""
    keys = tuple(f"{part}/model/{name}" for name in ("mean", "pcaBasis", "pcaVariance"))
    deviations = {}
    if keys[2] in data:
        variance = checking.numbers(data, keys[2], (None,), file)
        deviations = {keys[2]: np.sqrt(np.maximum(variance, 0))}
    return _space({**data, **deviations} if deviations else data, (keys[0], keys[1], keys[2]), file)


def _one_based(data: Mapping[str, Any], key: str, count: int, file: str) -> Int[np.ndarray, "triangle 3"]:
    """Triangles whose vertices are counted from 1; further columns are left out."""
    corners = {key: np.asarray(data[key])[..., :3].astype(np.int64) - 1} if key in data else {}
    return checking.indices(corners, key, (None, 3), count, file)


def _albedo(mean: np.ndarray, basis: np.ndarray, white: float) -> AlbedoSpace:
    return AlbedoSpace.of(mean / white, basis / white)


def _read_mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        data: dict[str, Any] = loadmat(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # a broken file fails in as many ways as the reader has steps
        raise ModelFileError(f"{path.name} is damaged or no MATLAB 5 file.") from error
    return data
