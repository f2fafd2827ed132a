"""Which point of the default head is which on another model: found by registration, once, and kept."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

import morphable
from face3d.errors import Face3DError
from face3d.perception import MediaPipeDetector
from face3d.registration import find_landmarks, register
from morphable import MorphableModel

FOLDER_VARIABLE = "FACE3D_CACHE"
"""Names the folder of what can be worked out again, in place of the user's own."""
VERSION = 2
"""Of the registration: what an earlier one found is not used."""


def default_on(model: MorphableModel) -> Float[np.ndarray, "vertex 3"]:
    """The default head laid onto the mean head of another model, metres in that model's frame.

    The first call takes some seconds; what it finds is kept in `cache_folder()`.

    Raises:
        Face3DError: no face can be seen on that model.
    """
    path = cache_folder() / f"default_on_{model.name}_{_fingerprint(model)}.safetensors"
    kept = _read(path)
    if kept is None:
        kept = _registered(model)
        _write(path, kept)
    return kept


def cache_folder() -> Path:
    """What FACE3D_CACHE names, else a folder of the user's."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "face3d"


def _registered(model: MorphableModel) -> Float[np.ndarray, "vertex 3"]:
    default = morphable.load()
    vertices, triangles = model.mean.double().numpy(), model.triangles.long().numpy()
    with MediaPipeDetector() as detector:
        try:
            landmarks = find_landmarks(default, vertices, triangles, detector)
        except Face3DError as error:
            raise Face3DError(f"No face can be seen on the mean head of {model.name}.") from error
    found = register(default, vertices, triangles, landmarks)
    return found.to_model.inverse()(found.vertices(default))


def _fingerprint(model: MorphableModel) -> str:
    default = morphable.load()
    digest = hashlib.sha256(str(VERSION).encode())
    for each in (model.mean, model.triangles, default.mean, default.identity_basis, default.triangles):
        digest.update(each.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path) -> Float[np.ndarray, "vertex 3"] | None:
    """None if nothing usable is kept."""
    try:
        kept = load_file(path)["vertices"]
    except (OSError, SafetensorError, KeyError):
        return None
    return kept.astype(float) if kept.shape == morphable.load().mean.shape else None


def _write(path: Path, vertices: Float[np.ndarray, "vertex 3"]) -> None:
    """Where nothing can be kept, it is worked out again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            draft = Path(folder) / path.name
            save_file({"vertices": vertices.astype(np.float32)}, draft)
            draft.replace(path)
    except OSError:
        return
