"""A voice becomes a performance: content, style, emotion and life in layers, contacts last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from avatars.speech.articulation import CHANNELS, CONTACTS, articulation
from avatars.speech.contact import default_lips
from avatars.speech.emotion import Intensity, laid_over, mood
from avatars.speech.face import mouth_weights
from avatars.speech.learned import HOP, heard_articulation
from avatars.speech.life import BLINKS_A_MINUTE, alive
from avatars.speech.phones import LAUGHTER, Phone, aligned_phones, decoded_phones, with_laughter
from avatars.speech.prosody import Prosody, prosody
from avatars.speech.sound import RATE
from avatars.speech.style import Style
from morphable import ARKIT_NAMES, Performance

FPS = 60
"""Frames a second, as ARKit's."""
ROUNDING = 0.7
"""Part of an emotion's smile that a fully rounded vowel takes back."""
VOWELS = frozenset({"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"})
VOWEL_EDGE = 0.02
"""Seconds."""
WIDENED = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("mouthSmile", "mouthStretch", "mouthDimple"))]
WIDE, LIDS = ([ARKIT_NAMES.index(f"{name}{side}") for side in ("Left", "Right")] for name in ("eyeWide", "eyeBlink"))
EFFORTFUL = [CHANNELS.index(name) for name in ("jaw", "upper", "lower")]
ROUND = [CHANNELS.index(name) for name in ("pucker", "funnel")]


def speak(
    sound: Float[np.ndarray, " sample"],
    text: str | None = None,
    *,
    emotions: Mapping[str, Intensity] | None = None,
    style: Performance | None = None,
    seed: int = 0,
) -> Performance:
    """How a face moves that says what is heard: FPS frames a second, the first at the sound's first sample.

    Without speech in the sound the mouth rests and the face lives on.

    Args:
        sound: 16 kHz, as `load_sound` gives it.
        text: what is said, in English; None to go by the sound alone, in any language.
        emotions: intensity by name of EMOTIONS, from 0 to 1: the same throughout, or keys of time (s) and intensity.
        style: a performance of the person whose way of moving is wanted.
        seed: the same seed gives the same take.

    Raises:
        ValueError: no sound, a text that does not fit, an unknown emotion, or a style that cannot be told.
    """
    if not len(sound):
        raise ValueError("there is no sound to speak with; give at least one sample")
    times = np.arange(max(1, round(len(sound) / RATE * FPS))) / FPS
    voice, asked = prosody(sound), mood(emotions or {}, times)
    manner = None if style is None else Style.of(style)
    said = content(sound, times, voice, text)
    said[:, EFFORTFUL] = (said[:, EFFORTFUL] * asked.effort[:, None]).clip(0, 1)
    blinks = BLINKS_A_MINUTE if manner is None else manner.blinks
    life = alive(times, voice, np.random.default_rng(seed), blinks * asked.blinks)
    weights, head = laid_over(mouth_weights(said), life.weights), life.head
    if manner is not None:
        weights = manner.worn(weights, np.interp(times, voice.times, voice.speech) > 0.5)
        head = manner.turned(head)
    weights = laid_over(weights, _beside_speech(asked.shapes, said))
    weights[:, WIDE] *= 1 - weights[:, LIDS]
    closure, labiodental = said[:, -CONTACTS:].T
    weights = default_lips().brought_together(weights, closure, labiodental)
    made = {"driver": "speech", "text": text, "emotions": sorted(emotions or {}), "seed": seed}
    return Performance.of(times, weights, head + asked.head, life.translation, life.gaze, provenance=made)


def content(
    sound: Float[np.ndarray, " sample"], times: Float[np.ndarray, " frame"], voice: Prosody, text: str | None = None
) -> Float[np.ndarray, "frame channel"]:
    """What the mouth does to say it, without any feeling: articulation at rising times, seconds.

    Without words, phones are decoded, which finds openings well and misses some contacts; those that the learned layer
    hears are made as well, unless they would shut the mouth in a vowel.

    Raises:
        ValueError: the text does not fit.
    """
    if not voice.speech.any():
        return np.zeros((len(times), len(CHANNELS)))
    phones = with_laughter(decoded_phones(sound), VOWELS) if text is None else aligned_phones(sound, text)
    said = articulation(phones, times, voice.effort(times))
    if text is None:
        heard = learned_articulation(sound, times)[:, -CONTACTS:] * ~_within_vowels(phones, times)[:, None]
        said[:, -CONTACTS:] = np.maximum(said[:, -CONTACTS:], heard)
    return said


def _within_vowels(phones: Sequence[Phone], times: Float[np.ndarray, " frame"]) -> Bool[np.ndarray, " frame"]:
    """Frames of vowels and laughter; first and last moments are left out, where a neighbour may be misheard."""
    within = np.zeros(len(times), bool)
    for phone in phones:
        if phone.name in VOWELS or phone.name == LAUGHTER:
            within[slice(*np.searchsorted(times, (phone.start + VOWEL_EDGE, phone.end - VOWEL_EDGE)))] = True
    return within


def learned_articulation(
    sound: Float[np.ndarray, " sample"], times: Float[np.ndarray, " frame"]
) -> Float[np.ndarray, "frame channel"]:
    """What the learned layer hears, at these times (seconds)."""
    heard = heard_articulation(sound)
    at = np.arange(len(heard)) * HOP / RATE
    return np.stack([np.interp(times, at, channel) for channel in heard.T], axis=1)


def _beside_speech(
    shapes: Float[np.ndarray, "frame 52"], said: Float[np.ndarray, "frame channel"]
) -> Float[np.ndarray, "frame 52"]:
    """An emotion's shapes where a mouth is busy: lips that are rounded cannot be wide."""
    shapes = shapes.copy()
    shapes[:, WIDENED] *= 1 - ROUNDING * said[:, ROUND].sum(1, keepdims=True).clip(0, 1)
    return shapes
