"""Heads from model to model and back. The other model is ICT-FaceKit where it is at hand, else the default head with
every triangle cut in four and other coefficients."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from typer.testing import CliRunner

import morphable
from face3d.cli import app
from face3d.convert import carried_shapes, convert, fitted_identity
from face3d.correspondence import FOLDER_VARIABLE, default_on
from face3d.errors import Face3DError
from face3d.reconstruction import Reconstruction
from morphable import ARKIT_NAMES, Head, catalogue
from morphable.appearance import default_textures
from morphable.linear import LinearHeads
from morphable.storage import write_model

ICT_FILE = Path(__file__).parents[3] / "shared/data/ict_facekit.npz"
MODES = 30


@pytest.fixture(scope="module")
def models(model, tmp_path_factory):
    """A folder with the model `finer`: the default head's skin and eyeballs, finer, without expressions."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("models")
        patch.setenv(catalogue.FOLDER_VARIABLE, str(folder / "models"))
        patch.setenv(FOLDER_VARIABLE, str(folder / "cache"))
        stop = model.parts["eye_right"]
        triangles = model.triangles[: stop.triangles.stop].long().numpy()
        fields = torch.cat([model.mean[None], model.identity_basis[:MODES]])[:, : stop.vertices.stop]
        columns = fields.permute(1, 0, 2).flatten(1).double().numpy()
        finer, cut = trimesh.remesh.subdivide(columns[:, :3], triangles, vertex_attributes={"all": columns})[:2]
        _, _, carried = trimesh.remesh.subdivide(columns[:, :3], triangles, vertex_attributes={"all": columns})
        basis = carried["all"].reshape(len(finer), -1, 3).transpose(1, 0, 2)[1:]
        heads = LinearHeads(
            finer,
            cut,
            basis,
            eyes=model.joint_mean[2:].double().numpy(),
            eye_basis=model.joint_basis[:MODES, 2:].double().numpy(),
            has_neck=True,
        )
        write_model(heads.model("finer"), catalogue.folder() / "finer.safetensors", "made up")
        yield folder


@pytest.fixture(scope="module")
def person(model):
    identity = torch.zeros(model.identities)
    identity[:MODES] = 0.7 * torch.randn(MODES, generator=torch.Generator().manual_seed(2))
    return Head.from_model(model, identity, default_textures(model, resolution=256))


def test_identity_is_found_wherever_the_head_stands(model, person):
    moved = person.neutral.astype(float) @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]).T + [1.0, 2.0, 3.0]
    identity, placed = fitted_identity(model, moved)
    np.testing.assert_allclose(placed, person.neutral, atol=0.3e-3)
    assert np.abs(identity - person.identity).max() < 0.3


@pytest.mark.slow
def test_there_and_back(model, models, person):
    there = convert(person, "finer")
    assert there.head.model == "finer"
    assert there.head.neutral.shape == tuple(morphable.load("finer").mean.shape)
    assert there.surface_mm < 0.3
    assert there.model_mm < 0.7
    back = convert(there.head, "default")
    face = model.regions["face"].numpy()
    off = np.linalg.norm(back.head.neutral - person.neutral, axis=1)[face]
    assert np.median(off) < 0.5e-3
    assert back.surface_mm < 0.3


def test_shapes_come_along(model, models, person):
    """The mesh without shapes of its own opens its mouth as far as the head does."""
    there = convert(person, "finer").head
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        shape = ARKIT_NAMES.index(name)
        ours = np.linalg.norm(person.expressions[shape][model.parts["head"].vertices], axis=1).max()
        theirs = np.linalg.norm(there.expressions[shape], axis=1).max()
        assert theirs == pytest.approx(ours, rel=0.2)


def test_correspondence_is_kept(models, monkeypatch):
    first = default_on(morphable.load("finer"))
    monkeypatch.setattr("face3d.correspondence.register", lambda *_: pytest.fail("registered again"))
    np.testing.assert_array_equal(default_on(morphable.load("finer")), first)
    kept = next((models / "cache").iterdir())
    contents = kept.read_bytes()
    kept.write_bytes(b"damaged")
    with pytest.raises(pytest.fail.Exception, match="registered again"):
        default_on(morphable.load("finer"))
    kept.write_bytes(contents)


def test_shapes_for_a_model_that_has_none(models):
    finer = morphable.load("finer")
    shapes = carried_shapes(finer)
    assert shapes.shape == (52, *finer.mean.shape)
    assert np.linalg.norm(shapes[ARKIT_NAMES.index("jawOpen")], axis=1).max() > 0.02


def test_command_line(models, person, tmp_path):
    person.save(tmp_path / "me.glb")
    result = CliRunner().invoke(
        app, ["convert", str(tmp_path / "me.glb"), "--to", "finer", "-o", str(tmp_path / "a.glb")]
    )
    assert result.exit_code == 0, result.output
    assert Head.load(tmp_path / "a.glb").model == "finer"
    result = CliRunner().invoke(app, ["convert", str(tmp_path / "me.glb"), "--to", "no", "-o", str(tmp_path / "b.glb")])
    assert result.exit_code == 1
    assert not (tmp_path / "b.glb").exists()


def test_reconstruction_on_another_model(models, person, tmp_path, monkeypatch):
    black = np.zeros((4, 4, 3), np.uint8)
    found = Reconstruction(person, black, black, black, {"warnings": []})
    monkeypatch.setattr(sys.modules["face3d.cli.reconstruct"], "_from_photos", lambda *_: found)
    command = ["reconstruct", "me.jpg", "-o", str(tmp_path / "me"), "--model"]
    result = CliRunner().invoke(app, [*command, "finer"])
    assert result.exit_code == 0, result.output
    assert Head.load(tmp_path / "me/head.glb").model == "finer"
    assert json.loads((tmp_path / "me/report.json").read_text())["converted"]["surface_mm"] < 0.5
    result = CliRunner().invoke(app, [*command, "nothing"])
    assert result.exit_code == 1
    assert "There is no model 'nothing'" in result.output


def test_unknown_models_are_refused(person):
    with pytest.raises(Face3DError, match="no model called 'nothing'"):
        convert(person, "nothing")


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not ICT_FILE.exists(), reason="ICT-FaceKit's heads are not here")
def test_ict_there_and_back(model, models, person):
    catalogue.add(ICT_FILE, "ict")
    there = convert(person, "ict")
    back = convert(there.head, "default")
    face = model.regions["face"].numpy()
    assert there.surface_mm < 0.4
    assert np.median(np.linalg.norm(back.head.neutral - person.neutral, axis=1)[face]) < 0.5e-3
