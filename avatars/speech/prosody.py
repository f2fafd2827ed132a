"""How something is said: loudness, pitch, and where there is a voice at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d, median_filter

from avatars.speech.sound import RATE

HOP = RATE // 100
WINDOW = RATE // 25
"""Samples from frame to frame, and of a frame: two periods of the lowest voice."""
LOWEST, HIGHEST = 65.0, 420.0
"""Hz, the pitch of speaking people."""
VOICED = 0.55
"""Autocorrelation at the period from which a frame counts as voiced; noise stays below 0.4."""
SILENT = 3e-4
"""Root mean square under which there is nothing to hear (-70 dB)."""
AUDIBLE = 0.06
"""A frame with less than this part of the loud frames' amplitude (-24 dB) is a pause."""
BLOCK = 1 << 12
"""Frames that are looked at together, to bound memory."""


@dataclass(frozen=True, eq=False)
class Prosody:
    """By frame, a hundred a second.

    Attributes:
        times: centres of the frames, seconds.
        loudness: root mean square over that of loud speech in this sound; 1 is loud, 0 silent.
        pitch: octaves above the speaker's usual pitch, smoothly filled in where there is no voice.
        speech: whether anything is said.
    """

    times: Float[np.ndarray, " frame"]
    loudness: Float[np.ndarray, " frame"]
    pitch: Float[np.ndarray, " frame"]
    speech: Bool[np.ndarray, " frame"]

    def effort(self, times: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """How hard the person speaks, 1 being as usual: what articulation widens the mouth by.

        Half of it is loudness against the speaker's mean, a tenth of it pitch, over a syllable (0.1 s).
        """
        level = gaussian_filter1d(self.loudness, 8)
        usual = level[self.speech].mean() if self.speech.any() else 1.0
        hard = 0.5 + 0.5 * level / max(usual, 1e-6) + 0.2 * gaussian_filter1d(self.pitch, 8)
        return np.interp(times, self.times, hard.clip(0.5, 1.6))


def prosody(sound: Float[np.ndarray, " sample"]) -> Prosody:
    """Measure RATE samples a second of sound."""
    padded = np.pad(sound, (WINDOW // 2, WINDOW))
    starts = np.arange(0, max(len(sound), 1), HOP)
    measured = [_measured(padded, starts[i : i + BLOCK]) for i in range(0, len(starts), BLOCK)]
    power, periodicity, frequency = (np.concatenate(column) for column in zip(*measured, strict=True))
    level = np.sqrt(power)
    loud = max(float(np.percentile(level, 95)), SILENT)
    voiced = (periodicity > VOICED) & (level > AUDIBLE * loud)
    speech = median_filter(level, 15) > max(AUDIBLE * loud, SILENT)
    return Prosody(starts / RATE, (level / loud).clip(0, 1.5), _octaves(frequency, voiced), speech)


def _measured(padded: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Power, height and frequency of the autocorrelation's peak (normalised as by Boersma 1993) of each frame."""
    frames = padded[starts[:, None] + np.arange(WINDOW)]
    window = np.hanning(WINDOW)
    size = 2 * WINDOW
    spectrum = np.abs(np.fft.rfft((frames - frames.mean(1, keepdims=True)) * window, size)) ** 2
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2, size)
    lags = np.arange(int(RATE / HIGHEST), int(RATE / LOWEST))
    correlation = np.fft.irfft(spectrum, size)
    normalised = correlation[:, lags] / own[lags] / (correlation[:, :1] / own[0] + 1e-12)
    peak = (normalised - 0.01 * np.log2(lags / lags[0])).argmax(1)
    return np.mean(frames**2, 1), normalised[np.arange(len(starts)), peak], RATE / lags[peak]


def _octaves(frequency: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Against the median of the voiced frames; leaps of an octave are the measurement's, and are cut."""
    if not voiced.any():
        return np.zeros(len(frequency))
    where = np.flatnonzero(voiced)
    octaves = np.log2(frequency[where] / np.median(frequency[where])).clip(-0.7, 0.7)
    return gaussian_filter1d(np.interp(np.arange(len(frequency)), where, median_filter(octaves, 5)), 2)
