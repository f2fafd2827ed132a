"""`face3d avatar`: what it writes, what it says, and how it fails."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from typer.testing import CliRunner, Result

import morphable
from avatars.capture import Capture
from avatars.gaussian.start import started
from avatars.media import write_video
from face3d.cli import app
from morphable import ARKIT_NAMES, Head, Performance
from renderers import Camera


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["avatar", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An avatar that was taught nothing."""
    model = morphable.load()
    head = Head.from_model(model, torch.zeros(model.identities), morphable.default_textures(model, resolution=64))
    camera = Camera.looking_at((0.0, 0.0, 0.75), (0, -0.02, 0), (0, 1, 0), 0.5, (48, 64))
    pictures, masks = np.full((2, 48, 64, 3), 128, np.uint8), np.zeros((2, 48, 64), np.uint8)
    masks[:, 8:, 20:44] = 255
    performance = Performance.of(np.arange(2) / 25, np.zeros((2, 52)))
    path = tmp_path_factory.mktemp("avatars") / "ada.avatar"
    started(Capture(pictures, masks, pictures[0], camera, head, performance), np.arange(2)).save(path)
    return path


@pytest.fixture
def motion(tmp_path: Path) -> Path:
    weights = np.zeros((4, 52))
    weights[:, ARKIT_NAMES.index("jawOpen")] = np.linspace(0, 0.6, 4)
    Performance.of(np.arange(4) / 25, weights).save(tmp_path / "talk.csv")
    return tmp_path / "talk.csv"


def test_a_motion_is_rendered(folder: Path, motion: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "out.mp4"
    done = run("render", folder, motion, "-o", output, "--size", 96, "--background", "#ff0000", "--yaw", 20)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [f"Video: {output} (4 frames, 0.2 s)"]
    with av.open(str(output)) as container:
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)
    assert shown.shape == (4, 72, 96, 3)
    assert shown[0, 2, 2, 0] > 200
    assert shown[0, 2, 2, 1] < 60


@pytest.mark.parametrize("suffix", [".ply", ".spz"])
def test_splats_are_exported(folder: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"ada{suffix}"
    done = run("export", folder, "-o", output)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Splats: {output}")
    if suffix == ".ply":
        count = len(trimesh.load(output).metadata["_ply_raw"]["vertex"]["data"])
        assert done.output.strip().endswith(f"({count})")


def test_a_page_is_exported(folder: Path, motion: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "ada.html"
    done = run("export", folder, "--motion", motion, "-o", output)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Page: {output} (4 frames, ")
    assert output.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "gone.mp4", "-o", "new.avatar"), "no video at gone.mp4"),
        (("train", "talk.csv", "-o", "new.avatar"), "no video that can be read"),
        (("train", "grey.mp4", "-o", "new.avatar"), "No face was found"),
        (("train", "grey.mp4", "-o", "new.avatar", "--preset", "tpu"), "cpu or gpu"),
        (("train", "grey.mp4", "-o", "talk.csv"), "is a file"),
        (("render", "gone.avatar", "talk.csv", "-o", "out.mp4"), "holds no avatar"),
        (("render", "ada.avatar", "talk.csv", "-o", "out.avi"), ".mp4"),
        (("render", "ada.avatar", "talk.csv", "-o", "out.mp4", "--size", "4"), "16 to"),
        (("render", "ada.avatar", "talk.csv", "-o", "out.mp4", "--background", "nothing"), "no colour"),
        (("export", "ada.avatar", "-o", "ada.obj"), "saved as .ply and .spz, a page that plays as .html"),
        (("export", "ada.avatar", "-o", "ada.html", "--motion", "empty.json"), "without frames"),
        (("export", "talk.csv", "-o", "ada.ply"), "holds no avatar"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    folder: Path, motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, message: str
) -> None:
    (tmp_path / "ada.avatar").symlink_to(folder)
    write_video(tmp_path / "grey.mp4", [np.full((64, 64, 3), 120, np.uint8)] * 3, 25.0)
    Performance.of(np.zeros(0), np.zeros((0, 52))).save(tmp_path / "empty.json")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert message in done.output
    assert len(done.output.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
