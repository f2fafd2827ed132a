"""Models as safetensors files, which hold numbers and a description in JSON, and nothing that runs."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from morphable.albedo import AlbedoSpace
from morphable.arkit import ARKIT_NAMES
from morphable.default_head import DefaultHead
from morphable.errors import ModelFileError
from morphable.flame import Flame
from morphable.model import LandmarkEmbedding, MorphableModel, Part

KINDS: dict[str, type[MorphableModel]] = {"default": DefaultHead, "flame": Flame, "linear": MorphableModel}


def read_model(path: Path, name: str) -> MorphableModel:
    """A model that `write_model` wrote, float32 on the CPU.

    Raises:
        ModelFileError: the file is damaged or holds no model.
    """
    with _opened(path) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return _assemble(name, tensors, json.loads(file.metadata()["head"]))


def read_description(path: Path) -> dict[str, Any]:
    """What the file says of its model: `kind`, `source`, `vertices`, `identities`, `shapes` (ARKit's names). Raises as
    `read_model`."""
    with _opened(path) as file:
        description: dict[str, Any] = json.loads(file.metadata()["head"])
        return description


def write_model(model: MorphableModel, path: Path, source: str) -> None:
    """Writes the model, made from the file `source`, replacing the path's file at once or not at all."""
    kind = next(name for name, made in KINDS.items() if type(model) is made)
    tensors = dict(model.state_dict())
    tensors |= {f"region.{name}": mask for name, mask in model.regions.items()}
    for name, embedding in model.landmarks.items():
        tensors |= {
            f"landmark.{name}.triangles": embedding.triangles,
            f"landmark.{name}.barycentric": embedding.barycentric,
        }
    moving = model.expression_basis.flatten(1).any(1).tolist()
    head = {
        "kind": kind,
        "source": source,
        "vertices": len(model.mean),
        "identities": model.identities,
        "shapes": [
            name for name, moves in zip(ARKIT_NAMES, moving or [False] * len(ARKIT_NAMES), strict=True) if moves
        ],
        "parts": {
            name: [[part.vertices.start, part.vertices.stop], [part.triangles.start, part.triangles.stop]]
            for name, part in model.parts.items()
        },
        "region_names": model.region_names,
    }
    _save(tensors | {"region_map": model.region_map}, path, {"head": json.dumps(head)})


def read_albedo(path: Path) -> AlbedoSpace:
    """A colour space that `write_albedo` wrote. Raises as `read_model`."""
    with _opened(path) as file:
        return AlbedoSpace(file.get_tensor("mean"), file.get_tensor("basis"))


def write_albedo(space: AlbedoSpace, path: Path) -> None:
    """Writes the colour space, replacing the path's file at once or not at all."""
    _save({"mean": space.mean, "basis": space.basis}, path, None)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ModelFileError(f"{path} is damaged ({error}); add the model again.") from error


def _save(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    os.close(handle)
    try:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, draft, metadata)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _assemble(name: str, tensors: dict[str, Tensor], head: dict[str, Any]) -> MorphableModel:
    grouped = {prefix: _with_prefix(tensors, prefix) for prefix in ("region", "landmark")}
    plain = {key: tensor for key, tensor in tensors.items() if "." not in key and key != "region_map"}
    return KINDS[head.get("kind", "default")](
        name,
        {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in plain.items()},
        {part: Part(slice(*vertices), slice(*triangles)) for part, (vertices, triangles) in head["parts"].items()},
        {region: mask.bool() for region, mask in grouped["region"].items()},
        {
            key.removesuffix(".triangles"): LandmarkEmbedding(
                triangles, grouped["landmark"][key.replace(".triangles", ".barycentric")]
            )
            for key, triangles in grouped["landmark"].items()
            if key.endswith(".triangles")
        },
        tensors["region_map"],
        tuple(head["region_names"]),
    )


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{prefix}."): tensor for key, tensor in tensors.items() if key.startswith(f"{prefix}.")}
