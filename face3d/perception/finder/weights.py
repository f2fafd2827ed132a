"""The network that finds faces as a file."""

from pathlib import Path

from torch import nn

from face3d.perception.finder.architecture import FinderNetwork
from face3d.perception.network_file import filled, load_tensors, save_tensors

KIND, COMMAND = "face3d detector", "face3d train detector"


def save_finder(network: nn.Module, path: Path, notes: dict[str, str]) -> None:
    """Write the weights, with notes on how they came about."""
    save_tensors(network, path, {"kind": KIND, **notes})


def load_finder(path: Path) -> FinderNetwork:
    """A network ready to look, on the CPU in single precision.

    Raises:
        Face3DError: the file is not one of ours, or damaged.
    """
    tensors, _ = load_tensors(path, KIND, COMMAND)
    network = FinderNetwork()
    filled(network, tensors, path)
    return network
