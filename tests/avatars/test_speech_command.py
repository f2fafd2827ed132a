"""`face3d speak` as a person types it."""

from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from face3d.cli import app
from morphable import Performance

SPOKEN = Path(__file__).parent / "spoken.ogg"
TEXT = "Bob put five maps above the pub, but who moved my van?"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["speak", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("suffix", ["csv", "json", "npz"])
def test_a_voice_becomes_a_performance(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"line.{suffix}"
    result = run(SPOKEN, "-o", output, "--text", TEXT, "--emotion", "happiness=0.6", "--emotion", "fear=0@0,0.5@2")
    assert result.exit_code == 0, result.output
    performance = Performance.load(output)
    assert len(performance) == 257 and performance.weights.max() > 0.5


def test_a_performance_is_a_style(tmp_path: Path) -> None:
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    assert run(SPOKEN, "-o", first, "--text", TEXT, "--emotion", "sadness=1").exit_code == 0
    assert run(SPOKEN, "-o", second, "--text", TEXT, "--style", first).exit_code == 0
    assert np.abs(Performance.load(first).weights - Performance.load(second).weights).max() > 0.05


@pytest.mark.slow
def test_a_voice_becomes_a_video_with_its_sound(tmp_path: Path) -> None:
    output = tmp_path / "line.mp4"
    result = run(SPOKEN, "-o", output, "--text", TEXT)
    assert result.exit_code == 0, result.output
    with av.open(str(output)) as container:
        seconds = [float(stream.duration * stream.time_base) for stream in container.streams]
    assert len(seconds) == 2 and np.allclose(seconds, 4.29, atol=0.06)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("line.txt",), "becomes one of"),
        (("line.csv", "--head", "me.glb"), "nobody's head"),
        (("line.csv", "--emotion", "joy=1"), "no emotion 'joy'"),
        (("line.csv", "--emotion", "fear"), "write it as"),
        (("line.csv", "--text", "…"), "no words"),
        (("line.csv", "--style", "absent.csv"), "absent.csv"),
        (("line.mp4", "--head", "absent.glb", "--text", TEXT), "absent.glb"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    output, *rest = arguments
    result = run(SPOKEN, "-o", tmp_path / output, *rest)
    assert result.exit_code == 1
    assert complaint in result.output and result.output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_sound_is_one_sentence(tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(np.random.default_rng(0).bytes(4000))
    result = run(noise, "-o", tmp_path / "line.csv")
    assert result.exit_code == 1 and "noise.wav" in result.output and not (tmp_path / "line.csv").exists()
