"""What makes a speaking face alive besides its mouth: blinks, gaze, brows, head and breath.

All of it is drawn from one generator, so the same seed gives the same take; the voice decides when things happen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from avatars.speech.prosody import Prosody
from morphable import ARKIT_NAMES

BLINKS_A_MINUTE = 22.0
"""While speaking (Bentivoglio et al. 1997: 26 in conversation, 17 at rest)."""
BLINK_SPREAD, CLOSEST_BLINKS = 0.55, 0.5
"""Standard deviation of the logarithm of the time between blinks, and the shortest one, seconds."""
BLINK_CLOSING, BLINK_SHUT, BLINK_OPENING = 0.075, 0.03, 0.17
"""Seconds (VanderWerf et al. 2003)."""
PAUSE_REACH = 0.6
"""Seconds that a blink waits for, or comes before, a pause: people blink between phrases."""
FIXATION, GLANCE = 1.4, 0.5
"""Mean seconds that eyes rest on a place on the listener's face, and elsewhere; SHORTEST more are added."""
SHORTEST = 0.2
AWAY, AVERTED = 0.4, np.deg2rad([4.0, 8.0])
"""How often a saccade leaves the listener's face, and the deviation (pitch, yaw) of where it goes then."""
ON_FACE = np.deg2rad(1.6)
"""Deviation of fixations on the listener's face: eyes and mouth."""
SACCADE, SACCADE_GROWTH = 0.021, 0.0022 * 180 / np.pi
"""Seconds a saccade takes, and more of them per radian (Carpenter 1988)."""
FULL_LOOK = np.deg2rad(30.0)
"""An eyeball's turn at weight 1 of an eyeLook shape."""
LID_FOLLOWS = 0.35
"""Weight of eyeBlink per weight of eyeLookDown: the upper lid rides on the eyeball."""
BREATH = 0.35
"""Seconds of pause from which a speaker takes breath."""
SWAY, SWAY_SECONDS = np.deg2rad(1.3), 0.9
"""Deviation of the head's idle turn, and how long it stays where it is."""
BEAT, TONE = np.deg2rad(2.2), np.deg2rad(3.5)
"""Nod on a loud syllable, and lift of the chin an octave up (Hadar et al. 1983; Munhall et al. 2004)."""
BROW_TONE = 0.9
"""Weight of raised brows an octave up: brows follow rises of pitch (Cavé et al. 1996)."""


@dataclass(eq=False)
class Motion:
    """Upper face and head over time: weights to be added to the mouth's, rotations in radians, metres."""

    weights: Float[np.ndarray, "frame 52"]
    head: Float[np.ndarray, "frame 3"]
    translation: Float[np.ndarray, "frame 3"]
    gaze: Float[np.ndarray, "frame 2 3"]


def alive(
    times: Float[np.ndarray, " frame"], voice: Prosody, chance: np.random.Generator, blinks_a_minute: float
) -> Motion:
    """A living face at evenly spaced times (seconds) while the voice sounds."""
    frames = len(times)
    motion = Motion(*(np.zeros(shape) for shape in ((frames, 52), (frames, 3), (frames, 3), (frames, 2, 3))))
    blink_chance, gaze_chance, head_chance = chance.spawn(3)
    look = _gaze(times, gaze_chance)
    _look(motion, look)
    _blink(motion, times, _blinks(times, voice, blinks_a_minute, blink_chance))
    _move_head(motion, times, voice, look, head_chance)
    _raise_brows(motion, times, voice)
    _breathe(motion, times, voice)
    return motion


def _set(weights: np.ndarray, name: str, values: np.ndarray) -> None:
    """Add to a shape, on both sides if it has sides."""
    for side in ("", "Left", "Right"):
        if name + side in ARKIT_NAMES:
            weights[:, ARKIT_NAMES.index(name + side)] += values


def _blinks(
    times: np.ndarray, voice: Prosody, a_minute: float, chance: np.random.Generator
) -> Float[np.ndarray, " blink"]:
    """When lids start to fall: log-normal intervals, each drawn to the nearest start of a pause."""
    pauses = voice.times[1:][voice.speech[:-1] & ~voice.speech[1:]]
    when = chance.uniform(0.3, 2.0)
    found: list[float] = []
    while len(times) and when < times[-1] and a_minute > 0:
        near = pauses[np.abs(pauses - when) < PAUSE_REACH]
        start = float(near[np.abs(near - when).argmin()]) if len(near) else when
        if not found or start - found[-1] > CLOSEST_BLINKS:
            found.append(start)
        mean = 60.0 / a_minute
        when = max(when, start) + max(CLOSEST_BLINKS, mean * chance.lognormal(-(BLINK_SPREAD**2) / 2, BLINK_SPREAD))
    return np.array(found)


def _blink(motion: Motion, times: np.ndarray, starts: np.ndarray) -> None:
    closed = np.zeros(len(times))
    for start in starts:
        since = times - start
        falling = since / BLINK_CLOSING
        rising = 1 - (since - BLINK_CLOSING - BLINK_SHUT) / BLINK_OPENING
        closed = np.maximum(closed, _smooth(np.minimum(falling, rising)))
    for side in ("Left", "Right"):
        lid = motion.weights[:, ARKIT_NAMES.index(f"eyeBlink{side}")]
        lid[:] = np.maximum(lid, closed)
    _set(motion.weights, "eyeSquint", 0.15 * closed)


def _gaze(times: np.ndarray, chance: np.random.Generator) -> Float[np.ndarray, "frame 2"]:
    """Pitch (down) and yaw (to the person's left) of both eyes, radians: fixations, and saccades between them."""
    look, here, when, away = np.zeros((len(times), 2)), np.zeros(2), 0.0, False
    while len(times) and when < times[-1]:
        mean = GLANCE if away else FIXATION
        when += SHORTEST + min(chance.exponential(mean), 2.5 * mean)
        away = not away and chance.random() < AWAY
        there = chance.normal(size=2).clip(-1.8, 1.8) * (AVERTED if away else ON_FACE)
        takes = SACCADE + SACCADE_GROWTH * float(np.linalg.norm(there - here))
        look[times >= when] = there
        moving = (times >= when) & (times < when + takes)
        look[moving] = here + _smooth((times[moving] - when) / takes)[:, None] * (there - here)
        here = there
    return look.clip(-0.8 * FULL_LOOK, 0.8 * FULL_LOOK)


def _look(motion: Motion, look: np.ndarray) -> None:
    """Gaze, and the weights that say the same."""
    motion.gaze[:, :, :2] = look[:, None]
    pitch, yaw = (look / FULL_LOOK).T
    _set(motion.weights, "eyeLookDown", pitch.clip(0))
    _set(motion.weights, "eyeLookUp", (-pitch).clip(0))
    for inward, outward, turn in (("Right", "Left", yaw), ("Left", "Right", -yaw)):
        motion.weights[:, ARKIT_NAMES.index(f"eyeLookOut{outward}")] += turn.clip(0)
        motion.weights[:, ARKIT_NAMES.index(f"eyeLookIn{inward}")] += turn.clip(0)
    _set(motion.weights, "eyeBlink", LID_FOLLOWS * pitch.clip(0))
    _set(motion.weights, "eyeWide", 0.3 * (-pitch).clip(0))


def _move_head(
    motion: Motion, times: np.ndarray, voice: Prosody, look: np.ndarray, chance: np.random.Generator
) -> None:
    """Idle sway, nods on loud syllables, the chin up with the pitch, and a little after where the eyes go."""
    step = times[1] - times[0] if len(times) > 1 else 1.0
    smooth = SWAY_SECONDS / step
    sway = gaussian_filter1d(chance.normal(size=(len(times) + int(8 * smooth), 3)), smooth, axis=0)
    sway = sway[int(4 * smooth) :][: len(times)] * np.sqrt(2 * np.sqrt(np.pi) * smooth)
    speaking = np.interp(times, voice.times, gaussian_filter1d(voice.speech.astype(float), 40))
    motion.head[:] = SWAY * sway * (0.5 + 0.5 * speaking[:, None]) * np.array([0.8, 1.0, 0.5])
    beat = gaussian_filter1d(voice.loudness, 9) - gaussian_filter1d(voice.loudness, 60)
    tone = gaussian_filter1d(voice.pitch, 20) * np.interp(voice.times, times, speaking)
    motion.head[:, 0] += np.interp(times, voice.times, BEAT * beat.clip(-0.3, 0.6) - TONE * tone)
    motion.head[:, :2] += 0.25 * gaussian_filter1d(look, 0.25 / step, axis=0)
    motion.translation[:, 2] += 0.0015 * gaussian_filter1d(sway[:, 1], smooth)


def _raise_brows(motion: Motion, times: np.ndarray, voice: Prosody) -> None:
    rise = gaussian_filter1d(voice.pitch.clip(0), 12) + 0.3 * (
        gaussian_filter1d(voice.loudness, 15) - gaussian_filter1d(voice.loudness, 100)
    ).clip(0)
    raised = np.interp(times, voice.times, BROW_TONE * rise).clip(0, 0.6)
    _set(motion.weights, "browInnerUp", raised)
    _set(motion.weights, "browOuterUp", 0.7 * raised)


def _breathe(motion: Motion, times: np.ndarray, voice: Prosody) -> None:
    """Before each phrase after a pause: lips part, the chest lifts the head, nostrils widen."""
    breath = np.zeros(len(times))
    for start, end in _runs(~voice.speech):
        begin, stop = voice.times[start], voice.times[end - 1]
        if stop - begin > BREATH and end < len(voice.times):
            length = min(stop - begin, 0.9)
            breath = np.maximum(breath, _smooth(1 - np.abs((times - (stop - length / 2)) / (length / 2))))
    _set(motion.weights, "jawOpen", 0.05 * breath)
    _set(motion.weights, "noseSneer", 0.05 * breath)
    motion.head[:, 0] -= np.deg2rad(0.8) * breath
    motion.translation[:, 1] += 0.0015 * breath


def _runs(flags: Bool[np.ndarray, " frame"]) -> list[tuple[int, int]]:
    """First frame of each run of True, and the frame after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _smooth(part: np.ndarray) -> np.ndarray:
    """From 0 at 0 to 1 at 1 without a jerk."""
    part = part.clip(0, 1)
    return part * part * (3 - 2 * part)
