"""Sound out of any media file, as speech tools want it: one channel, 16 kHz."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from jaxtyping import Float

RATE = 16_000
"""Samples a second of every sound in this package."""


def load_sound(path: str | Path) -> Float[np.ndarray, " sample"]:
    """The first sound track of a media file: all channels mixed, RATE samples a second, full scale at 1.

    Time 0 is the track's first sample. A file that breaks off is read as far as it goes.

    Raises:
        ValueError: no media file, no sound in it, or sound of no length.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        if not file.read(1):
            raise ValueError(f"{path} is empty; give a file with sound in it.")
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise ValueError(f"{path} has no sound in it; give a recording of speech.")
            pieces = _decoded(container)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path} is no sound or video file that can be read ({error.strerror}).") from error
    sound = np.concatenate([piece.to_ndarray().reshape(-1) for piece in pieces] or [np.zeros(0, np.float32)])
    if not len(sound):
        raise ValueError(f"{path} has a sound track of no length; give a recording of speech.")
    return np.nan_to_num(sound, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)


def _decoded(container: av.container.InputContainer) -> list[AudioFrame]:
    resampler = AudioResampler(format="flt", layout="mono", rate=RATE)
    pieces: list[AudioFrame] = []
    try:
        for frame in container.decode(audio=0):
            pieces += resampler.resample(frame)
    except av.error.InvalidDataError:
        if not pieces:
            raise
    return pieces + (resampler.resample(None) if pieces else [])
