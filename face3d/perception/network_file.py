"""Networks as files: half-precision safetensors that say what they are."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from face3d.errors import Face3DError


def save_tensors(network: nn.Module, path: Path, notes: dict[str, str]) -> None:
    halves = {name: t.half().contiguous() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    save_file(halves, path, notes)


def load_tensors(path: Path, kind: str, command: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights in single precision, and the notes beside them.

    Args:
        kind: what the note of that name has to be.
        command: teaches such a network.

    Raises:
        Face3DError: the file is of another kind, or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
    except (SafetensorError, OSError) as error:
        raise Face3DError(f"{path} cannot be read as a network ({error}); train one with `{command}`.") from error
    if notes.get("kind") != kind:
        raise Face3DError(f"{path} is no {kind}; train one with `{command}`.")
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, notes


def filled(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Give a network its weights, ready to look.

    Raises:
        Face3DError: they are another network's.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise Face3DError(f"{path} holds other weights than its size needs; train it again.") from error
    network.eval().requires_grad_(False)
