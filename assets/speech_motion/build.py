"""Learn to hear articulation: `python -m assets.speech_motion.build`, about half an hour on one core.

It needs `flite`, `libespeak-ng1` (Debian packages) and `hibari-tts` (the extra build-assets).
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from assets.speech_motion.learning import learned
from assets.speech_motion.voices import ESPEAK_VARIANTS, FLITE, HELD_OUT, Utterance, espeak, flite, hibari, sentences
from avatars.speech.articulation import CHANNELS, articulation
from avatars.speech.learned import HOP, Listener, heard_articulation
from avatars.speech.prosody import prosody
from avatars.speech.sound import RATE

ROUNDS, HELD_OUT_SENTENCES, SEED = 200, 40, 1
"""In a round every flite voice and half of espeak-ng's speak once, the neural voice three times."""
NEURAL = 3
SECONDS = 1500
"""Spent on learning, after five minutes of speaking."""
LONGEST = 20.0
"""Seconds; what takes longer went wrong."""


def build(path: Path) -> None:
    torch.set_num_threads(1)
    spoken = [utterance for utterance in said(ROUNDS, SEED) if len(utterance.sound) < LONGEST * RATE]
    minutes = sum(len(utterance.sound) for utterance in spoken) / RATE / 60
    print(json.dumps({"utterances": len(spoken), "minutes": minutes}), flush=True)
    listener = learned(spoken, SECONDS, SEED)
    save_file(listener.state_dict(), path)
    print(json.dumps({"correlation on the held-out voice": agreement(listener)}))


def said(rounds: int, seed: int) -> Iterator[Utterance]:
    """Speech to learn from."""
    chance, texts = random.Random(seed), sentences(seed)
    for turn in range(rounds):
        for voice in FLITE:
            yield flite(voice, next(texts), chance)
        for number in range(turn % 2, len(ESPEAK_VARIANTS), 2):
            yield espeak(number, next(texts), chance)
        for text in (next(texts) for _ in range(NEURAL)):
            try:
                yield hibari(text, chance)
            except ValueError:
                continue


def agreement(listener: Listener) -> dict[str, float]:
    """Correlation with the articulation of the true phones, by channel, on a voice and sentences never heard."""
    chance, texts = random.Random(SEED + 1), sentences(SEED + 1)
    heard, true = [], []
    for _ in range(HELD_OUT_SENTENCES):
        utterance = flite(HELD_OUT, next(texts), chance)
        heard.append(heard_articulation(utterance.sound, listener))
        times = np.arange(len(heard[-1])) * HOP / RATE
        true.append(articulation(utterance.phones, times, prosody(utterance.sound).effort(times)))
    pairs = zip(np.concatenate(heard).T, np.concatenate(true).T, CHANNELS, strict=True)
    return {name: round(float(np.corrcoef(a, b)[0, 1]), 3) for a, b, name in pairs}


if __name__ == "__main__":
    build(Path(__file__).parent / "speech_motion.safetensors")
