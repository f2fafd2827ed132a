"""The network that sees faces as a file, which says its size."""

from pathlib import Path

from torch import nn

from face3d.errors import Face3DError
from face3d.perception.network.architecture import SIZES, FaceNetwork
from face3d.perception.network_file import filled, load_tensors, save_tensors

KIND, COMMAND = "face3d perception network", "face3d train perception"


def save_network(network: nn.Module, size: str, path: Path, notes: dict[str, str]) -> None:
    """Write the weights with their size and notes on how they came about."""
    save_tensors(network, path, {"kind": KIND, "size": size, **notes})


def load_network(path: Path) -> FaceNetwork:
    """A network ready to look, on the CPU in single precision.

    Raises:
        Face3DError: the file is not one of ours, or damaged.
    """
    tensors, notes = load_tensors(path, KIND, COMMAND)
    if notes.get("size") not in SIZES:
        raise Face3DError(f"{path} is of a size that is not known here; train one with `{COMMAND}`.")
    network = FaceNetwork(SIZES[notes["size"]])
    filled(network, tensors, path)
    return network
