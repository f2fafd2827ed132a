"""`face3d models`: adding, listing, exporting and forgetting models; files that are refused."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from typer.testing import CliRunner, Result

import morphable
from benchmarks.flame_layout import flame_arrays, write_flame
from face3d import correspondence
from face3d.cli import app
from face3d.errors import Face3DError
from morphable import ARKIT_NAMES, Head, catalogue


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def flame(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flame(flame_arrays(), tmp_path_factory.mktemp("flame") / "generic_model.pkl")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks for a face on the made-up head, which has none."""

    def none(_: object) -> None:
        raise Face3DError("no face")

    monkeypatch.setattr("face3d.models.carried_shapes", none)


class Exploit:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.proof}'",)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def assert_refused(result: Result, message: str, models: Path) -> None:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not models.exists() or not list(models.iterdir())


def test_add_list_export_remove(flame: Path, models: Path, tmp_path: Path) -> None:
    line = "flame: 5023 vertices, 300 identity coefficients, no ARKit shapes (from generic_model.pkl)\n"
    assert run("add", flame).stdout == line
    listed = run("list")
    vertices = len(morphable.load().mean)
    assert listed.stdout.startswith(f"default: {vertices} vertices, 260 identity coefficients, 52 of 52 ARKit shapes")
    assert listed.stdout.endswith(line)
    assert run("export", "flame", "-o", tmp_path / "out" / "flame.glb").exit_code == 0
    head = Head.load(tmp_path / "out" / "flame.glb")
    assert head.model == "flame"
    assert set(head.textures) == {"head", "eyes"}
    assert np.allclose(head.neutral, catalogue.load("flame").mean, atol=1e-6)
    assert run("remove", "flame").exit_code == 0
    assert list(models.iterdir()) == []
    assert "no model called 'flame'" in run("export", "flame", "-o", tmp_path / "flame.glb").stderr


@pytest.mark.usefixtures("quick")
def test_adding_again_replaces(flame: Path, tmp_path: Path) -> None:
    assert run("add", flame, "--name", "mine").exit_code == 0
    before = catalogue.load("mine")
    assert run("add", write_flame(flame_arrays(seed=1), tmp_path / "other.pkl"), "--name", "mine").exit_code == 0
    assert catalogue.names() == ("default", "mine")
    assert not np.allclose(catalogue.load("mine").identity_basis, before.identity_basis)


@pytest.mark.parametrize("name", ["generic_model.pkl", "flame.npz", "landmark_embedding.npy"])
def test_code_in_a_file_is_refused_and_not_run(name: str, models: Path, tmp_path: Path) -> None:
    path, proof = tmp_path / name, tmp_path / "proof"
    held = {**flame_arrays(), "J_regressor": Exploit(proof)}
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(held, protocol=2))
    elif path.suffix == ".npz":
        np.savez(path, **{key: np.array(value, dtype=None) for key, value in held.items()})
    else:
        np.save(path, np.array(held, dtype=object))
    assert_refused(run("add", path), "asks to run `", models)
    assert not proof.exists()


def test_truncated_files_are_refused(flame: Path, models: Path, tmp_path: Path) -> None:
    whole = flame.read_bytes()
    for share in (0.0, 0.01, 0.5, 0.999):
        (tmp_path / "generic_model.pkl").write_bytes(whole[: int(share * len(whole))])
        assert_refused(run("add", tmp_path / "generic_model.pkl"), "damaged", models)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("absent.pkl", lambda path: None, "No such file"),
        ("empty", lambda path: path.mkdir(), "holds no generic_neutral_mesh.obj"),
        ("model.obj", lambda path: path.write_text("v 0 0 0"), "is no model file"),
        ("list.pkl", lambda path: path.write_bytes(pickle.dumps([1, 2])), "holds no named arrays"),
        ("other.pkl", lambda path: path.write_bytes(pickle.dumps({"weights": 1})), "no head model known here"),
        ("photo.pkl", lambda path: path.write_bytes(b"\xff\xd8\xff\xe0 JFIF"), "is damaged or no pickle"),
        ("flame.mat", lambda path: path.write_bytes(b"text"), "is damaged or no MATLAB 5 file"),
        ("flame.h5", lambda path: path.write_bytes(b"text"), "is damaged or no HDF5 file"),
        ("flame.npz", lambda path: path.write_bytes(b"text"), "is damaged"),
        ("smpl.pkl", lambda path: write_flame({**flame_arrays(), "weights": np.ones((5023, 24))}, path), "wrong shape"),
    ],
)
def test_files_that_are_no_model(name: str, make, message: str, models: Path, tmp_path: Path) -> None:
    make(tmp_path / name)
    assert_refused(run("add", tmp_path / name), message, models)


@pytest.mark.parametrize("name", ["default", "../flame", "Flame", "", ".hidden"])
def test_names_that_cannot_be_used(name: str, flame: Path, models: Path) -> None:
    assert_refused(run("add", flame, "--name", name), "cannot be called", models)


def test_a_folder_that_cannot_be_written(
    flame: Path, models: Path, read_only_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(read_only_directory / "models"))
    result = run("add", flame)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1


@pytest.mark.usefixtures("quick")
def test_a_damaged_store_is_told(flame: Path, models: Path) -> None:
    run("add", flame)
    stored = models / "flame.safetensors"
    stored.write_bytes(stored.read_bytes()[:1000])
    result = run("list")
    assert result.exit_code == 1
    assert "is damaged" in result.stderr and "add the model again" in result.stderr and result.stderr.count("\n") == 1
    assert run("add", flame).exit_code == 0


@pytest.mark.slow
def test_a_model_without_arkit_shapes_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of Basel's layout whose mean head is a face that can be found: the default head's skin."""
    monkeypatch.setenv(correspondence.FOLDER_VARIABLE, str(tmp_path / "cache"))
    default = morphable.load()
    skin = default.parts["head"]
    mean = default.mean[skin.vertices].double().numpy()
    basis = np.random.default_rng(0).normal(0, 1, (mean.size, 2))
    savemat(
        tmp_path / "01_MorphableModel.mat",
        {
            "shapeMU": mean.reshape(-1, 1) * 1e6,
            "shapePC": basis,
            "shapeEV": np.full((2, 1), 1e3),
            "tl": default.triangles[skin.triangles].double().numpy() + 1,
            "texMU": np.tile([200.0, 150.0, 120.0], len(mean))[:, None],
            "texPC": basis,
            "texEV": np.full((2, 1), 10.0),
        },
    )
    assert "52 of 52 ARKit shapes" in run("add", tmp_path / "01_MorphableModel.mat").stdout
    basel = catalogue.load("basel")
    face = default.regions["face"][skin.vertices]
    for name, most in (("jawOpen", 0.05), ("mouthSmileRight", 0.08), ("eyeBlinkLeft", 0.2)):
        ours = default.expressions(torch.zeros(1, default.identities))[0, ARKIT_NAMES.index(name), skin.vertices]
        theirs = basel.expressions(torch.zeros(1, basel.identities))[0, ARKIT_NAMES.index(name)]
        assert float((theirs - ours)[face].norm()) < most * float(ours[face].norm()), name
