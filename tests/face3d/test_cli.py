"""The command line: what it writes, what it says, and how it fails."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from face3d import __version__
from face3d.cli import app
from face3d.output import atomic_directory
from face3d.perception import FaceDetector, select
from face3d.photo import Photo

FILES = ["albedo.png", "fit.png", "head.glb", "preview.png", "report.json"]


@pytest.fixture
def portrait(astronaut: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "eine Astronautin é.png"
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture
def quick_reconstruction(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In place of the reconstruction: perceives, then writes files that say so. Records what it was asked for."""
    asked = SimpleNamespace(fail=False)

    def run_reconstruction(
        photos: list[Photo],
        *,
        face: int,
        texture_size: int,
        detector: FaceDetector,
        progress: Callable[[str, float], None],
    ) -> SimpleNamespace:
        asked.texture_size = texture_size
        progress("perceiving", 0.5)
        asked.photos = len(photos)
        asked.face = select(detector.detect(photos[0].pixels), face, photos[0].name)

        def save(directory: Path) -> None:
            with atomic_directory(directory) as folder:
                for name in FILES:
                    (folder / name).write_text(name)
                if asked.fail:
                    raise OSError(28, "No space left on device")

        return SimpleNamespace(save=save, report={"warnings": ["The light was guessed."]})

    module = ModuleType("face3d.reconstruction")
    vars(module)["run_reconstruction"] = run_reconstruction
    monkeypatch.setitem(sys.modules, "face3d.reconstruction", module)
    return asked


def test_version_and_help_come_at_once() -> None:
    assert _face3d("--version") == (f"face3d {__version__}\n", "", 0)
    out, _, code = _face3d("--help")
    assert "reconstruct" in out and code == 0
    program = "import face3d, face3d.cli, sys; assert not {'torch', 'numpy', 'mediapipe', 'warp'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_reconstruct(portrait: Path, tmp_path: Path, quick_reconstruction: SimpleNamespace) -> None:
    folder = tmp_path / "neuer Ordner" / "é"
    result = CliRunner().invoke(app, ["reconstruct", str(portrait), "-o", str(folder), "--texture-size", "256"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert result.stdout == f"Head:    {folder / 'head.glb'}\nPreview: {folder / 'preview.png'}\n"
    assert result.stderr == "Warning: The light was guessed.\n"
    assert quick_reconstruction.texture_size == 256
    assert quick_reconstruction.photos == 1


def test_several_photos_are_of_one_person(
    portrait: Path, tmp_path: Path, quick_reconstruction: SimpleNamespace
) -> None:
    result = CliRunner().invoke(app, ["reconstruct", str(portrait), str(portrait), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert quick_reconstruction.photos == 2


def test_a_scan_comes_alone(portrait: Path, tmp_path: Path) -> None:
    arguments = ["reconstruct", str(tmp_path / "scan.ply"), str(portrait), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "A scan is reconstructed on its own" in result.stderr


def test_a_folder_that_exists_is_written_over(
    portrait: Path, tmp_path: Path, quick_reconstruction: SimpleNamespace
) -> None:
    (tmp_path / "head.glb").write_text("old")
    assert CliRunner().invoke(app, ["reconstruct", str(portrait), "-o", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "head.glb").read_text() == "head.glb"
    assert portrait.exists()


def test_a_full_disk_leaves_no_folder(portrait: Path, tmp_path: Path, quick_reconstruction: SimpleNamespace) -> None:
    quick_reconstruction.fail = True
    result = CliRunner().invoke(app, ["reconstruct", str(portrait), "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "No space left" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda path: None, [], "There is no photo at"),
        (lambda path: path.mkdir(), [], "is a directory"),
        (lambda path: path.write_bytes(b""), [], "is empty"),
        (lambda path: path.write_text("no photo"), [], "is not an image"),
        (lambda path: Image.new("RGB", (200, 200), "grey").save(path), [], "No face found in photo.png"),
        (lambda path: None, ["--landmarker", "absent.task"], "There is no"),
    ],
)
def test_bad_input_is_one_sentence_and_no_output(
    make: Callable[[Path], object], options: list[str], message: str, tmp_path: Path,
    quick_reconstruction: SimpleNamespace,
) -> None:  # fmt: skip
    make(tmp_path / "photo.png")
    arguments = ["reconstruct", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out"), *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and message in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_face_that_is_not_there(portrait: Path, tmp_path: Path, quick_reconstruction: SimpleNamespace) -> None:
    result = CliRunner().invoke(app, ["reconstruct", str(portrait), "-o", str(tmp_path / "out"), "--face", "3"])
    assert result.exit_code == 1
    assert "no face 3" in result.stderr and "shows 1 face; choose 0" in result.stderr


def test_a_read_only_folder_is_refused_before_the_photo_is_read(tmp_path: Path, read_only_directory: Path) -> None:
    out, complaint, code = _face3d("reconstruct", str(tmp_path / "absent.jpg"), "-o", str(read_only_directory / "out"))
    assert (out, code) == ("", 1)
    assert complaint.startswith("Error: Nothing can be written to")
    assert complaint.count("\n") == 1


def test_usage_errors_exit_with_2(portrait: Path, tmp_path: Path) -> None:
    assert _face3d("reconstruct", str(portrait))[2] == 2
    assert _face3d("reconstruct", str(portrait), "-o", str(tmp_path / "out"), "--face", "-1")[2] == 2
    assert _face3d("nonsense")[2] == 2


def _face3d(*arguments: str) -> tuple[str, str, int]:
    """What the command prints, complains of, and returns, in a process of its own."""
    command = [sys.executable, "-m", "face3d", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    return done.stdout, done.stderr, done.returncode
