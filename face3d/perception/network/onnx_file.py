"""The network as ONNX, for runtimes other than torch. Needs the extra `onnx`."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn

from avatars.export.staging import staging
from face3d.errors import Face3DError
from face3d.perception.network.architecture import FaceNetwork, Sight
from face3d.perception.network.crop import CROP_SCALE
from face3d.synth.classes import CLASSES
from morphable import ARKIT_NAMES

OUTPUTS = tuple(field.name for field in fields(Sight))


def export_onnx(network: FaceNetwork, path: Path) -> None:
    """Write the network as one `.onnx` file.

    Its input `pixels` are crops (batch, 3, side, side), sRGB in [-1, 1]; its outputs are `architecture.Sight`'s fields,
    by name. Its metadata say the crop's side, its scale, and what classes and expressions are called, as JSON.

    Raises:
        Face3DError: the extra `onnx` is not installed.
        OSError: the file cannot be written.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise Face3DError("ONNX files need onnx and onnxscript: pip install 'face3d[onnx]'.") from error
    crops = torch.zeros(2, 3, network.size.side, network.size.side)
    with _quiet():
        program = torch.onnx.export(
            _AsTuple(network).eval(),
            (crops,),
            dynamo=True,
            input_names=["pixels"],
            output_names=OUTPUTS,
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None
    facts = {"side": network.size.side, "crop_scale": CROP_SCALE, "classes": CLASSES, "expressions": ARKIT_NAMES}
    program.model.metadata_props.update({name: json.dumps(fact) for name, fact in facts.items()})
    with staging(path) as folder:
        program.save(folder / path.name)


class _AsTuple(nn.Module):
    """What the network sees as ONNX knows it: several tensors in a row."""

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        sight = self.network(pixels)
        return tuple(getattr(sight, name) for name in OUTPUTS)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of torchvision's absence and of constants that it does not fold."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(disabled)
