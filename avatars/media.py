"""Video and sound files, through FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import Float, UInt8
from PIL import Image

from avatars.export.staging import staging

SOUND_RATE = 48_000
BT709 = 1
"""FFmpeg's number for the primaries and the transfer of ITU-R BT.709."""
GAP = SOUND_RATE // 100
"""Samples by which a sound's clock may wander before silence is put in or samples are left out."""


@dataclass(frozen=True)
class Codecs:
    """What a file of a suffix is encoded with; `alpha` if it can hold frames with a fourth channel."""

    video: str
    options: dict[str, str]
    sound: str
    alpha: bool


CODECS = {
    ".mp4": Codecs("libx264", {"preset": "veryfast", "crf": "18"}, "aac", alpha=False),
    ".webm": Codecs(
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "24", "b": "0"},
        "libopus",
        alpha=True,
    ),
}
"""Quality at which a frame is hard to tell from what was drawn, and presets that keep up with drawing."""


def write_video(
    path: str | Path,
    frames: Iterable[UInt8[np.ndarray, "height width channel"]],
    rate: float,
    sound: str | Path | None = None,
) -> int:
    """Write frames as .mp4 (H.264, AAC) or .webm (VP9, Opus; a fourth channel is its opacity).

    Time 0 of `sound`, the first sound in any file that FFmpeg reads, is heard as the first frame appears; what is
    longer than the frames is cut. Memory does not grow with the length; the file appears whole or not at all.

    Args:
        frames: sRGB, all of one size, with even sides.
        rate: frames a second.

    Returns:
        How many frames were written.

    Raises:
        ValueError: a suffix, frames or a sound that cannot be written.
        OSError: the file cannot be written or the sound cannot be found.
    """
    path = Path(path)
    codecs = CODECS.get(path.suffix.lower())
    if codecs is None:
        raise ValueError(f"{path}: videos are written as {' and '.join(CODECS)}, not as {path.suffix or 'a folder'}")
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        raise ValueError(f"{path}: a video needs at least one frame")
    height, width, channels = first.shape
    if height % 2 or width % 2:
        raise ValueError(f"videos have even sides, not {width} x {height}")
    if channels == 4 and not codecs.alpha:
        raise ValueError(f"{path}: {path.suffix} files cannot be transparent; write a .webm or choose a background")
    heard = None if sound is None else read_sound(sound)
    with staging(path) as folder:
        return _write(folder / path.name, codecs, itertools.chain([first], waiting), rate, heard)


def write_pictures(folder: Path, frames: Iterable[UInt8[np.ndarray, "height width channel"]]) -> int:
    """Write frames as `000000.png` and so on into a folder that is there; returns how many.

    Raises:
        OSError: they cannot be written.
    """
    count = 0
    for frame in frames:
        Image.fromarray(frame).save(folder / f"{count:06d}.png", compress_level=1)
        count += 1
    return count


def read_sound(path: str | Path) -> Iterator[Float[np.ndarray, "2 sample"]]:
    """The first sound in a file, in pieces: stereo, 48 kHz, from time 0 on, with silence where there is none.

    Raises:
        OSError: the file cannot be found.
        ValueError: the file has no sound, or it is damaged; also from the iterator, where the damage is.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is not there")
    try:
        container = av.open(str(path))
    except (FFmpegError, OSError) as error:
        raise ValueError(f"{path} is no sound or video that can be read") from error
    if not container.streams.audio:
        container.close()
        raise ValueError(f"{path} has no sound")
    return _samples(path, container)


def _samples(path: str | Path, container: av.container.InputContainer) -> Iterator[Float[np.ndarray, "2 sample"]]:
    resampler = AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)
    place = 0
    with container:
        try:
            for frame in container.decode(audio=0):
                start = place if frame.time is None else round(frame.time * SOUND_RATE)
                for piece in resampler.resample(frame):
                    samples = piece.to_ndarray()
                    if start > place + GAP:
                        yield np.zeros((2, start - place), np.float32)
                        place = start
                    elif start < place - GAP:
                        samples = samples[:, place - start :]
                    yield samples
                    place += samples.shape[1]
                    start = place
            for piece in resampler.resample(None):
                yield piece.to_ndarray()
        except FFmpegError as error:
            raise ValueError(f"the sound of {path} is damaged at {place / SOUND_RATE:.1f} s") from error


def _write(
    path: Path,
    codecs: Codecs,
    frames: Iterator[UInt8[np.ndarray, "height width channel"]],
    rate: float,
    sound: Iterator[Float[np.ndarray, "2 sample"]] | None,
) -> int:
    steps = Fraction(rate).limit_denominator(1001)
    count = 0
    with av.open(str(path), "w") as container:
        first = next(frames)
        picture = _video_stream(container, codecs, steps, first)
        track = None if sound is None else _SoundTrack(container, codecs.sound, sound)
        for frame in itertools.chain([first], frames):
            if frame.shape != first.shape:
                raise ValueError(f"frame {count} has another size than the first")
            container.mux(picture.encode(_video_frame(frame, count, steps)))
            count += 1
            if track is not None:
                track.play_until(round(count / steps * SOUND_RATE))
        container.mux(picture.encode())
        if track is not None:
            track.finish()
    return count


def _video_stream(
    container: av.container.OutputContainer, codecs: Codecs, rate: Fraction, frame: np.ndarray
) -> av.VideoStream:
    stream = cast(av.VideoStream, container.add_stream(codecs.video, rate=rate, options=codecs.options))
    stream.height, stream.width = frame.shape[:2]
    stream.pix_fmt = "yuva420p" if frame.shape[2] == 4 else "yuv420p"
    context = stream.codec_context
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries = context.color_trc = BT709
    if frame.shape[2] == 4:
        stream.metadata["alpha_mode"] = "1"
    return stream


def _video_frame(frame: np.ndarray, index: int, rate: Fraction) -> av.VideoFrame:
    alpha = frame.shape[2] == 4
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgba" if alpha else "rgb24")
    encoded = picture.reformat(
        format="yuva420p" if alpha else "yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )
    encoded.pts, encoded.time_base = index, 1 / rate
    return encoded


class _SoundTrack:
    """Feeds sound to a container as fast as its picture grows."""

    def __init__(
        self, container: av.container.OutputContainer, codec: str, pieces: Iterator[Float[np.ndarray, "2 sample"]]
    ) -> None:
        self.container, self.pieces = container, pieces
        self.stream = cast(av.AudioStream, container.add_stream(codec, rate=SOUND_RATE, layout="stereo"))
        self.waiting = np.zeros((2, 0), np.float32)
        self.written = 0

    def play_until(self, sample: int) -> None:
        while self.waiting.shape[1] < sample - self.written:
            piece = next(self.pieces, None)
            if piece is None:
                break
            self.waiting = np.concatenate([self.waiting, piece], axis=1)
        now, self.waiting = np.split(self.waiting, [sample - self.written], axis=1)
        if now.shape[1]:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(now), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self.written, Fraction(1, SOUND_RATE)
            self.container.mux(self.stream.encode(frame))
            self.written += now.shape[1]

    def finish(self) -> None:
        self.container.mux(self.stream.encode())
