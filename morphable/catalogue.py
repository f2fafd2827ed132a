"""The models that can be loaded by name."""

import json
from functools import lru_cache
from importlib.resources import as_file, files

import torch
from safetensors import safe_open

from morphable.default_head import DefaultHead
from morphable.model import LandmarkEmbedding, MorphableModel, Part

DEFAULT = "default"


@lru_cache(maxsize=4)
def load(name: str = DEFAULT) -> MorphableModel:
    """A model by its name, float32 on the CPU; loaded once a process.

    Raises:
        ValueError: there is no such model.
    """
    if name != DEFAULT:
        raise ValueError(f"there is no model called {name!r}; known: {', '.join(names())}")
    with as_file(files("assets") / "default_head" / "head.safetensors") as path, safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = json.loads(file.metadata()["head"])
    return _assemble(name, tensors, metadata)


def names() -> tuple[str, ...]:
    return (DEFAULT,)


def _assemble(name: str, tensors: dict[str, torch.Tensor], metadata: dict) -> MorphableModel:
    grouped = {prefix: _with_prefix(tensors, prefix) for prefix in ("region", "landmark")}
    plain = {key: tensor for key, tensor in tensors.items() if "." not in key and key != "region_map"}
    return DefaultHead(
        name,
        {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in plain.items()},
        {part: Part(slice(*vertices), slice(*triangles)) for part, (vertices, triangles) in metadata["parts"].items()},
        {region: mask.bool() for region, mask in grouped["region"].items()},
        {
            key.removesuffix(".triangles"): LandmarkEmbedding(
                triangles, grouped["landmark"][key.replace(".triangles", ".barycentric")]
            )
            for key, triangles in grouped["landmark"].items()
            if key.endswith(".triangles")
        },
        tensors["region_map"],
        tuple(metadata["region_names"]),
    )


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{prefix}."): tensor for key, tensor in tensors.items() if key.startswith(f"{prefix}.")}
