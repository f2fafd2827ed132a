"""What happens to a voice on its way to a microphone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, fftconvolve, lfilter, resample_poly, sosfilt

from avatars.speech.phones import Phone
from avatars.speech.sound import RATE

PACES = ((9, 10), (10, 9), (17, 20), (20, 17), (1, 1))
"""Played faster or slower by these ratios: other lengths of vocal tract, other pitches."""


def replayed(
    sound: Float[np.ndarray, " sample"], phones: list[Phone], chance: np.random.Generator
) -> tuple[Float[np.ndarray, " sample"], list[Phone]]:
    """The sound at another speed, and its phones with it."""
    longer, shorter = PACES[chance.integers(len(PACES))]
    scale = longer / shorter
    moved = [Phone(phone.name, phone.start * scale, phone.end * scale) for phone in phones]
    return resample_poly(sound, longer, shorter).astype(np.float32), moved


def through_a_room(
    sound: Float[np.ndarray, " sample"], others: Float[np.ndarray, " sample"], chance: np.random.Generator
) -> Float[np.ndarray, " sample"]:
    """With echo, colour, other voices, noise, narrow bands, clipping and another gain, each at times."""
    heard = sound
    if chance.random() < 0.5:
        heard = fftconvolve(heard, _echo(chance))[: len(sound)]
    if chance.random() < 0.5:
        heard = lfilter([1, chance.uniform(-0.6, 0.6)], [1], heard)
    level = np.sqrt(np.mean(heard**2)) + 1e-6
    if chance.random() < 0.8:
        heard = heard + _noise(len(sound), chance) * level * 10 ** (-chance.uniform(5, 40) / 20)
    if chance.random() < 0.3:
        babble = np.resize(others, len(sound))
        heard = heard + babble / (np.sqrt(np.mean(babble**2)) + 1e-6) * level * 10 ** (-chance.uniform(8, 30) / 20)
    if chance.random() < 0.15:
        heard = sosfilt(butter(6, chance.uniform(3200, 4000), fs=RATE, output="sos"), heard)
    if chance.random() < 0.1:
        peak = np.abs(heard).max() * chance.uniform(0.2, 0.7)
        heard = heard.clip(-peak, peak)
    return (heard / (np.abs(heard).max() + 1e-6) * 10 ** (-chance.uniform(0, 30) / 20)).astype(np.float32)


def crowd(voices: Sequence[Float[np.ndarray, " sample"]], length: int, chance: np.random.Generator) -> np.ndarray:
    """Many people at once, and a noise like laughter or applause: nobody's speech."""
    together = sum(np.roll(np.resize(voice, length), chance.integers(length)) for voice in voices)
    pulses = 0.5 + 0.5 * np.sin(2 * np.pi * chance.uniform(3, 7) * np.arange(length) / RATE)
    return (together * chance.uniform(0, 1) + _noise(length, chance) * pulses * 0.2).astype(np.float32)


def _echo(chance: np.random.Generator) -> Float[np.ndarray, " sample"]:
    """A room's answer: the direct sound, and noise that dies away by 60 dB within 0.1-0.7 s."""
    decay = chance.uniform(0.1, 0.7)
    time = np.arange(int(decay * RATE)) / RATE
    answer = chance.normal(size=len(time)) * 10 ** (-3 * time / decay) * chance.uniform(0.005, 0.06)
    answer[0] = 1.0
    return answer


def _noise(length: int, chance: np.random.Generator) -> Float[np.ndarray, " sample"]:
    """Of unit power and any colour from white to brown, swelling at times."""
    spectrum = np.fft.rfft(chance.normal(size=length))
    spectrum *= np.maximum(np.arange(len(spectrum)), 20.0) ** -chance.uniform(0, 1)
    noise = np.fft.irfft(spectrum, length)
    if chance.random() < 0.3:
        time = np.arange(length) / RATE
        noise *= 1 + chance.uniform(0, 1) * np.sin(2 * np.pi * chance.uniform(0.3, 6) * time)
    return noise / (noise.std() + 1e-9)
