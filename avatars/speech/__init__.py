"""A voice drives a head: from sound to a Performance.

`speak` does it all; `SpeechStream` is for speech that is still going on.
"""

from avatars.speech.articulation import CHANNELS, articulation
from avatars.speech.emotion import EMOTIONS
from avatars.speech.learned import SpeechStream
from avatars.speech.phones import Phone, aligned_phones, decoded_phones
from avatars.speech.sound import RATE, load_sound
from avatars.speech.speaking import speak

__all__ = [
    "CHANNELS",
    "EMOTIONS",
    "RATE",
    "Phone",
    "SpeechStream",
    "aligned_phones",
    "articulation",
    "decoded_phones",
    "load_sound",
    "speak",
]
