"""English words out of written text, and how to say those that no dictionary has."""

from __future__ import annotations

import re
import unicodedata

UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred"))
LETTERS = {
    **{"tch": "CH", "sch": "SH", "igh": "AY", "eau": "OW", "ough": "AO", "tion": "SH AH N", "sion": "ZH AH N"},
    **{"ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "ng": "NG", "qu": "K W", "kn": "N"},
    **{"wr": "R", "gh": "G", "oo": "UW", "ee": "IY", "ea": "IY", "ie": "IY", "ai": "EY", "ay": "EY", "ei": "EY"},
    **{"oa": "OW", "ou": "AW", "ow": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "ue": "UW", "ew": "UW"},
    **{"er": "ER", "ir": "ER", "ur": "ER", "ar": "AA R", "or": "AO R", "a": "AE", "b": "B", "c": "K", "d": "D"},
    **{"e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N"},
    **{"o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S"},
    **{"y": "IY", "z": "Z"},
}
"""What letters usually sound like in English; longer groups are read first."""


def words_of(text: str) -> list[str]:
    """Lower-case words in the spelling of the CMU dictionary; whole numbers are read out, other signs are passed over.

    >>> words_of("It's 42 degrees — naïve!")
    ["it's", 'forty', 'two', 'degrees', 'naive']
    """
    plain = (
        unicodedata.normalize("NFKD", text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
        .encode("ascii", "ignore")
        .decode()
        .lower()
    )
    found = re.findall(r"[a-z]+(?:'[a-z]+)*'?|\d+", re.sub(r"(?<=\d),(?=\d{3})", "", plain))
    return [word for item in found for word in (_number(item) if item[0].isdigit() else [item.rstrip("'")])]


def pronunciation(word: str) -> list[str]:
    """A guess at a word's phones from its letters; doubled consonants sound once, a final e after one is mute.

    >>> pronunciation("blorpshine")
    ['B', 'L', 'AO', 'R', 'P', 'SH', 'IH', 'N']
    """
    letters = re.sub(r"([b-df-hj-np-tv-z])\1", r"\1", re.sub("[^a-z]", "", word))
    letters = re.sub(r"(?<=[aeiouy][b-df-hj-np-tv-z])e$", "", letters)
    groups = re.findall("|".join(sorted(LETTERS, key=len, reverse=True)), letters)
    return [phone for group in groups for phone in LETTERS[group].split()]


def _number(digits: str) -> list[str]:
    """Up to billions as a number, else digit by digit."""
    if len(digits) > 12 or (digits[0] == "0" and len(digits) > 1):
        return [UNITS[int(digit)] for digit in digits]
    number = int(digits)
    for size, name in SCALES:
        if number >= size:
            rest = number % size
            return [*_number(str(number // size)), name, *(_number(str(rest)) if rest else [])]
    if number < len(UNITS):
        return [UNITS[number]]
    tens, unit = divmod(number, 10)
    return [TENS[tens - 2], *([UNITS[unit]] if unit else [])]
