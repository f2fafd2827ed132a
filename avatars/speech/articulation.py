"""From phones to what the mouth does: targets that speak at once, each with its dominance.

Cohen and Massaro, "Modeling coarticulation in synthetic visual speech" (1993): every phone s pulls each channel p to a
target T_sp with a dominance D_sp(t) = a_sp exp(-theta d), d being the time from the phone, and what is seen is
F_p(t) = sum_s D_sp(t) T_sp / sum_s D_sp(t). Contacts are no averages: lips that must meet do, so the two contact
channels are the strongest demand at each moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from avatars.speech.phones import LAUGHTER, SILENCE, Phone

CHANNELS = ("jaw", "pucker", "funnel", "spread", "upper", "lower", "tongue", "closure", "labiodental")
"""What an articulation says of each frame, from 0 to 1: the jaw's opening (1 is the shape jawOpen), lips pushed forward
round a narrow or a wide opening, drawn wide, upper lip raised, lower lip lowered, tongue between the teeth, and two
contacts: lip on lip, and lower lip on upper teeth."""
CONTACTS = 2
"""The last channels, for which the strongest demand counts."""
AHEAD, BEHIND = 13.0, 17.0
"""theta before and after a phone, 1/s: lips prepare for a sound longer than they linger."""
REACH = 0.45
"""Seconds beyond which a phone's dominance, under 0.3 %, is left out."""
CLOSING, OPENING = 0.07, 0.06
"""Seconds a contact takes to form and to break; lips move at 100-200 mm/s (Löfqvist and Gracco 1997)."""
HOLD = 0.05
"""Seconds a contact lasts at least: three frames of film, so that it is seen."""
REST = 0.15
"""Dominance of silence: speech on both sides of a short pause reaches into it."""


@dataclass(frozen=True)
class Gesture:
    """Targets of a phone by channel, and how much it insists on its jaw and on its lips."""

    jaw: float
    pucker: float = 0.0
    funnel: float = 0.0
    spread: float = 0.0
    upper: float = 0.0
    lower: float = 0.0
    tongue: float = 0.0
    closure: float = 0.0
    labiodental: float = 0.0
    jaw_dominance: float = 1.0
    lip_dominance: float = 1.0

    @property
    def targets(self) -> Float[np.ndarray, " channel"]:
        return np.array([getattr(self, name) for name in CHANNELS])

    @property
    def dominances(self) -> Float[np.ndarray, " channel"]:
        """Of the channels that are averages."""
        return np.array([self.jaw_dominance] + [self.lip_dominance] * (len(CHANNELS) - CONTACTS - 1))


_TONGUE_TIP = Gesture(0.1, lower=0.15, upper=0.05, jaw_dominance=0.6, lip_dominance=0.2)
_TONGUE_BACK = Gesture(0.16, lower=0.1, jaw_dominance=0.3, lip_dominance=0.15)
_HISS = Gesture(0.045, spread=0.2, lower=0.3, upper=0.15, jaw_dominance=1.5, lip_dominance=0.5)
_HUSH = Gesture(0.06, pucker=0.25, funnel=0.5, jaw_dominance=1.3, lip_dominance=1.4)
_LIPS = Gesture(0.06, closure=1.0, jaw_dominance=1.2, lip_dominance=0.4)
_LIP_TEETH = Gesture(0.07, upper=0.2, labiodental=1.0, jaw_dominance=1.2, lip_dominance=0.6)
_INTERDENTAL = Gesture(0.11, lower=0.2, upper=0.1, tongue=0.15, jaw_dominance=0.9, lip_dominance=0.4)
GESTURES: dict[str, tuple[Gesture, ...]] = {
    "AA": (Gesture(0.36, lower=0.15, upper=0.1),),
    "AE": (Gesture(0.32, spread=0.25, lower=0.25, upper=0.2),),
    "AH": (Gesture(0.22, lower=0.15, upper=0.08, lip_dominance=0.6),),
    "AO": (Gesture(0.30, pucker=0.15, funnel=0.4),),
    "EH": (Gesture(0.25, spread=0.2, lower=0.2, upper=0.15),),
    "ER": (Gesture(0.15, pucker=0.2, funnel=0.3),),
    "IH": (Gesture(0.15, spread=0.2, lower=0.2, upper=0.12, lip_dominance=0.7),),
    "IY": (Gesture(0.10, spread=0.4, lower=0.25, upper=0.15),),
    "UH": (Gesture(0.15, pucker=0.3, funnel=0.3),),
    "UW": (Gesture(0.09, pucker=0.85, funnel=0.2, lip_dominance=1.3),),
    **dict.fromkeys(("P", "B", "M"), (_LIPS,)),
    **dict.fromkeys(("F", "V"), (_LIP_TEETH,)),
    **dict.fromkeys(("TH", "DH"), (_INTERDENTAL,)),
    **dict.fromkeys(("T", "D", "N"), (_TONGUE_TIP,)),
    **dict.fromkeys(("K", "G", "NG"), (_TONGUE_BACK,)),
    **dict.fromkeys(("S", "Z"), (_HISS,)),
    **dict.fromkeys(("SH", "ZH", "CH", "JH"), (_HUSH,)),
    "HH": (Gesture(0.18, jaw_dominance=0.15, lip_dominance=0.1),),
    "L": (Gesture(0.16, lower=0.2, upper=0.1, jaw_dominance=0.7, lip_dominance=0.4),),
    "R": (Gesture(0.11, pucker=0.3, funnel=0.3, jaw_dominance=0.8),),
    "W": (Gesture(0.07, pucker=0.95, funnel=0.1, lip_dominance=1.6),),
    "Y": (Gesture(0.09, spread=0.3, lower=0.2, upper=0.1, jaw_dominance=0.8, lip_dominance=0.6),),
    LAUGHTER: (Gesture(0.16, spread=0.5, upper=0.25, lower=0.1),),
    SILENCE: (Gesture(0.0, jaw_dominance=REST, lip_dominance=REST),),
}
"""By phone; diphthongs have two gestures, one after the other. Openings follow measured English lips: widest for open
vowels, about a third of that for close ones, teeth nearly closed for sibilants (Montgomery and Jackson 1983). Laughter
keeps the mouth wide and half open, whatever is heard."""
GESTURES |= {
    "AW": (*GESTURES["AA"], *GESTURES["UH"]),
    "AY": (*GESTURES["AA"], *GESTURES["IH"]),
    "EY": (*GESTURES["EH"], *GESTURES["IY"]),
    "OW": (*GESTURES["AO"], *GESTURES["UW"]),
    "OY": (*GESTURES["AO"], *GESTURES["IH"]),
}


def articulation(
    phones: Sequence[Phone], times: Float[np.ndarray, " frame"], effort: Float[np.ndarray, " frame"]
) -> Float[np.ndarray, "frame channel"]:
    """CHANNELS at rising times (seconds) of what is said.

    Args:
        effort: how hard the person speaks at each time, 1 being as usual; it widens the opening, and leaves contacts.
    """
    averaged = len(CHANNELS) - CONTACTS
    pull, weight = np.zeros((len(times), averaged)), np.full((len(times), 1), 1e-6).repeat(averaged, 1)
    contact = np.zeros((len(times), CONTACTS))
    for gesture, start, end in _gestures(phones):
        here = slice(*np.searchsorted(times, (start - REACH, end + REACH)))
        before, after = np.maximum(start - times[here], 0), np.maximum(times[here] - end, 0)
        dominance = np.exp(-AHEAD * before - BEHIND * after)[:, None] * gesture.dominances
        pull[here] += dominance * gesture.targets[:averaged]
        weight[here] += dominance
        if gesture.closure or gesture.labiodental:
            demand = _held(times[here], start, end)[:, None] * gesture.targets[averaged:]
            contact[here] = np.maximum(contact[here], demand)
    moved = pull / weight
    moved[:, [CHANNELS.index(name) for name in ("jaw", "upper", "lower")]] *= effort[:, None]
    return np.concatenate([moved, contact], axis=1).clip(0, 1)


def _gestures(phones: Sequence[Phone]) -> list[tuple[Gesture, float, float]]:
    """Each gesture with its own part of its phone's time."""
    found = []
    for phone in phones:
        gestures = GESTURES.get(phone.name, GESTURES[SILENCE])
        edges = np.linspace(phone.start, phone.end, len(gestures) + 1)
        found += list(zip(gestures, edges[:-1], edges[1:], strict=True))
    return found


def _held(times: Float[np.ndarray, " frame"], start: float, end: float) -> Float[np.ndarray, " frame"]:
    """1 while a contact lasts, with smooth ramps (raised cosines) before and after."""
    slack = max(0.0, HOLD - (end - start)) / 2
    before, after = (start - slack - times) / CLOSING, (times - end - slack) / OPENING
    return 0.5 + 0.5 * np.cos(np.pi * np.maximum(before, after).clip(0, 1))
