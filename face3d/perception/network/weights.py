"""Networks as files: half-precision safetensors that say which size they are."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from face3d.errors import Face3DError
from face3d.perception.network.architecture import SIZES, FaceNetwork

KIND = "face3d perception network"


def save_network(network: FaceNetwork, size: str, path: Path, notes: dict[str, str]) -> None:
    """Write the weights with their size and notes on how they came about."""
    halves = {name: t.half().contiguous() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    save_file(halves, path, {"kind": KIND, "size": size, **notes})


def load_network(path: Path) -> FaceNetwork:
    """A network ready to look, on the CPU in single precision.

    Raises:
        Face3DError: the file is not one of ours, or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
    except (SafetensorError, OSError) as error:
        raise Face3DError(f"{path} cannot be read as a network ({error}); train one with `face3d train`.") from error
    if notes.get("kind") != KIND or notes.get("size") not in SIZES:
        raise Face3DError(f"{path} is no perception network; train one with `face3d train perception`.")
    network = FaceNetwork(SIZES[notes["size"]])
    try:
        network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})
    except RuntimeError as error:
        raise Face3DError(f"{path} holds other weights than its size needs; train it again.") from error
    return network.eval().requires_grad_(False)
