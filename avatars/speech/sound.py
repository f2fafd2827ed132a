"""Sound out of any media file, as speech tools want it: one channel, 16 kHz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from jaxtyping import Float

from avatars.media import SOUND_RATE, read_sound

RATE = 16_000
"""Samples a second of every sound in this package."""


def load_sound(path: str | Path) -> Float[np.ndarray, " sample"]:
    """The first sound of a media file: the mean of its channels, RATE samples a second from the file's time 0 on.

    Raises:
        ValueError: no media file, a damaged one, no sound in it, or sound of no length.
        OSError: the file cannot be read.
    """
    resampler = AudioResampler(format="fltp", layout="stereo", rate=RATE)
    pieces = [frame for piece in read_sound(path) for frame in resampler.resample(_stereo(piece))]
    pieces += resampler.resample(None) if pieces else []
    sound = np.concatenate([piece.to_ndarray().mean(0) for piece in pieces] or [np.zeros(0, np.float32)])
    if not len(sound):
        raise ValueError(f"{path} has a sound of no length; give a recording of speech")
    return np.nan_to_num(sound, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)


def _stereo(samples: Float[np.ndarray, "2 sample"]) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
    frame.sample_rate = SOUND_RATE
    return frame
