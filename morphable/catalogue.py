"""The models that can be loaded by name: the default head, and those that a user has added from files of their own."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from morphable.albedo import AlbedoSpace
from morphable.arkit import ARKIT_NAMES
from morphable.basel import basel_from_hdf5, basel_from_mat
from morphable.errors import ModelFileError
from morphable.flame import Flame, albedo_from, flame_from, is_flame, landmarks_from, regions_from
from morphable.ict import ict_from_arrays, ict_from_folder, is_ict, is_ict_folder
from morphable.model import LandmarkEmbedding, MorphableModel
from morphable.population import Population
from morphable.storage import read_albedo, read_description, read_model, write_albedo, write_model
from morphable.unpickling import read_npy, read_npz, read_pickle

DEFAULT = "default"
FOLDER_VARIABLE = "FACE3D_MODELS"
"""Names the folder of added models in place of the user's own."""
READERS: dict[str, Callable[[Path], Any]] = {".pkl": read_pickle, ".npz": read_npz, ".npy": read_npy}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class Entry:
    """What the catalogue knows of a model: `shapes` are those of ARKIT_NAMES that it has."""

    name: str
    source: str
    vertices: int
    identities: int
    shapes: tuple[str, ...]


def load(name: str = DEFAULT) -> MorphableModel:
    """A model by its name, float32 on the CPU; loaded once a process.

    Raises:
        ValueError: there is no such model, or what is stored of it is damaged.
    """
    if name == DEFAULT:
        return _load_default()
    path = _stored(name)
    return _load_stored(path, name, path.stat().st_mtime_ns)


def load_albedo(name: str) -> AlbedoSpace | None:
    """The colour space that came with an added model, if any. Raises as `load`."""
    path = _stored(name).with_suffix(".albedo")
    return read_albedo(path) if path.exists() else None


def names() -> tuple[str, ...]:
    """The default model, then the added ones by name."""
    return DEFAULT, *sorted(path.stem for path in folder().glob("*.safetensors") if NAME.fullmatch(path.stem))


def entries() -> tuple[Entry, ...]:
    """What `names` names, described. Raises ValueError if a stored model is damaged."""
    return tuple(entry(name) for name in names())


def entry(name: str) -> Entry:
    """One of the models that `names` names, described. Raises ValueError if it is absent or damaged."""
    if name == DEFAULT:
        default = load()
        return Entry(DEFAULT, "face3d", len(default.mean), default.identities, ARKIT_NAMES)
    description = read_description(_stored(name))
    try:
        return Entry(
            name,
            str(description["source"]),
            int(description["vertices"]),
            int(description["identities"]),
            tuple(description["shapes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"What is stored of {name} is damaged ({error!r}); add the model again.") from error


def add(path: str | Path, name: str | None = None) -> Entry:
    """Reads a model file of another project, checks it and stores it under a name of its own.

    Files: FLAME's `.pkl` and `.npz`; Basel's `.mat` of 2009, `.h5` of 2017 and 2019, and `BFM_model_front.mat`;
    ICT-FaceKit's folder of OBJs. What goes with FLAME (landmark embeddings, masks, texture spaces) is added to the
    FLAME model of that name, which must be there.

    Args:
        path: the file, or ICT-FaceKit's folder.
        name: letters, digits, - and _; `flame`, `basel` or `ict` if not given.

    Raises:
        ValueError: the file is none of those, damaged, or asks to run code; or the name cannot be used.
        OSError: it cannot be read, or the model cannot be stored.
    """
    path = Path(path)
    if name is not None and (name == DEFAULT or not NAME.fullmatch(name)):
        raise ValueError(f"A model cannot be called {name!r}; use small letters, digits, - and _.")
    if path.is_dir() or path.suffix.lower() in (".mat", ".h5"):
        return _add_model(*_read_whole(path), path, name)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ModelFileError(
            f"{path.name} is no model file: give a .pkl, .npz, .npy, .mat, .h5 or ICT-FaceKit's folder."
        )
    data = reader(path)
    if not isinstance(data, Mapping):
        raise ModelFileError(f"{path.name} is no model file: it holds no named arrays.")
    if is_flame(data):
        return _add_model(flame_from(data, name or "flame", path.name), None, path, name)
    if is_ict(data):
        return _add_model(ict_from_arrays(data, name or "ict", path.name), None, path, name)
    return _attach(data, name or "flame", path)


def remove(name: str) -> None:
    """Forgets an added model and all that lies beside it. Raises ValueError if there is none of that name."""
    for path in _stored(name).parent.glob(f"{name}.*"):
        path.unlink()


def amend(
    name: str,
    expressions: Float[Tensor, "52 vertex 3"] | None = None,
    landmarks: Mapping[str, LandmarkEmbedding] | None = None,
    regions: Mapping[str, Bool[Tensor, " vertex"]] | None = None,
) -> MorphableModel:
    """Stores what was learned of an added model by comparing it with another: its ARKit shapes, landmarks, regions.

    Raises:
        ValueError: there is no such model, or the arrays do not fit it.
    """
    path = _stored(name)
    model = read_model(path, name)
    if expressions is not None:
        if expressions.shape != (len(ARKIT_NAMES), *model.mean.shape):
            raise ValueError(f"shapes of {tuple(expressions.shape)} do not fit {name}'s {len(model.mean)} vertices")
        model.expression_basis = expressions.detach().float().cpu()
    model.landmarks |= dict(landmarks or {})
    model.regions |= dict(regions or {})
    write_model(model, path, read_description(path)["source"])
    return load(name)


def folder() -> Path:
    """Where added models are stored: what FACE3D_MODELS names, else a folder of the user's."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "face3d" / "models"


def _read_whole(path: Path) -> tuple[MorphableModel, AlbedoSpace | None]:
    """Folders, and files that say by themselves whose they are; their models have the names of their makers."""
    if path.is_dir():
        if not is_ict_folder(path):
            raise ModelFileError(f"{path} is no model folder: it holds no generic_neutral_mesh.obj of ICT-FaceKit.")
        return ict_from_folder(path, "ict"), None
    return basel_from_mat(path, "basel") if path.suffix.lower() == ".mat" else basel_from_hdf5(path, "basel")


def _add_model(model: MorphableModel, albedo: AlbedoSpace | None, path: Path, name: str | None) -> Entry:
    model.name = name or model.name
    target = folder() / f"{model.name}.safetensors"
    write_model(model, target, path.name)
    target.with_suffix(".albedo").unlink(missing_ok=True)
    if albedo is not None:
        write_albedo(albedo, target.with_suffix(".albedo"))
    return entry(model.name)


def _attach(data: Mapping[str, Any], name: str, path: Path) -> Entry:
    """Adds what the file holds to the FLAME model of that name."""
    kept = folder() / f"{name}.safetensors"
    model = read_model(kept, name) if kept.exists() else None
    if not isinstance(model, Flame):
        raise ModelFileError(
            f"{path.name} is no head model known here; if it goes with FLAME, first add FLAME itself as {name!r}."
        )
    if landmarks := landmarks_from(data, model, path.name):
        model.landmarks |= landmarks
    elif regions := regions_from(data, model, path.name):
        model.regions |= regions
    elif albedo := albedo_from(data, model, path.name):
        space, texture = albedo
        model.uv, model.uv_triangles = texture["uv"], texture["uv_triangles"]
        write_albedo(space, kept.with_suffix(".albedo"))
    else:
        raise ModelFileError(f"{path.name} is no model file known here, nor anything that goes with FLAME.")
    write_model(model, kept, read_description(kept)["source"])
    return entry(name)


def _stored(name: str) -> Path:
    path = folder() / f"{name}.safetensors"
    if not NAME.fullmatch(name) or not path.exists():
        raise ValueError(
            f"there is no model called {name!r}; known: {', '.join(names())}; `face3d models add` adds others"
        )
    return path


@lru_cache(maxsize=1)
def _load_default() -> MorphableModel:
    """The default head, widened by how scanned people differ beyond its sliders."""
    with as_file(files("assets") / "default_head" / "head.safetensors") as path:
        model = read_model(path, DEFAULT)
    population = Population.load()
    return model.widened(population.residual_basis, population.residual_joint_basis)


@lru_cache(maxsize=4)
def _load_stored(path: Path, name: str, changed: int) -> MorphableModel:
    """Keyed by when the file changed, so that a model that was added anew is read anew."""
    return read_model(path, name)
