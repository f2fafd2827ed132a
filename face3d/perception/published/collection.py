"""The published networks that a user has added, each beside the model whose coefficients it gives."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import morphable
from avatars.export.staging import staging
from face3d.errors import Face3DError
from face3d.perception.published.checkpoint import fill, read_tensors
from face3d.perception.published.deca import Deca, Emoca
from face3d.perception.published.interface import PublishedNetwork
from face3d.perception.published.mica import Mica
from face3d.perception.published.smirk import Smirk
from morphable import catalogue
from morphable.flame import Flame

SUFFIXES = (".tar", ".pt", ".pth", ".ckpt")
"""Of files that `torch.save` writes."""
NETWORKS: dict[str, type[PublishedNetwork]] = {kind.name: kind for kind in (Mica, Emoca, Deca, Smirk)}
"""What holds most comes first: EMOCA's files hold all that DECA's do."""


def add(path: Path, model: str = "flame") -> str:
    """Check a checkpoint that others published, and keep its network beside the model of that name.

    Returns:
        The network's name, one of NETWORKS.

    Raises:
        Face3DError: the file is damaged, asks to run code, or is none of those networks; or the model is not there or
            not the one that it was taught with.
        OSError: the file cannot be read, or the network cannot be stored.
    """
    tensors = read_tensors(path)
    kind = _recognised(tensors, path.name)
    if model not in morphable.names():
        raise Face3DError(
            f"{path.name} goes with FLAME, and there is no model {model!r}; add FLAME itself first "
            "(`face3d models add generic_model.pkl`)."
        )
    head = morphable.load(model)
    if not isinstance(head, Flame):
        raise Face3DError(f"{path.name} goes with FLAME, and the model {model!r} is none.")
    network = _empty(kind)
    fill(network, kind.own_tensors(tensors), path.name)
    kind.require_model(head, tensors, path.name)
    target = _place(kind.name, model)
    with staging(target) as folder:
        save_file(network.state_dict(), folder / target.name, {"network": kind.name, "source": path.name})
    return kind.name


def names(model: str) -> tuple[str, ...]:
    """Of the networks that were added to a model."""
    return tuple(name for name in NETWORKS if _place(name, model).exists())


def load(name: str, model: str) -> PublishedNetwork:
    """A network that was added to a model, ready to look; float32 on the CPU.

    Raises:
        Face3DError: there is none of that name, or what is stored of it is damaged.
    """
    path = _place(name, model)
    if name not in NETWORKS or not path.exists():
        known = ", ".join(names(model)) or "none"
        raise Face3DError(
            f"The model {model!r} has no network {name!r} (it has: {known}); `face3d models add` adds published ones."
        )
    network = _empty(NETWORKS[name])
    try:
        fill(network, load_file(path), path.name)
    except (SafetensorError, Face3DError) as error:
        raise Face3DError(f"What is stored of {name} is damaged ({error}); add it again.") from error
    return network


def _recognised(tensors: Mapping[str, Tensor], file: str) -> type[PublishedNetwork]:
    for kind in NETWORKS.values():
        if all(any(name.startswith(part) for name in tensors) for part in kind.parts):
            return kind
    known = ", ".join(NETWORKS)
    raise Face3DError(f"{file} holds no network that is known here; known are {known}.")


def _empty(kind: type[PublishedNetwork]) -> PublishedNetwork:
    with torch.device("meta"):
        return kind().eval().requires_grad_(False)


def _place(name: str, model: str) -> Path:
    return catalogue.folder() / f"{model}.{name}"
