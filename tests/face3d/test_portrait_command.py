"""`face3d portrait`: what it writes, what it says, and how it fails."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from avatars.media import write_video
from face3d.cli import app
from face3d.perception import MediaPipeDetector
from face3d.photo import load_photo
from morphable import ARKIT_NAMES, Performance

SPOKEN = Path(__file__).parents[1] / "avatars/spoken.ogg"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    weights = np.zeros((4, 52))
    weights[:, ARKIT_NAMES.index("jawOpen")] = np.linspace(0, 0.6, 4)
    Performance.of(np.arange(4) / 25, weights).save(tmp_path / "clip.csv")
    return tmp_path / "clip.csv"


@pytest.fixture
def photo(astronaut: np.ndarray, tmp_path: Path) -> Path:
    Image.fromarray(astronaut[:301, 100:351]).save(tmp_path / "me.png")
    return tmp_path / "me.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["portrait", *map(str, arguments)])


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def test_a_photo_speaks(photo: Path, saved_head: Path, clip: Path, tmp_path: Path) -> None:
    """Of an odd size, and with somebody else's head: its track is the photo's own."""
    output = tmp_path / "new" / "out.mp4"
    done = run(photo, clip, "-o", output, "--head", saved_head, "--only", "lips")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [f"Video: {output} (4 frames, 0.2 s)"]
    shown, still = decoded(output), np.asarray(Image.open(photo))[:300, :250].astype(int)
    assert shown.shape == (4, 300, 250, 3)
    assert np.abs(shown[0] - still).mean() < 4
    moved = np.abs(shown[3] - shown[0]).max(2)
    face = load_photo(photo).pixels
    with MediaPipeDetector() as detector:
        seen = detector.detect(face)[0]
    x0, y0, x1, y1 = (round(edge) for edge in seen.box)
    nose = round(float(seen.landmarks[1, 1]))
    assert moved[nose:y1, x0:x1].mean() > 3 * moved[y0:nose, x0:x1].mean()
    assert moved[nose:y1, x0:x1].max() > 40


@pytest.fixture
def video(astronaut: np.ndarray, tmp_path: Path) -> Path:
    """The head goes to the left and leaves; then there is nobody."""
    pictures = [np.ascontiguousarray(astronaut[:300, 100 + 2 * step : 351 + 2 * step]) for step in range(8)]
    write_video(
        tmp_path / "talk.mp4", [picture[:, :250] for picture in pictures + [np.full_like(pictures[0], 128)] * 4], 25
    )
    return tmp_path / "talk.mp4"


def test_a_video_is_dubbed(video: Path, saved_head: Path, clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "dubbed.mp4"
    done = run(video, clip, "-o", output, "--head", saved_head, "--sound", SPOKEN)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [f"Video: {output} (12 frames, 0.5 s)"]
    assert not (tmp_path / "dubbed.mp4.part").exists()
    with av.open(str(output)) as container:
        assert container.streams.audio
    shown, before = decoded(output), decoded(video)
    assert shown.shape == before.shape
    with MediaPipeDetector() as detector:
        seen = detector.detect(before[5].astype(np.uint8))[0]
    x0, y0, x1, y1 = (round(edge) for edge in seen.box)
    nose, moved = round(float(seen.landmarks[1, 1])), np.abs(shown - before).max(3)
    assert moved[5, nose:y1, x0:x1].mean() > 4 * moved[5, y0:nose, x0:x1].mean()
    assert moved[5, nose:y1, x0:x1].max() > 60
    assert moved[9:].mean() < 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--only", "pose"), "the pose stays"), (("--rate", "25"), "leave out --rate"), (("--absolute",), "--absolute")],
)
def test_what_videos_do_not_do(video: Path, clip: Path, tmp_path: Path, options, message: str) -> None:
    done = run(video, clip, "-o", tmp_path / "out.mp4", *options)
    assert done.exit_code == 1 and message in done.output and done.output.startswith("Error: ")
    assert not list(tmp_path.glob("out.mp4*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "out.avi"), "out.avi: a photo moves in .mp4 and .webm files"),
        (("-o", "folder"), "a photo moves in .mp4 and .webm files"),
        (("-o", "out.mp4", "--only", "ears"), "'ears' cannot be driven on its own"),
        (("-o", "out.mp4", "--sound", "gone.wav"), "gone.wav is not there"),
        (("-o", "out.mp4", "--sound", "clip.csv"), "no sound"),
        (("-o", "out.mp4", "--head", "clip.csv"), "clip.csv"),
    ],
)
def test_what_cannot_be_played_is_one_sentence(
    photo: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run(photo, clip, *options)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert message in done.output
    assert len(done.output.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_files_that_are_none(photo: Path, clip: Path, saved_head: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "nobody.png")
    (tmp_path / "broken.png").write_bytes(photo.read_bytes()[:300])
    (tmp_path / "empty.csv").write_text(clip.read_text().splitlines()[0])
    for picture, motion in (("nobody.png", clip), ("broken.png", clip), (photo, "empty.csv"), (photo, "gone.csv")):
        done = run(tmp_path / picture, tmp_path / motion, "-o", tmp_path / "out.mp4", "--head", saved_head)
        assert done.exit_code == 1
        assert done.output.startswith("Error: ")
        assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "out.mp4").exists()
