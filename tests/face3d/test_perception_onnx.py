"""`face3d train export`: the network as ONNX says what it says in torch."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from face3d.cli import app
from face3d.perception.network.architecture import SIZES, FaceNetwork, Sight, Size
from face3d.perception.network.weights import load_network, save_network
from face3d.synth import CLASSES

TOLERANCE = 1e-4
"""Of any output; these are sides of a crop, logits, and logarithms of deviations."""


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(SIZES, "tiny", Size(32, 4, 1))
    torch.manual_seed(0)
    save_network(FaceNetwork(SIZES["tiny"]), "tiny", tmp_path / "n.safetensors", {})
    return tmp_path / "n.safetensors"


def run(network: Path, output: Path) -> Result:
    return CliRunner().invoke(app, ["train", "export", str(network), "-o", str(output)])


def test_onnx_says_what_torch_says(network: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra `dev`")
    pytest.importorskip("onnxscript", reason="needs the extra `onnx`")
    output = tmp_path / "new" / "n.onnx"
    result = run(network, output)
    assert result.exit_code == 0, result.output
    assert [path.name for path in output.parent.iterdir()] == ["n.onnx"]
    session = runtime.InferenceSession(output)
    torch_says = load_network(network)
    for batch in (1, 3):
        pixels = torch.randn(batch, 3, 32, 32, generator=torch.manual_seed(batch))
        wanted: Sight = torch_says(pixels)
        names = [each.name for each in session.get_outputs()]
        found = dict(zip(names, session.run(None, {"pixels": pixels.numpy()}), strict=True))
        assert found.keys() == vars(wanted).keys()
        for name, tensor in vars(wanted).items():
            assert found[name].shape == tensor.shape
            assert np.abs(found[name] - tensor.numpy()).max() < TOLERANCE, name
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["side"]) == 32 and tuple(json.loads(facts["classes"])) == CLASSES


def test_what_cannot_be_written_is_one_sentence(network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [run(network, tmp_path / "n.onyx"), run(tmp_path / "absent.safetensors", tmp_path / "n.onnx")]
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    refused.append(run(network, tmp_path / "n.onnx"))
    for result, message in zip(refused, ("no .onnx file", "cannot be read", "face3d[onnx]"), strict=True):
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ") and message in result.stderr and result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["n.safetensors"]
