"""What a mouth does to say something: phones, their articulation, and lips that touch.

`spoken.ogg` is a flite voice (rms) saying TEXT; PHONES are what flite says it spoke, with the end of each in seconds.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import morphable
from avatars.speech import CHANNELS, RATE, Phone, SpeechStream, aligned_phones, articulation, decoded_phones, load_sound
from avatars.speech.contact import Mouth, default_lips
from avatars.speech.face import mouth_weights
from avatars.speech.learned import heard_articulation
from avatars.speech.phones import LAUGHTER, with_laughter
from avatars.speech.prosody import prosody
from avatars.speech.speaking import VOWELS
from avatars.speech.spelling import pronunciation, words_of
from morphable import ARKIT_NAMES

TEXT = "Bob put five maps above the pub, but who moved my van?"
PHONES = (
    "SIL:0.151 B:0.228 AA:0.369 B:0.408 P:0.532 UH:0.592 T:0.645 F:0.815 AY:1.055 V:1.124 M:1.226 AE:1.374 P:1.473 "
    "S:1.607 AH:1.653 B:1.731 AH:1.829 V:1.878 DH:1.921 AH:1.959 P:2.099 AH:2.288 B:2.451 SIL:2.554 B:2.654 AH:2.744 "
    "T:2.801 HH:2.857 UW:2.906 M:2.986 UW:3.153 V:3.268 D:3.310 M:3.411 AY:3.568 V:3.666 AE:3.958 N:4.114 SIL:4.294"
)
BILABIALS, LABIODENTALS = ("P", "B", "M"), ("F", "V")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return load_sound(Path(__file__).parent / "spoken.ogg")


@pytest.fixture(scope="module")
def spoken() -> list[Phone]:
    ends = [(name, float(end)) for name, end in (item.split(":") for item in PHONES.split())]
    starts = [0.0, *(end for _, end in ends)]
    return [Phone(name, start, end) for (name, end), start in zip(ends, starts, strict=False)]


@pytest.fixture(scope="module")
def posed():
    """Vertices of the default head under weights, and its mouth's measures."""
    model = morphable.load()
    identity = torch.zeros(1, model.identities)
    neutral, shapes = model.neutral(identity)[0].numpy(), model.expressions(identity)[0].numpy()
    return Mouth.of(model), lambda weights: neutral + np.tensordot(weights, shapes, 1)


def within(phones: list[Phone], names: tuple[str, ...], times: np.ndarray, contact: np.ndarray) -> np.ndarray:
    """Whether the contact is made while each phone of these names lasts."""
    return np.array(
        [contact[(times >= p.start - 0.01) & (times <= p.end + 0.01)].any() for p in phones if p.name in names]
    )


def test_text_is_read_as_it_is_spoken() -> None:
    assert words_of("Dr. O'Neil\N{RIGHT SINGLE QUOTATION MARK}s 1,205 cats — naïve!") == [
        *("dr", "o'neil's", "one", "thousand", "two", "hundred", "five", "cats", "naive")
    ]
    assert words_of("007 … ☃") == ["zero", "zero", "seven"]
    assert pronunciation("blorpshine") == ["B", "L", "AO", "R", "P", "SH", "IH", "N"]


def test_known_words_are_found_in_time(sound: np.ndarray, spoken: list[Phone]) -> None:
    found = aligned_phones(sound, TEXT)
    names = [phone.name for phone in found if phone.name != "SIL"]
    assert names == [phone.name for phone in spoken if phone.name != "SIL"]
    off = [
        abs(a.start - b.start)
        for a, b in zip(*([p for p in phones if p.name != "SIL"] for phones in (found, spoken)), strict=True)
    ]
    assert np.median(off) < 0.012 and np.percentile(off, 90) < 0.03
    assert all(a.end == b.start for a, b in pairwise(found))
    assert found[-1].end <= len(sound) / RATE


def test_unknown_words_are_spoken_by_their_letters(sound: np.ndarray) -> None:
    found = aligned_phones(sound, TEXT.replace("moved", "moovd"))
    assert [phone.name for phone in found].count("V") == 4


def test_words_that_do_not_fit_are_refused(sound: np.ndarray) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        aligned_phones(sound[:RATE], TEXT * 3)
    with pytest.raises(ValueError, match="no words"):
        aligned_phones(sound, "… 日本語 …")


def test_without_words_most_contacts_are_heard(sound: np.ndarray, spoken: list[Phone]) -> None:
    heard = decoded_phones(sound)
    times = np.arange(430) / 100
    for names, part in ((BILABIALS, 0.85), (LABIODENTALS, 0.75)):
        contact = np.zeros(len(times), bool)
        for phone in heard:
            contact |= (phone.name in names) & (times >= phone.start) & (times < phone.end)
        assert within(spoken, names, times, contact).mean() >= part


def test_lips_and_teeth_touch_on_the_mesh(spoken: list[Phone], posed) -> None:
    mouth, vertices = posed
    times = np.arange(0, 4.29, 1 / 60)
    said = articulation(spoken, times, np.full(len(times), 1.3))
    weights = default_lips().brought_together(mouth_weights(said), said[:, -2], said[:, -1])
    shaped = vertices(weights)
    assert within(spoken, BILABIALS, times, mouth.gap(shaped) < 0.0005).all()
    assert within(spoken, LABIODENTALS, times, mouth.tooth_gap(shaped) <= 0).all()
    assert within(spoken, ("AA", "AE", "AY"), times, mouth.gap(shaped) > 0.005).all()
    assert mouth.gap(shaped).min() > -0.0015  # lips press on each other, they do not pass through


def test_any_mixture_of_shapes_can_be_closed(posed) -> None:
    mouth, vertices = posed
    random = np.random.default_rng(0)
    largest = {"jawOpen": 0.5, "mouthFunnel": 0.5, "mouthPucker": 0.6, "jawForward": 0.2, "tongueOut": 0.1}
    largest |= {f"mouth{name}{side}": 0.6 for name in ("Smile", "UpperUp", "LowerDown") for side in ("Left", "Right")}
    weights = np.zeros((100, 52))
    for name, most in largest.items():
        weights[:, ARKIT_NAMES.index(name)] = random.uniform(0, most, 100)
    closed = default_lips().brought_together(weights, np.ones(100), np.zeros(100))
    assert np.median(mouth.gap(vertices(weights))) > 0.008
    assert mouth.gap(vertices(closed)).max() < 0.0005
    assert closed.min() >= 0 and closed.max() <= 1


def test_laughter_is_told_from_words() -> None:
    def phones(*names: str) -> list[Phone]:
        return [Phone(name, 0.1 * index, 0.1 * index + 0.1) for index, name in enumerate(names)]

    laugh = with_laughter(phones("S", "OW", *["HH", "AA"] * 5, "SIL", "T"), VOWELS)
    assert [phone.name for phone in laugh] == ["S", "OW", LAUGHTER, "SIL", "T"]
    assert (laugh[2].start, laugh[2].end) == pytest.approx((0.2, 1.2))
    words = phones("HH", "AW", "HH", "IY", "HH", "AE", "D", "HH", "IH", "Z", "HH", "AE", "T")
    assert with_laughter(words, VOWELS) == words
    jaw = articulation(laugh, np.linspace(0.4, 1.0, 30), np.ones(30))[:, 0]
    assert np.ptp(jaw) < 0.03 and jaw.min() > 0.1


def test_lips_prepare_for_what_comes() -> None:
    """Rounding for UW starts in the consonant before it, more than it lingers; a contact is no average."""
    phones = [Phone("T", 0.3, 0.4), Phone("UW", 0.4, 0.55), Phone("T", 0.55, 0.65), Phone("P", 0.65, 0.73)]
    times = np.arange(0, 1, 0.01)
    said = dict(zip(CHANNELS, articulation(phones, times, np.ones(100)).T, strict=True))
    assert said["pucker"][35] > 0.3 * said["pucker"].max()
    assert said["pucker"][30] > said["pucker"][66]
    assert said["closure"][69] == 1 and said["closure"][45] == 0


def test_effort_opens_the_mouth_wider_and_leaves_contacts(spoken: list[Phone]) -> None:
    times = np.arange(0, 4.29, 1 / 60)
    soft, loud = (articulation(spoken, times, np.full(len(times), effort)) for effort in (0.6, 1.4))
    assert (loud[:, 0] >= soft[:, 0]).all() and loud[:, 0].max() > 1.8 * soft[:, 0].max()
    np.testing.assert_array_equal(loud[:, -2:], soft[:, -2:])


def test_a_stream_says_what_the_whole_says(sound: np.ndarray) -> None:
    """In pieces of any size, and no later than 120 ms behind."""
    whole = heard_articulation(sound)
    random, stream, pieces, start = np.random.default_rng(0), SpeechStream(), [], 0
    while start < len(sound):
        size = int(random.integers(1, 1200))
        pieces.append(stream.push(sound[start : start + size]))
        start += size
        known = sum(len(piece) for piece in pieces)
        assert min(start, len(sound)) / RATE - known / 100 <= 0.12
    np.testing.assert_allclose(np.concatenate([*pieces, stream.finish()]), whole, atol=1e-5)
    assert abs(len(whole) - len(sound) / 160) <= 1


def test_the_learned_layer_hears_contacts_and_openings(sound: np.ndarray, spoken: list[Phone]) -> None:
    """In a voice that it did not learn from."""
    heard = heard_articulation(sound)
    times = np.arange(len(heard)) / 100
    true = articulation(spoken, times, prosody(sound).effort(times))
    assert np.corrcoef(heard[:, 0], true[:, 0])[0, 1] > 0.65
    assert within(spoken, BILABIALS, times, heard[:, -2] > 0.9).mean() >= 0.8
    assert within(spoken, LABIODENTALS, times, heard[:, -1] > 0.9).mean() >= 0.6


def test_loudness_does_not_matter_to_the_learned_layer(sound: np.ndarray) -> None:
    assert np.abs(heard_articulation(0.1 * sound) - heard_articulation(sound)).mean() < 0.01
