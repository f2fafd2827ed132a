"""Tensors out of other people's checkpoints, without running what is pickled.

torch reads them with `weights_only`, which runs nothing that it does not know. Checkpoints hold more than weights,
though: settings, logs, states of libraries that are not installed. What belongs to a few such libraries is replaced by
an inert stand-in; a file that names anything else is refused before anything of it is read.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from face3d.errors import Face3DError

IGNORED = {"argparse", "lightning", "numpy", "omegaconf", "pathlib", "pytorch_lightning", "typing", "yacs"}
"""Packages whose objects checkpoints hold beside the weights."""
WRAPPERS = re.compile(r"^(state_dict\.)?(module\.)?(deca\.)?")
"""What trainers put before the names of a network's tensors."""
COUNTER = "num_batches_tracked"
"""Of batch normalisation: the only tensor that may be absent, since nothing reads it."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of what `torch.save` wrote, by their path through its dicts, wrappers' names taken off.

    Raises:
        Face3DError: the file is damaged, no checkpoint, or asks to run code.
        OSError: it cannot be read.
    """
    with path.open("rb"):
        pass
    try:
        zipped = zipfile.is_zipfile(path)
        with torch.serialization.safe_globals(_stand_ins(path) if zipped else []):
            held = torch.load(path, "cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise Face3DError(
            f"{path.name} is damaged or holds something else than weights; nothing of it was run."
        ) from error
    except Face3DError:
        raise
    except Exception as error:  # a broken checkpoint fails in as many ways as its pickle has instructions
        raise Face3DError(f"{path.name} is damaged or no checkpoint.") from error
    found: dict[str, Tensor] = {}
    _collect(held, "", found, set())
    return found


def fill(network: nn.Module, tensors: Mapping[str, Tensor], file: str) -> None:
    """Give the network these weights, as float32.

    Raises:
        Face3DError: one is absent, of another shape, of no finite numbers, or not of this network.
    """
    own = network.state_dict()
    if strange := sorted(tensors.keys() - own.keys()):
        raise Face3DError(f"{file} holds `{strange[0]}`, which is not of the network that was published.")
    weights = {}
    for name, like in own.items():
        if name.endswith(COUNTER):
            weights[name] = torch.zeros((), dtype=torch.long)
            continue
        tensor = tensors.get(name)
        if tensor is None:
            raise Face3DError(f"{file} lacks `{name}`.")
        if tensor.shape != like.shape:
            wanted, got = ("x".join(map(str, each.shape)) for each in (like, tensor))
            raise Face3DError(f"`{name}` in {file} is of shape {got}; the network that was published has {wanted}.")
        if not (tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.is_floating_point()):
            raise Face3DError(f"`{name}` in {file} is no plain array of numbers.")
        weights[name] = tensor.detach().float().contiguous()
        if not weights[name].sum().isfinite():  # a tenth of the time of asking each
            raise Face3DError(f"`{name}` in {file} holds values that are no finite numbers.")
    network.load_state_dict(weights, assign=True)


class _Inert(dict):
    """Accepts what a pickle passes and restores, and keeps nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, *_: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        pass

    def extend(self, _: Any) -> None:
        pass


def _stand_ins(path: Path) -> list[Any]:
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise Face3DError(f"{path.name} is no checkpoint: torch does not compress them.")
    unknown = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    for name in unknown:
        if name.split(".")[0] not in IGNORED:
            raise Face3DError(f"{path.name} asks to run `{name}`, which no weights need; nothing of it was run.")
    return [(_Inert, name) for name in unknown]


def _collect(held: Any, name: str, found: dict[str, Tensor], seen: set[int]) -> None:
    if isinstance(held, Tensor):
        found[WRAPPERS.sub("", name.removesuffix("."))] = held
    elif isinstance(held, dict) and id(held) not in seen:
        seen.add(id(held))
        for key, value in held.items():
            if isinstance(key, str):
                _collect(value, f"{name}{key}.", found, seen)
