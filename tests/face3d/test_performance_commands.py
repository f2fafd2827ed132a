"""`face3d render`, `animate` and `motion`: what they write, what they say, and how they fail."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile
from typer.testing import CliRunner, Result

from face3d.cli import app
from morphable import ARKIT_NAMES, Performance


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    weights = np.zeros((7, 52))
    weights[:, ARKIT_NAMES.index("eyeBlinkLeft")] = np.linspace(0, 1, 7)
    Performance.of(np.arange(7) / 30, weights).save(tmp_path / "clip.csv")
    return tmp_path / "clip.csv"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_video_with_its_sound(saved_head: Path, clip: Path, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "line.wav", 16_000, np.zeros(16_000, np.int16))
    output = tmp_path / "new" / "out.mp4"
    done = run("render", saved_head, clip, "-o", output, "--size", "96x64", "--sound", tmp_path / "line.wav")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [f"Video: {output} (7 frames, 0.2 s)"]
    with av.open(str(output)) as container:
        assert container.streams.video[0].average_rate == 30
        assert len(container.streams.audio) == 1
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(96, 64)] * 7


def test_pictures_with_opacity(saved_head: Path, clip: Path, tmp_path: Path) -> None:
    options = ("--background", "transparent", "--size", 48, "--rate", 10, "--orbit", 90, "--yaw", -20, "--light", 60)
    done = run("render", saved_head, clip, "-o", tmp_path / "frames", *options)
    assert done.exit_code == 0, done.output
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "frames").iterdir())]
    assert [picture.shape for picture in pictures] == [(48, 48, 4)] * 3
    assert pictures[0][0, 0, 3] == 0
    assert pictures[0][24, 24, 3] == 255
    assert np.abs(pictures[0].astype(int) - pictures[2]).max() > 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "out.mp4", "--size", "big"), "not 'big'"),
        (("-o", "out.mp4", "--size", "65"), "even sides"),
        (("-o", "out.mp4", "--size", "4"), "pixels a side"),
        (("-o", "out.mp4", "--background", "mauvish"), "'mauvish' is no colour"),
        (("-o", "out.mp4", "--background", "transparent"), "cannot be transparent"),
        (("-o", "out.avi"), "written as .mp4 and .webm"),
        (("-o", "out.mp4", "--sound", "missing.wav"), "missing.wav is not there"),
        (("-o", "out.mp4", "--sound", "clip.csv"), "no sound"),
        (("-o", "frames", "--sound", "clip.csv"), "Pictures have no sound"),
        (("-o", "full"), "not an empty folder"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence(
    saved_head: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "picture.png").touch()
    before = sorted(tmp_path.rglob("*"))
    done = run("render", saved_head, clip, "--size", "64", *options)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert message in done.output
    assert len(done.output.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["render", "animate"])
def test_files_that_are_none(saved_head: Path, clip: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty.csv").write_text(clip.read_text().splitlines()[0])
    (tmp_path / "noise.csv").write_bytes(bytes(range(256)))
    output = tmp_path / ("out.mp4" if command == "render" else "out.glb")
    for one, other in (
        (saved_head, "empty.csv"),
        (saved_head, "noise.csv"),
        (saved_head, "gone.csv"),
        (clip, "clip.csv"),
    ):
        done = run(command, one, tmp_path / other, "-o", output)
        assert done.exit_code == 1
        assert done.output.startswith("Error: ")
        assert len(done.output.splitlines()) == 1
    assert not output.exists()


@pytest.mark.parametrize("suffix", ["glb", "usdz"])
def test_an_animated_head(saved_head: Path, clip: Path, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pxr")
    done = run("animate", saved_head, clip, "-o", tmp_path / f"talk.{suffix}")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [f"Animated head: {tmp_path / f'talk.{suffix}'} (7 frames, 0.2 s)"]
    assert (tmp_path / f"talk.{suffix}").stat().st_size > 100_000
    refused = run("animate", saved_head, clip, "-o", tmp_path / "talk.fbx")
    assert refused.exit_code == 1
    assert "saved as .glb, .usda, .usdc, .usdz, not as .fbx" in refused.output


def test_motion_is_cut_mirrored_and_converted(clip: Path, tmp_path: Path) -> None:
    options = ("--from", 0.1, "--to", 0.2, "--mirror", "--speed", 0.5, "--rate", 60, "--smooth", 1)
    done = run("motion", clip, "-o", tmp_path / "new" / "clip.npz", *options)
    assert done.exit_code == 0, done.output
    cut = Performance.load(tmp_path / "new" / "clip.npz")
    assert np.allclose(cut.times, np.arange(13) / 60)
    assert not cut.weights[:, ARKIT_NAMES.index("eyeBlinkLeft")].any()
    blink = cut.weights[:, ARKIT_NAMES.index("eyeBlinkRight")]
    assert np.allclose(blink[[0, -1]], [0.5, 1], atol=1e-3)
    assert np.all(np.diff(blink) > 0)


def test_motion_is_layered(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "jaw.json").write_text('{"times": [0, 1], "shapes": ["jawOpen"], "weights": [[0.5], [0.5]]}')
    done = run("motion", clip, "-o", tmp_path / "both.csv", "--add", tmp_path / "jaw.json")
    assert done.exit_code == 0, done.output
    both = Performance.load(tmp_path / "both.csv")
    assert np.allclose(both.weights[:, ARKIT_NAMES.index("jawOpen")], 0.5)
    assert np.allclose(both.weights[:, ARKIT_NAMES.index("eyeBlinkLeft")], np.linspace(0, 1, 7))


def test_motion_that_is_not_there_is_one_sentence(clip: Path, tmp_path: Path) -> None:
    for options, message in (
        (("--from", 9), "no frame"),
        (("--speed", 0), "more than 0 times"),
        (("--smooth", -1), "0 seconds"),
    ):
        done = run("motion", clip, "-o", tmp_path / "out.json", *options)
        assert done.exit_code == 1
        assert message in done.output
    assert run("motion", clip, "-o", tmp_path / "out.bvh").output.startswith("Error: ")
    assert not list(tmp_path.glob("out.*"))
