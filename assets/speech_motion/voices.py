"""Synthetic speech whose phones are known, from programs that only building needs.

| voices | from | how the phones are known |
|---|---|---|
| kal16, awb, slt, rms | `flite` (Debian; BSD-like licences) | flite says how long each lasts |
| 13 variants in 9 languages | `libespeak-ng1` (Debian; GPL, which does not reach what it says) | its phoneme events |
| heart | `hibari-tts` (PyPI; Apache-2.0), a neural voice | the words are aligned to the sound |
"""

from __future__ import annotations

import ctypes
import io
import random
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pocketsphinx
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from jaxtyping import Float

from avatars.speech.phones import SILENCE, Phone, aligned_phones
from avatars.speech.sound import RATE, load_sound

FLITE = ("kal16", "awb", "slt")
HELD_OUT = "rms"
"""A flite voice that learning never hears."""
ESPEAK_LANGUAGES = (
    "en-us",
    "en",
    "en-us",
    "en-gb-scotland",
    "en-us",
    "de",
    "fr",
    "es",
    "it",
    "pl",
    "nl",
    "pt-br",
    "en-us",
)
ESPEAK_VARIANTS = ("m1", "m3", "f2", "f3", "m4", "f1", "m7", "f4", "m2", "f5", "m5", "klatt", "klatt4")
FRAMES = (
    *("the {} and the {} were {} before my {}", "we have {} of {}, but {} for {}", "{} {} and {} {}"),
    *("maybe {} made him {} the {}", "what if {} is {}?", "{}! you've been {} from {} above {}", "{} or {}, {} in {}"),
)
PAUSE = 0.06
"""Seconds. What espeak-ng leaves unnamed for less lengthens the phone before it (a geminate, a vowel)."""
FLITE_NAMES = {"AX": "AH", "PAU": SILENCE}
IPA = {
    **{"p": "P", "b": "B", "m": "M", "f": "F", "v": "V", "t": "T", "d": "D", "n": "N", "k": "K", "ɡ": "G", "g": "G"},
    **{"ŋ": "NG", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "θ": "TH", "ð": "DH", "l": "L", "r": "R", "ɹ": "R"},
    **{"ɾ": "D", "w": "W", "j": "Y", "h": "HH", "x": "HH", "ç": "SH", "ʔ": "HH", "ʁ": "R", "ʀ": "R", "ɲ": "N"},
    **{"ʎ": "Y", "β": "V", "ɣ": "G", "ʋ": "V", "ɕ": "SH", "ʑ": "ZH", "ʂ": "SH", "ʐ": "ZH", "ɭ": "L", "ɫ": "L"},
    **{"a": "AA", "ɑ": "AA", "ɒ": "AA", "æ": "AE", "ɐ": "AH", "ə": "AH", "ʌ": "AH", "ᵻ": "IH", "ɪ": "IH", "i": "IY"},
    **{
        "e": "EY",
        "ɛ": "EH",
        "ɜ": "ER",
        "ɚ": "ER",
        "ɔ": "AO",
        "o": "OW",
        "ʊ": "UH",
        "u": "UW",
        "ʉ": "UW",
        "y": "UW",
        "ʏ": "UH",
    },
    **{"ø": "ER", "œ": "ER", "ɨ": "IH", "ɵ": "OW", "ɥ": "W", "ɱ": "M", "ʤ": "JH", "ʧ": "CH", "ɬ": "L", "c": "K"},
}
"""The English phone whose lips are nearest to a symbol's of the International Phonetic Alphabet."""
AFFRICATES = {
    "tʃ": "CH",
    "dʒ": "JH",
    "tɕ": "CH",
    "dʑ": "JH",
    "aɪ": "AY",
    "aʊ": "AW",
    "ɔɪ": "OY",
    "eɪ": "EY",
    "oʊ": "OW",
}


@dataclass(frozen=True)
class Utterance:
    """Something said: RATE samples a second, its phones without gaps, and who said it."""

    sound: Float[np.ndarray, " sample"]
    phones: list[Phone]
    voice: str


def sentences(seed: int) -> Iterator[str]:
    """Sentences without end and without sense: dictionary words in English frames."""
    chance = random.Random(seed)
    words = _words()
    while True:
        frame = chance.choice(FRAMES)
        yield frame.format(*chance.choices(words, k=frame.count("{}")))


def flite(voice: str, text: str, chance: random.Random) -> Utterance:
    """Said by flite at a rate and a pitch of its own."""
    pace = chance.uniform(0.75, 1.25)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        settings = ["--setf", f"duration_stretch={pace:.3f}"]
        command = ["flite", "-voice", voice, *settings, "-psdur", "-t", text, "-o", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        sound = load_sound(path)
    names, ends = zip(*(item.split(":") for item in said.split()), strict=True)
    edges = [0.0, *(float(end) for end in ends)]
    upper = [FLITE_NAMES.get(name.upper(), name.upper()) for name in names]
    return Utterance(sound, [Phone(*phone) for phone in zip(upper, edges, edges[1:], strict=False)], voice)


def espeak(voice: int, text: str, chance: random.Random) -> Utterance:
    """Said by espeak-ng: the variant and language of that number."""
    said = f"{ESPEAK_LANGUAGES[voice]}+{ESPEAK_VARIANTS[voice]}"
    samples, events = _espeak().say(said, text, chance.randrange(130, 210), chance.randrange(25, 80))
    sound = resampled(samples, _espeak().rate)
    length = len(sound) / RATE
    starts = [min(start, length) for _, start in events] + [length]
    heard = [_english(symbol) for symbol, _ in events]
    phones: list[Phone] = []
    for name, start, end in zip(heard, starts, starts[1:], strict=False):
        if name == SILENCE and phones and end - start < PAUSE:
            name, start = phones[-1].name, phones.pop().start
        if end > start:
            phones.append(Phone(name, start, end))
    return Utterance(sound, phones, f"espeak {said}")


def hibari(text: str, chance: random.Random) -> Utterance:
    """Said by the neural voice; raises ValueError where the words cannot be aligned."""
    sound = resampled(_hibari()(text, speed=chance.uniform(0.8, 1.25), seed=chance.randrange(10**6)), 24_000)
    return Utterance(sound, aligned_phones(sound, text), "hibari heart")


def resampled(samples: Float[np.ndarray, " sample"], rate: int) -> Float[np.ndarray, " sample"]:
    """At RATE samples a second."""
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], dtype=np.float32), "flt", "mono")
    frame.sample_rate = rate
    resampler = AudioResampler("flt", "mono", RATE)
    return np.concatenate([f.to_ndarray()[0] for f in [*resampler.resample(frame), *resampler.resample(None)]])


@cache
def _words() -> list[str]:
    dictionary = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    lines = io.StringIO(dictionary.read_text(encoding="utf-8"))
    return [word for word in (line.split()[0] for line in lines) if word.isalpha() and 2 < len(word) < 11]


@cache
def _hibari():
    from hibari import Hibari

    return Hibari()


def _english(symbol: str) -> str:
    bare = symbol.strip("ˈˌːʲˑ̩̃ ")
    return AFFRICATES.get(bare[:2]) or IPA.get(bare[:1], SILENCE)


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    class _Id(ctypes.Union):
        _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))

    _fields_ = (
        *(("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int)),
        *(("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int)),
        *(("user_data", ctypes.c_void_p), ("id", _Id)),
    )


class _Espeak:
    """The library, started once a process."""

    SYNCHRONOUS, PHONEME_EVENTS, PHONEME_IPA, PHONEME, UTF8, RATE_WPM, PITCH = 2, 1, 2, 7, 1, 1, 3
    CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self._library.espeak_Initialize(self.SYNCHRONOUS, 0, None, self.PHONEME_EVENTS | self.PHONEME_IPA)
        self._callback = self.CALLBACK(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, voice: str, text: str, pace: int, pitch: int) -> tuple[np.ndarray, list[tuple[str, float]]]:
        """Samples at `rate`, and phonemes with the seconds at which they start."""
        self._samples: list[np.ndarray] = []
        self._phonemes: list[tuple[str, float]] = []
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice}")
        self._library.espeak_SetParameter(self.RATE_WPM, pace, 0)
        self._library.espeak_SetParameter(self.PITCH, pitch, 0)
        encoded = text.encode() + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, self.UTF8, None, None)
        return np.concatenate(self._samples).astype(np.float32) / 32768, self._phonemes

    def _hear(self, samples, count: int, events) -> int:
        if samples and count:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == self.PHONEME:
                symbol = events[i].id.string.decode("utf-8", "ignore")
                self._phonemes.append((symbol, events[i].audio_position / 1000))
            i += 1
        return 0


_espeak = cache(_Espeak)
