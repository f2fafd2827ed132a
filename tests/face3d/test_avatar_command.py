"""`face3d avatar`: what it writes, what it says, and how it fails."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from typer.testing import CliRunner, Result

import morphable
from avatars import gaussian, texture
from avatars.capture import Capture, silhouette
from avatars.gaussian import GaussianAvatar
from avatars.gaussian.start import started
from avatars.media import write_video
from avatars.mesh_performer import MeshPerformer
from avatars.neural.footage import Footage
from avatars.painting import studio_lights
from avatars.portrait import PosedPhoto
from avatars.radiance import Preset
from avatars.radiance.training import begun
from face3d.avatar import LEARNERS, doubts
from face3d.cli import app
from morphable import ARKIT_NAMES, Head, Performance
from morphable.playing import HEAD
from renderers import Camera


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["avatar", *map(str, arguments)])


@pytest.fixture(scope="module")
def capture() -> Capture:
    """Two frames of a grey person."""
    model = morphable.load()
    head = Head.from_model(model, torch.zeros(model.identities), morphable.default_textures(model, resolution=64))
    camera = Camera.looking_at((0.0, 0.0, 0.75), (0, -0.02, 0), (0, 1, 0), 0.5, (48, 64))
    pictures, masks = np.full((2, 48, 64, 3), 128, np.uint8), np.zeros((2, 48, 64), np.uint8)
    masks[:, 8:, 20:44] = 255
    performance = Performance.of(np.arange(2) / 25, np.zeros((2, 52)))
    return Capture(pictures, masks, pictures[0], camera, head, performance)


@pytest.fixture(scope="module")
def folder(capture: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An avatar that was taught nothing."""
    path = tmp_path_factory.mktemp("avatars") / "ada.avatar"
    started(Footage([capture]), np.arange(2)).save(path)
    return path


@pytest.fixture(scope="module")
def blank(capture: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A radiance avatar that was taught nothing."""
    path = tmp_path_factory.mktemp("avatars") / "eve.avatar"
    begun(Footage([capture]), np.arange(2), Preset(64, 1, 1, 3, 32, 2**10)).save(path)
    return path


@pytest.fixture
def tracked(capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Head | None]]:
    """Makes videos a.mp4, b.mp4 and c.mp4, each of ten frames; lists which were tracked with which head given."""
    calls: list[tuple[str, Head | None]] = []
    still = Performance.of(np.arange(10) / 25, np.zeros((10, 52)))
    frames, masks = (images[:1].repeat(10, 0) for images in (capture.frames, capture.masks))

    def captured(clip: Path, *_: object, head: Head | None = None, **__: object) -> Capture:
        calls.append((clip.name, head))
        return replace(capture, frames=frames, masks=masks, performance=still)

    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.setattr("face3d.avatar.captured", captured)
    monkeypatch.setitem(LEARNERS, "gaussian", ({"cpu": gaussian.Preset(64, 3, 11_000)}, gaussian.trained))
    return calls


def test_several_videos_make_one_avatar_of_the_first_ones_head(
    tracked: list[tuple[str, Head | None]], tmp_path: Path
) -> None:
    output = tmp_path / "ada.avatar"
    videos = [tmp_path / name for name in ("a.mp4", "b.mp4", "c.mp4")]
    done = run("train", *videos, "-o", output, "--holdout", 0.2)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0].endswith("Gaussians from 30 frames)")
    assert done.output.splitlines()[1].startswith("Held out: 6 frames")
    found = json.loads((output / "report.json").read_text())
    assert found["held_out"] == [8, 9, 18, 19, 28, 29]
    assert found["from"] == "a.mp4, b.mp4, c.mp4"
    assert sorted(path.name for path in (output / "capture").iterdir()) == ["000", "001", "002"]
    kept = Capture.load(output / "capture" / "002")
    assert [name for name, _ in tracked] == ["a.mp4", "b.mp4", "c.mp4"]
    assert [head and np.array_equal(head.neutral, kept.head.neutral) for _, head in tracked] == [None, True, True]
    assert len(GaussianAvatar.load(output).looks.torso) == 2

    assert run("train", *videos[:2], "-o", output).exit_code == 0
    assert len(tracked) == 3
    assert sorted(path.name for path in (output / "capture").iterdir()) == ["000", "001"]
    assert run("train", videos[0], "-o", output).exit_code == 0
    assert len(tracked) == 4
    assert (output / "capture" / "capture.json").is_file()
    assert not (output / "capture" / "000").exists()
    assert run("train", *videos[:2], "-o", output).exit_code == 0
    assert not (output / "capture" / "capture.json").exists()


def test_one_video_that_is_too_short_is_named(tracked: list[tuple[str, Head | None]], tmp_path: Path) -> None:
    done = run("train", tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", tmp_path / "ada.avatar", "--holdout", 0.5)
    assert done.exit_code == 1
    assert "a.mp4 shows the face in too few frames to learn from (5)" in done.output


@pytest.fixture
def portrait(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo whose head is known, in place of what perception measures."""
    head = GaussianAvatar.load(folder).head
    camera = Camera.looking_at((0.0, 0.0, 0.75), (0, -0.02, 0), (0, 1, 0), 0.6, (120, 100))
    pixels = MeshPerformer(head, 128).draw(Performance.of(np.zeros(1), np.zeros((1, 52))), camera, studio_lights())
    Image.fromarray(pixels[..., :3]).save(tmp_path / "me.png")
    posed = PosedPhoto(np.ascontiguousarray(pixels[..., :3]), head, camera, np.zeros(52, np.float32))
    monkeypatch.setattr("face3d.avatar.posed_photo", lambda *_, **__: posed)
    return tmp_path / "me.png"


def test_a_photo_is_lifted(portrait: Path, motion: Path, tmp_path: Path) -> None:
    output = tmp_path / "me.avatar"
    done = run("train", portrait, "-o", output)
    assert done.exit_code == 0, done.output
    made = GaussianAvatar.load(output)
    assert done.output.splitlines() == [f"Avatar: {output} ({len(made.gaussians)} Gaussians from a photo)"]
    assert made.provenance["from"] == "me.png"
    assert len(Capture.load(output / "capture")) == 1
    assert json.loads((output / "report.json").read_text())["frames"] == 1
    assert run("render", output, motion, "-o", tmp_path / "out.mp4").exit_code == 0
    assert json.loads((output / "report.json").read_text())["warnings"] == []
    refused = run("train", portrait, "-o", tmp_path / "other.avatar", "--holdout", 0.2)
    assert refused.exit_code == 1
    assert "no end to hold out" in refused.output
    assert not (tmp_path / "other.avatar").exists()


def test_a_photo_from_the_side_is_warned_of(folder: Path) -> None:
    head = GaussianAvatar.load(folder).head
    for degrees, told in ((10, []), (-35, ["turned by 35 degrees"])):
        place = 0.7 * np.sin(np.radians(degrees)), 0.0, 0.7 * np.cos(np.radians(degrees))
        middle = tuple(head.joints[HEAD].tolist())
        eye = tuple(np.add(middle, place).tolist())
        camera = Camera.looking_at(eye, middle, (0, 1, 0), 0.6, (120, 100))
        found = doubts(PosedPhoto(np.zeros((120, 100, 3), np.uint8), head, camera, np.zeros(52, np.float32)))
        assert [each in warning for each, warning in zip(told, found, strict=True)] == [True] * len(told)


@pytest.mark.slow
def test_a_real_photo_is_lifted(astronaut: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(astronaut).save(tmp_path / "me.png")
    done = run("train", tmp_path / "me.png", "-o", tmp_path / "me.avatar")
    assert done.exit_code == 0, done.output
    made, capture = GaussianAvatar.load(tmp_path / "me.avatar"), Capture.load(tmp_path / "me.avatar" / "capture")
    with torch.no_grad():
        drawn = made.splatted(made.moment(capture.performance), capture.camera)
    face = torch.as_tensor(
        silhouette(
            capture.head,
            made.surface.vertices(made.moment(capture.performance))[: len(capture.head.neutral)],
            capture.camera,
        ).head
    )
    error = (drawn.image - torch.as_tensor(capture.frames[0]) / 255)[face & (drawn.alpha > 0.9)]
    assert -10 * float(error.square().mean().log10()) > 22
    assert float((drawn.alpha[face] > 0.9).float().mean()) > 0.97


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


def test_radiance_avatars_are_rendered_but_are_no_splats(blank: Path, motion: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    done = run("render", blank, motion, "-o", output, "--size", 32)
    assert done.exit_code == 0, done.output
    assert output.is_file()
    for refused in (("export", blank, "-o", tmp_path / "ada.ply"), ("view", blank)):
        done = run(*refused)
        assert done.exit_code == 1
        assert "of the kind radiance" in done.output


def test_texture_avatars_are_trained_and_rendered(
    tracked: list[tuple[str, Head | None]], motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEARNERS, "texture", ({"cpu": texture.Preset(64, 2, 32, (4, 8))}, texture.trained))
    made = tmp_path / "ada.avatar"
    done = run("train", tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", made, "--kind", "texture", "--holdout", 0.2)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == f"Avatar: {made} (a neural texture from 20 frames)"
    assert json.loads((made / "report.json").read_text())["texels"] == 32 * (32 + 8 + 16)
    done = run("render", made, motion, "-o", tmp_path / "out.mp4", "--size", 96)
    assert done.exit_code == 0, done.output
    done = run("export", made, "-o", tmp_path / "ada.ply")
    assert done.exit_code == 1
    assert "of the kind texture" in done.output


def test_an_avatar_of_an_unknown_kind_is_named(motion: Path, tmp_path: Path) -> None:
    (tmp_path / "avatar.json").write_text('{"kind": "clay"}')
    done = run("render", tmp_path, motion, "-o", tmp_path / "out.mp4")
    assert done.exit_code == 1
    assert "of the kind clay, which this version does not know" in done.output
    assert not (tmp_path / "out.mp4").exists()


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
        (("train", "gone.jpg", "-o", "new.avatar"), "gone.jpg"),
        (("train", "false.jpg", "-o", "new.avatar"), "false.jpg"),
        (("train", "grey.png", "-o", "new.avatar"), "No face found"),
        (("train", "grey.mp4", "-o", "new.avatar"), "No face was found"),
        (("train", "grey.mp4", "-o", "new.avatar", "--preset", "tpu"), "cpu or gpu"),
        (("train", "grey.mp4", "-o", "new.avatar", "--kind", "nerf"), "gaussian, radiance or texture"),
        (("train", "grey.png", "-o", "new.avatar", "--kind", "radiance"), "is for videos"),
        (("train", "grey.mp4", "-o", "talk.csv"), "is a file"),
        (("train", "grey.mp4", "gone.mp4", "-o", "new.avatar"), "no video at gone.mp4"),
        (("train", "grey.mp4", "grey.png", "-o", "new.avatar"), "from one photo alone"),
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
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "false.jpg").write_text("no photo")
    Performance.of(np.zeros(0), np.zeros((0, 52))).save(tmp_path / "empty.json")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run(*arguments)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert message in done.output
    assert len(done.output.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
