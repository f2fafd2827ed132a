"""Which phone sounds when: forced alignment to words, or phone decoding without them, by PocketSphinx.

Phones are those of the CMU dictionary: ARPAbet without stress, and SIL. PocketSphinx carries its acoustic model
(en-US) and a dictionary; what is spoken in another language is heard as the nearest English phones.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pocketsphinx
from jaxtyping import Float
from pocketsphinx import Decoder

from avatars.speech.sound import RATE
from avatars.speech.spelling import pronunciation, words_of

SILENCE, LAUGHTER = "SIL", "LAUGH"
BURSTS = 4
"""Aspirated vowels in a row, nothing between them, that are laughter: hahaha. Words hold fewer."""
PHONES = frozenset(
    ("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K")
    + ("L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH")
)
FRAME, MIDDLE = 0.01, 0.008
"""Seconds from one frame of the decoder to the next, and from its start to where a boundary is heard: on speech of
known timing, boundaries were found that much early."""
HISS = 1e-3
"""Amplitude of the noise that is added: digital silence is nothing that the decoder's model has heard."""
MARGIN = 0.25
"""Seconds."""
LOUD = 0.3
"""Root mean square that the decoder is given: its model was learned from voices about this loud."""


BEAMS = (1e-48, 1e-64)
"""Tried in turn until every word is found; a wider beam can fail where a narrower one does not."""
NARROW = 1e-6
"""Beam of phone decoding: half as slow again without it, and no phone better."""
FILLERS = "<[+"
"""What the names of silences and noises start with."""
PHONE_MARK = "_"
"""A phone is aligned as a word of its own, so marked: PocketSphinx's own alignment of states (`set_alignment`) dies on
some sentences, this does not, and boundaries are as good (90 % within 25 ms on speech of known timing)."""


@dataclass(frozen=True)
class Phone:
    """A speech sound: its ARPAbet name, and when it starts and ends, seconds."""

    name: str
    start: float
    end: float


def aligned_phones(sound: Float[np.ndarray, " sample"], text: str) -> list[Phone]:
    """The phones of known words, in their order, laid over RATE samples a second of sound without gaps.

    Raises:
        ValueError: there are no words in the text, or they do not fit the sound.
    """
    words = words_of(text)
    if not words:
        raise ValueError("the text has no words that can be spoken in English; leave it out to go by the sound alone")
    for beam in BEAMS:
        phones = _searched(sound, words, beam)
        if phones:
            return phones
    raise ValueError("the text does not fit the sound; give the words as spoken, or leave them out")


def decoded_phones(sound: Float[np.ndarray, " sample"]) -> list[Phone]:
    """The phones heard in RATE samples a second of sound, without gaps."""
    model = Path(pocketsphinx.get_model_path()) / "en-us" / "en-us-phone.lm.bin"
    decoder = Decoder(lm=None, allphone=str(model), lw=1.0, beam=NARROW, pbeam=NARROW, loglevel="FATAL")
    _decode(decoder, sound)
    found = ((segment.word, segment.start_frame, segment.end_frame + 1) for segment in decoder.seg() or ())
    return _phones(found, len(sound))


def with_laughter(phones: Sequence[Phone], vowels: Collection[str]) -> list[Phone]:
    """The phones, each run of at least BURSTS times HH and vowels (and silence) alone being one LAUGHTER."""
    found: list[Phone] = []
    for aspirated, run in groupby(phones, lambda phone: phone.name in vowels or phone.name in ("HH", SILENCE)):
        burst = list(run)
        breaths = [index for index, phone in enumerate(burst) if phone.name == "HH"] if aspirated else []
        if len(breaths) < BURSTS:
            found += burst
            continue
        first, last = breaths[0], min(breaths[-1] + 1, len(burst) - 1)
        laugh = Phone(LAUGHTER, burst[first].start, burst[last].end)
        found += [*burst[:first], laugh, *burst[last + 1 :]]
    return found


def _searched(sound: Float[np.ndarray, " sample"], words: list[str], beam: float) -> list[Phone]:
    """The phones of the words' best pronunciations, laid over the sound; nothing if the search lost its way."""
    decoder = Decoder(lm=None, loglevel="FATAL", beam=beam, pbeam=beam)
    for word in words:
        if decoder.lookup_word(word) is None:
            decoder.add_word(word, " ".join(pronunciation(word)), True)
    said = [word for word, _, _ in _aligned(decoder, sound, words) if word[0] not in FILLERS]
    if [re.sub(r"\(\d+\)$", "", word) for word in said] != words:
        return []
    names = [phone for word in said for phone in decoder.lookup_word(word).split()]
    for name in {*names, SILENCE}:
        decoder.add_word(name + PHONE_MARK, name, True)
    phones = _phones(_aligned(decoder, sound, [name + PHONE_MARK for name in (*names, SILENCE)]), len(sound))
    return phones if [phone.name for phone in phones if phone.name != SILENCE] == names else []


def _aligned(decoder: Decoder, sound: Float[np.ndarray, " sample"], words: list[str]) -> list[tuple[str, int, int]]:
    """Each word (or filler) as it was said, its first frame, and the frame after its last."""
    decoder.set_align_text(" ".join(words))
    try:
        _decode(decoder, sound)
    except RuntimeError:  # no path through the words reaches the end
        return []
    return [(segment.word, segment.start_frame, segment.end_frame + 1) for segment in decoder.seg() or ()]


def _decode(decoder: Decoder, sound: Float[np.ndarray, " sample"]) -> None:
    """The sound as loud as the decoder likes it, between short pauses, without which it loses the last phone."""
    loudness, peak = float(np.sqrt(np.mean(np.square(sound)))), float(np.abs(sound).max())
    samples = np.pad(sound * min(LOUD / max(loudness, 1e-6), 0.99 / max(peak, 1e-6)), round(MARGIN * RATE))
    samples = samples + HISS * np.random.default_rng(0).uniform(-1, 1, len(samples))
    decoder.start_utt()
    decoder.process_raw((samples * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()


def _phones(frames: Iterable[tuple[str, int, int]], length: int) -> list[Phone]:
    """Those within so many samples of sound; fillers (breath, noise) count as silence."""

    def seconds(frame: int) -> float:
        return min(max(0.0, frame * FRAME + MIDDLE - MARGIN), length / RATE)

    bare = ((word.removesuffix(PHONE_MARK), seconds(start), seconds(end)) for word, start, end in frames)
    return [Phone(name if name in PHONES else SILENCE, start, end) for name, start, end in bare if end > start]
