"""A voice drives a head: speed (of one core), contacts of the lips on a voice never learned from, a filmed speaker.

Contacts are measured on the default head's mesh, phone by phone, on sentences of a flite voice, which says what it
speaks when (`flite` must be installed). A lip contact counts as made if somewhere within the phone the gap that is seen
from the front is at most LIPS_CLOSED, a tooth contact if the lower lip's rim reaches the edge of the upper incisors.
The filmed speaker is FACE3D_TALK (a video with sound), else a clip looked for beside the repository; his mouth is
measured by MediaPipe. Silent where either is absent.
"""

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import Bool, Float

import morphable
from assets.speech_motion.voices import HELD_OUT, Utterance, flite
from avatars.speech import RATE, Phone, SpeechStream, articulation, decoded_phones, load_sound, speak
from avatars.speech.articulation import CONTACTS
from avatars.speech.contact import Mouth, default_lips
from avatars.speech.face import mouth_weights
from avatars.speech.learned import HOP, LOOK_AHEAD, WINDOW, heard_articulation
from avatars.speech.prosody import prosody
from avatars.speech.speaking import content, learned_articulation
from benchmarks.timing import figure
from face3d.perception import MediaPipeDetector
from morphable import ARKIT_NAMES

CLIP = Path(os.environ.get("FACE3D_TALK", Path(__file__).parents[2] / "shared/data/videos/talk_show_talking.mp4"))
SENTENCES = (
    "Bob put more pepper on my favourite five muffins before the bumpy boat moved away.",
    "Maybe people from Vermont prefer very fresh vegetables and warm maple syrup for breakfast.",
    "The number of problems we have been having with computers is a bit embarrassing, but you may be fine.",
    "Every morning a famous painter fed his pet monkey above the village pub and hoped for a miracle.",
    "If five of them leave by bus, the remaining members of the family may prefer a private van.",
    "Give me a full box of soft brown bread, some beef and a bottle of plum jam, please.",
)
BILABIALS, LABIODENTALS = ("P", "B", "M"), ("F", "V")
OPEN_VOWELS = ("AA", "AE", "AH", "AO", "AY", "AW", "EH", "EY", "OW")
VOWEL_EDGE = 0.03
"""Seconds."""
LIPS_CLOSED = 0.0005
"""Metres."""
SLACK = 0.01
"""Seconds around a phone in which its contact may be made."""
FPS = 60
LAGS = np.arange(-0.04, 0.041, 0.01)
OPEN_ABOVE, OPEN_BELOW, EYE_RIGHT, EYE_LEFT = 13, 14, 33, 263
"""MediaPipe's landmarks: the lips' inner rims, the eyes' outer corners."""


def figures() -> Iterator[dict]:
    if shutil.which("flite"):
        chance = random.Random(0)
        spoken = [(flite(HELD_OUT, text, chance), text) for text in SENTENCES]
        yield from _contacts(spoken)
        yield from _speeds([utterance for utterance, _ in spoken])
    if CLIP.exists():
        yield from _filmed()


def _contacts(spoken: list[tuple[Utterance, str]]) -> Iterator[dict]:
    for way in ("true phones", "text", "sound", "decoded phones", "learned"):
        mouths = [(utterance.phones, *_posed(_said(way, utterance, text))) for utterance, text in spoken]
        lips = [hit for phones, gap, _ in mouths for hit in _made(phones, BILABIALS, gap <= LIPS_CLOSED)]
        teeth = [hit for phones, _, gap in mouths for hit in _made(phones, LABIODENTALS, gap <= 0)]
        shut = [shut for phones, gap, _ in mouths for shut in _within_vowels(phones, gap <= LIPS_CLOSED)]
        name = way.replace(" ", "_")
        yield figure(f"lips_closed_on_p_b_m_{name}", 100 * np.mean(lips), f"% of {len(lips)}")
        yield figure(f"lips_closed_in_vowels_{name}", 100 * np.mean(shut), "% of the time")
        yield figure(f"lip_on_teeth_on_f_v_{name}", 100 * np.mean(teeth), f"% of {len(teeth)}")


def _said(way: str, utterance: Utterance, text: str) -> Float[np.ndarray, "frame channel"]:
    sound = utterance.sound
    times = np.arange(round(len(sound) / RATE * FPS)) / FPS
    voice = prosody(sound)
    return {
        "true phones": lambda: articulation(utterance.phones, times, voice.effort(times)),
        "text": lambda: content(sound, times, voice, text),
        "sound": lambda: content(sound, times, voice),
        "decoded phones": lambda: articulation(decoded_phones(sound), times, voice.effort(times)),
        "learned": lambda: learned_articulation(sound, times),
    }[way]()


def _posed(said: Float[np.ndarray, "frame channel"]) -> tuple[np.ndarray, np.ndarray]:
    """The gap between the lips and that between lower lip and upper teeth in each frame, metres."""
    model = morphable.load()
    mouth, identity = Mouth.of(model), torch.zeros(1, model.identities)
    weights = default_lips().brought_together(mouth_weights(said), *said[:, -CONTACTS:].T)
    offsets = torch.tensordot(torch.from_numpy(weights).float(), model.expressions(identity)[0], 1)
    vertices = (model.neutral(identity) + offsets).numpy()
    return mouth.gap(vertices), mouth.tooth_gap(vertices)


def _made(phones: list[Phone], names: tuple[str, ...], contact: Bool[np.ndarray, " frame"]) -> Iterator[bool]:
    """Whether each phone of these names has its contact."""
    times = np.arange(len(contact)) / FPS
    for phone in phones:
        if phone.name in names:
            yield bool(contact[(times >= phone.start - SLACK) & (times <= phone.end + SLACK)].any())


def _within_vowels(phones: list[Phone], contact: Bool[np.ndarray, " frame"]) -> Iterator[bool]:
    """Each frame within an open vowel, its edges left out."""
    times = np.arange(len(contact)) / FPS
    for phone in phones:
        if phone.name in OPEN_VOWELS:
            yield from contact[(times >= phone.start + VOWEL_EDGE) & (times <= phone.end - VOWEL_EDGE)].tolist()


def _speeds(spoken: list[Utterance]) -> Iterator[dict]:
    sound = np.concatenate([utterance.sound for utterance in spoken])
    seconds = len(sound) / RATE
    ways = {
        "decoded_phones": lambda: decoded_phones(sound),
        "learned": lambda: heard_articulation(sound),
        "whole_performance": lambda: speak(sound),
    }
    heard_articulation(sound[:RATE])
    for name, action in ways.items():
        start = time.process_time()
        action()
        yield figure(f"speech_{name}", seconds / (time.process_time() - start), "times real time")
    stream, slowest = SpeechStream(), 0.0
    for first in range(0, len(sound), HOP):
        start = time.process_time()
        stream.push(sound[first : first + HOP])
        slowest = max(slowest, time.process_time() - start)
    behind = (LOOK_AHEAD * HOP + WINDOW // 2 + HOP) / RATE
    yield figure("speech_behind", 1000 * behind, "ms")
    yield figure("speech_slowest_piece_of_10_ms", 1000 * slowest, "ms")


def _filmed() -> Iterator[dict]:
    times, opening, jaw = _filmed_mouth()
    performance = speak(load_sound(CLIP))
    ours = performance.weights[:, ARKIT_NAMES.index("jawOpen")]
    gap = performance.weights @ default_lips().gap
    loudness = prosody(load_sound(CLIP))
    for name, seen in (("opening", opening), ("jaw", jaw)):
        yield figure(f"filmed_{name}_against_lip_gap", _agreement(times, seen, performance.times, gap), "correlation")
        yield figure(f"filmed_{name}_against_jaw", _agreement(times, seen, performance.times, ours), "correlation")
        loud = _agreement(times, seen, loudness.times, loudness.loudness)
        yield figure(f"filmed_{name}_against_loudness", loud, "correlation")


def _filmed_mouth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, the lips' opening over the distance between the eyes, and the score of jawOpen, of frames with a face."""
    rows = []
    with MediaPipeDetector() as detector, av.open(str(CLIP)) as container:
        box = None
        for frame in container.decode(video=0):
            pixels = frame.to_ndarray(format="rgb24")
            face = None if box is None else detector.measure(pixels, box)
            face = face or next(iter(detector.detect(pixels)), None)
            if face is None:
                continue
            box, points = face.box, face.landmarks[:, :2]
            opening = np.linalg.norm(points[OPEN_ABOVE] - points[OPEN_BELOW])
            eyes = np.linalg.norm(points[EYE_RIGHT] - points[EYE_LEFT])
            rows.append((frame.time, opening / eyes, face.expression_scores["jawOpen"]))
    times, opening, jaw = np.array(rows).T
    return times, opening, jaw


def _agreement(times: np.ndarray, seen: np.ndarray, ours_at: np.ndarray, ours: np.ndarray) -> float:
    """The best correlation at a lag of LAGS."""
    return max(float(np.corrcoef(seen, np.interp(times - lag, ours_at, ours))[0, 1]) for lag in LAGS)
