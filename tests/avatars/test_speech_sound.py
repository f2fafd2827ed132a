"""Sound out of files as people have them, and what is measured in it."""

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from avatars.media import write_video
from avatars.speech.prosody import prosody
from avatars.speech.sound import RATE, load_sound


def tone(frequency: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write_wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """(frame, channel) from -1 to 1."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_channels_become_one_at_16_khz(tmp_path: Path, rate: int, channels: int) -> None:
    samples = np.repeat(tone(440, 1.0, rate)[:, None], channels, axis=1)
    sound = load_sound(write_wav(tmp_path / "tone.wav", samples, rate))
    assert abs(len(sound) - RATE) < 0.01 * RATE
    spectrum = np.abs(np.fft.rfft(sound[: RATE // 2]))
    assert abs(spectrum.argmax() * 2 - 440) <= 2
    assert 0.3 < np.abs(sound[1000:-1000]).max() < 0.52


def test_surround_sound_is_mixed(tmp_path: Path) -> None:
    path = tmp_path / "six.flac"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=48000, layout="5.1")
        channels = np.zeros((6, 48000), np.int16)
        channels[2] = (tone(300, 1.0, 48000) * 32767).astype(np.int16)  # the front centre, where voices are
        for start in range(0, 48000, 4800):
            piece = np.ascontiguousarray(channels[:, start : start + 4800].T).reshape(1, -1)
            frame = AudioFrame.from_ndarray(piece, format="s16", layout="5.1")
            frame.sample_rate, frame.pts = 48000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert np.abs(load_sound(path)).max() > 0.1


def test_what_has_no_sound_says_so(tmp_path: Path) -> None:
    silent_film, text, empty, header = (tmp_path / name for name in ("film.mp4", "a.txt", "empty.wav", "header.wav"))
    write_video(silent_film, iter(np.zeros((3, 32, 32, 3), np.uint8)), 30)
    text.write_text("no sound at all " * 20)
    empty.write_bytes(b"")
    write_wav(header, np.zeros((0, 1)), RATE)
    for path, complaint in (
        (silent_film, "no sound"),
        (text, "can be read"),
        (empty, "can be read"),
        (header, "length"),
    ):
        with pytest.raises(ValueError, match=complaint):
            load_sound(path)
    with pytest.raises(OSError, match="not there"):
        load_sound(tmp_path / "absent.wav")


def test_pitch_loudness_and_pauses_are_measured() -> None:
    steps = [tone(120, 1.0), np.zeros(RATE // 2), 0.5 * tone(180, 1.0)]
    voice = prosody(np.concatenate(steps))
    assert len(voice.times) == 250
    assert (voice.pitch[150:][40:90] - voice.pitch[10:60]).mean() == pytest.approx(np.log2(1.5), abs=0.05)
    assert voice.loudness[200] / voice.loudness[50] == pytest.approx(0.5, abs=0.05)
    assert voice.speech[20:90].all() and not voice.speech[115:135].any() and voice.speech[170:240].all()


def test_silence_holds_no_speech() -> None:
    assert not prosody(np.zeros(RATE)).speech.any()
    assert not prosody(1e-4 * np.random.default_rng(0).normal(size=RATE)).speech.any()
