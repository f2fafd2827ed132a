"""Videos, by reading them back."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from avatars.media import SOUND_RATE, read_sound, write_pictures, write_video

COLOURS = ((250, 20, 20), (20, 200, 20), (30, 30, 240), (128, 128, 128))


def flat(colour, height: int = 64, width: int = 96) -> np.ndarray:
    return np.tile(np.array(colour, dtype=np.uint8), (height, width, 1))


def clicks(path: Path, times, seconds: float, rate: int = 44_100, channels: int = 1, dtype=np.int16) -> Path:
    """Silence with a short click at each of `times`."""
    samples = np.zeros((round(seconds * rate), channels))
    for time in times:
        samples[round(time * rate) : round(time * rate) + rate // 500] = 0.9
    samples = samples * np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else samples
    wavfile.write(path, rate, samples.astype(dtype))
    return path


def onsets(path: Path) -> np.ndarray:
    """Times at which a decoded sound becomes loud, seconds."""
    samples = np.abs(np.concatenate(list(read_sound(path)), axis=1)).max(0)
    loud = np.flatnonzero(samples > 0.3)
    return loud[np.diff(loud, prepend=-SOUND_RATE) > SOUND_RATE // 20] / SOUND_RATE


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_mp4_gives_back_frames_and_their_times(tmp_path) -> None:
    path = tmp_path / "clip.mp4"
    assert write_video(path, (flat(colour) for colour in COLOURS), 29.97) == 4
    frames = decoded(path)
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert video.average_rate == Fraction(2997, 100)
        assert not container.streams.audio
    assert np.allclose([frame.time for frame in frames], np.arange(4) / 29.97, atol=1e-4)
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - colour).mean() < 3


def test_sound_is_heard_when_its_frame_is_seen(tmp_path) -> None:
    sound = clicks(tmp_path / "clicks.wav", (0.0, 0.5, 1.5, 2.5), 3)
    path = tmp_path / "clip.mp4"
    lit = [flat((255, 255, 255) if index in (15, 45) else (0, 0, 0)) for index in range(60)]
    write_video(path, lit, 30, sound)
    seen = [frame.time for frame in decoded(path) if frame.to_ndarray(format="gray").mean() > 128]
    heard = onsets(path)
    assert np.allclose(seen, [0.5, 1.5])
    assert np.allclose(heard, [0, 0.5, 1.5], atol=2e-3)  # the last click lies beyond the last frame
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert container.duration / av.time_base == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(
    ("rate", "channels", "dtype"), [(8000, 1, np.uint8), (48_000, 6, np.int32), (96_000, 2, np.float32)]
)
def test_sounds_of_any_kind_keep_their_time(rate: int, channels: int, dtype, tmp_path) -> None:
    if dtype == np.uint8:
        samples = np.full(rate, 128, np.uint8)
        samples[rate // 4 : rate // 4 + 40] = 255
        wavfile.write(tmp_path / "click.wav", rate, samples)
    else:
        clicks(tmp_path / "click.wav", [0.25], 1, rate, channels, dtype)
    assert np.allclose(onsets(tmp_path / "click.wav"), [0.25], atol=2e-3)


def test_webm_keeps_opacity(tmp_path) -> None:
    frame = flat((200, 60, 60, 255))
    frame[:, :48, 3] = 0
    path = tmp_path / "clip.webm"
    sound = clicks(tmp_path / "clicks.wav", (0.1,), 0.3)
    write_video(path, [frame] * 6, 25, sound)
    with av.open(str(path)) as container:
        assert container.streams.video[0].metadata["ALPHA_MODE"] == "1"
        assert container.streams.audio[0].codec_context.name == "opus"
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        pictures = [picture for packet in container.demux(video=0) for picture in decoder.decode(packet)]
    assert len(pictures) == 6
    pixels = pictures[-1].to_ndarray(format="rgba").astype(int)
    assert np.abs(pixels[:, :44, 3]).max() < 8
    assert np.abs(pixels[:, 52:] - (200, 60, 60, 255)).mean() < 4
    assert np.allclose(onsets(path), [0.1], atol=3e-3)


def test_pictures_are_exact(tmp_path) -> None:
    frames = [np.random.default_rng(index).integers(0, 256, (8, 9, 4), dtype=np.uint8) for index in range(3)]
    assert write_pictures(tmp_path, iter(frames)) == 3
    for index, frame in enumerate(frames):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"{index:06d}.png")), frame)


def test_memory_does_not_grow_with_the_sound(tmp_path) -> None:
    pieces = read_sound(clicks(tmp_path / "long.wav", [1], 60, 8000))
    assert max(piece.nbytes for piece in pieces) < 1e6


@pytest.mark.parametrize(
    ("name", "frames", "message"),
    [
        ("clip.avi", [flat((0, 0, 0))], r"written as \.mp4 and \.webm, not as \.avi"),
        ("clip", [flat((0, 0, 0))], "not as a folder"),
        ("clip.mp4", [], "at least one frame"),
        ("clip.mp4", [flat((0, 0, 0), 63)], "even sides, not 96 x 63"),
        ("clip.mp4", [flat((0, 0, 0, 0))], "cannot be transparent"),
        ("clip.mp4", [flat((0, 0, 0)), flat((0, 0, 0), 32)], "frame 1 has another size"),
    ],
)
def test_bad_frames_are_one_clear_sentence(tmp_path, name: str, frames, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / name, frames, 30)
    assert list(tmp_path.iterdir()) == []


def test_bad_sounds_are_one_clear_sentence(tmp_path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"RIFF" + bytes(range(256)) * 4)
    (tmp_path / "text.txt").write_text("not a sound")
    write_video(tmp_path / "silent.mp4", [flat((0, 0, 0))], 30)
    for name, message in (("noise.wav", "no sound"), ("text.txt", "no sound"), ("silent.mp4", "has no sound")):
        with pytest.raises(ValueError, match=message):
            write_video(tmp_path / "clip.mp4", [flat((0, 0, 0))], 30, tmp_path / name)
    with pytest.raises(FileNotFoundError, match="is not there"):
        read_sound(tmp_path / "missing.wav")
    assert not (tmp_path / "clip.mp4").exists()


def test_a_broken_source_of_frames_leaves_what_was_there(tmp_path) -> None:
    def breaking():
        yield flat((0, 0, 0))
        raise RuntimeError("broken")

    path = tmp_path / "clip.mp4"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match="broken"):
        write_video(path, breaking(), 30)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]
