"""A speaking face as a whole: one take a seed, life, emotions and styles, and lips that meet whatever it feels."""

from pathlib import Path

import numpy as np
import pytest
import torch

import morphable
from avatars.speech import EMOTIONS, RATE, Phone, aligned_phones, load_sound, speak
from avatars.speech.contact import Mouth
from avatars.speech.life import FULL_LOOK, alive
from avatars.speech.prosody import prosody
from avatars.speech.style import Style
from morphable import ARKIT_NAMES, Performance

TEXT = "Bob put five maps above the pub, but who moved my van?"
BILABIALS = ("P", "B", "M")
LIDS = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
JAW = ARKIT_NAMES.index("jawOpen")
EYES = np.array([name.startswith("eye") for name in ARKIT_NAMES])
BROWS = np.array([name.startswith("brow") for name in ARKIT_NAMES])


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return load_sound(Path(__file__).parent / "spoken.ogg")


@pytest.fixture(scope="module")
def phones(sound: np.ndarray) -> list[Phone]:
    return aligned_phones(sound, TEXT)


@pytest.fixture(scope="module")
def plain(sound: np.ndarray) -> Performance:
    return speak(sound, TEXT)


@pytest.fixture(scope="module")
def gap():
    """Of the lips, metres, under weights."""
    model = morphable.load()
    identity, mouth = torch.zeros(1, model.identities), Mouth.of(model)
    neutral, shapes = model.neutral(identity)[0].numpy(), model.expressions(identity)[0].numpy()
    return lambda weights: mouth.gap(neutral + np.tensordot(weights, shapes, 1))


def closed_on(performance: Performance, gap, phones: list[Phone]) -> float:
    """Part of the bilabials on which the lips meet."""
    closed = gap(performance.weights) < 0.0005
    times = performance.times
    lips = [phone for phone in phones if phone.name in BILABIALS]
    return float(np.mean([closed[(times >= p.start - 0.01) & (times <= p.end + 0.01)].any() for p in lips]))


def lasting(seconds: float) -> np.ndarray:
    """Noise that comes and goes like phrases do."""
    random, time = np.random.default_rng(1), np.arange(int(seconds * RATE)) / RATE
    return 0.1 * random.normal(size=len(time)) * (np.sin(2 * np.pi * time / 4) > -0.5)


def test_a_performance_is_as_long_as_its_sound(sound: np.ndarray, plain: Performance) -> None:
    assert len(plain) == round(len(sound) / RATE * 60) and plain.times[0] == 0
    assert plain.weights.min() >= 0 and plain.weights.max() <= 1


def test_the_same_seed_gives_the_same_take(sound: np.ndarray, plain: Performance) -> None:
    again, other = speak(sound, TEXT), speak(sound, TEXT, seed=1)
    for name in ("weights", "head", "translation", "gaze"):
        np.testing.assert_array_equal(getattr(again, name), getattr(plain, name))
    assert np.abs(other.gaze - plain.gaze).max() > 0.01 and np.abs(other.head - plain.head).max() > 0.01
    content = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(("jaw", "mouth"))]
    np.testing.assert_array_equal(other.weights[:, content], plain.weights[:, content])


def test_gaze_and_weights_say_the_same(plain: Performance) -> None:
    weight = {name: plain.weights[:, i] for i, name in enumerate(ARKIT_NAMES)}
    yaw = (weight["eyeLookOutLeft"] - weight["eyeLookInLeft"]) * FULL_LOOK
    pitch = (weight["eyeLookDownRight"] - weight["eyeLookUpRight"]) * FULL_LOOK
    np.testing.assert_allclose(yaw, plain.gaze[:, 0, 1], atol=1e-5)
    np.testing.assert_allclose(pitch, plain.gaze[:, 1, 0], atol=1e-5)
    np.testing.assert_allclose(weight["eyeLookInRight"], weight["eyeLookOutLeft"], atol=1e-6)


def test_eyes_blink_and_move_as_people_do() -> None:
    sound = lasting(120)
    times = np.arange(120 * 60) / 60
    life = alive(times, prosody(sound), np.random.default_rng(0), 22)
    shut = life.weights[:, LIDS[0]] > 0.8
    blinks = np.flatnonzero(shut[1:] & ~shut[:-1])
    assert 15 <= len(blinks) / 2 <= 30  # a minute
    assert np.diff(blinks).min() > 0.4 * 60 and np.diff(blinks).std() > 0.5 * 60
    step = np.linalg.norm(np.diff(life.gaze[:, 0], axis=0), axis=1)
    assert np.mean(step < 1e-6) > 0.8  # eyes rest on places
    assert np.rad2deg(np.abs(life.gaze)).max() < 25
    assert np.rad2deg(np.abs(life.head).max()) < 12
    assert np.rad2deg(np.linalg.norm(np.diff(life.head, axis=0), axis=1).max()) * 60 < 90  # degrees a second


def test_brows_rise_with_the_voice() -> None:
    time = np.arange(4 * RATE) / RATE
    pitch = 120 * 2 ** (0.5 * np.exp(-(((time - 2.5) / 0.3) ** 2)))
    hum = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
    raised = alive(np.arange(240) / 60, prosody(hum), np.random.default_rng(0), 0).weights[:, BROWS].sum(1)
    assert abs(raised.argmax() / 60 - 2.5) < 0.2 and raised.max() > 5 * np.median(raised) and raised.max() > 0.5


@pytest.mark.parametrize("emotion", [name for name in EMOTIONS if name != "neutral"])
def test_lips_meet_at_any_emotion(
    sound: np.ndarray, phones: list[Phone], plain: Performance, gap, emotion: str
) -> None:
    felt = speak(sound, TEXT, emotions={emotion: 1.0})
    assert closed_on(felt, gap, phones) == 1.0
    assert np.abs(felt.weights - plain.weights).mean(0).max() > 0.1
    assert np.corrcoef(felt.weights[:, JAW], plain.weights[:, JAW])[0, 1] > 0.9


def test_emotions_mix_and_change_over_time(sound: np.ndarray) -> None:
    smile = ARKIT_NAMES.index("mouthSmileLeft")
    mixed = speak(sound, TEXT, emotions={"happiness": [(0.5, 0.0), (3.5, 1.0)], "surprise": 0.5})
    late, early = mixed.weights[mixed.times > 3.6], mixed.weights[mixed.times < 0.4]
    assert late[:, smile].mean() > early[:, smile].mean() + 0.3
    assert early[:, ARKIT_NAMES.index("browInnerUp")].mean() > 0.4


@pytest.mark.parametrize(
    ("emotions", "complaint"),
    [({"joy": 0.5}, "no emotion 'joy'"), ({"fear": 2}, "from 0 to 1"), ({"fear": [(1, 0), (0, 1)]}, "must rise")],
)
def test_emotions_that_are_none_are_refused(sound: np.ndarray, emotions: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        speak(sound, TEXT, emotions=emotions)


def test_silence_leaves_the_mouth_at_rest_and_the_face_alive(gap) -> None:
    still = speak(np.zeros(8 * RATE))
    assert gap(still.weights).max() < 0.003  # breath parts the lips a little
    assert still.weights[:, LIDS].max() > 0.9 and np.abs(still.head).max() > 0.005
    with pytest.raises(ValueError, match="no sound"):
        speak(np.zeros(0))


def test_clipped_sound_still_speaks(sound: np.ndarray, phones: list[Phone], gap) -> None:
    assert closed_on(speak((30 * sound).clip(-1, 1), TEXT), gap, phones) > 0.9


def test_the_shortest_sound_is_a_frame() -> None:
    assert len(speak(np.full(10, 0.1))) == 1


def test_a_style_brings_range_asymmetry_habits_and_blinks(sound: np.ndarray, plain: Performance, gap, phones) -> None:
    time = np.arange(0, 20, 1 / 60)
    weights = np.zeros((len(time), 52), np.float32)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
    habits = {"jawOpen": 0.7 * wave, "mouthSmileLeft": np.full(len(time), 0.2), "mouthLowerDownLeft": 0.4 * wave}
    habits |= {"mouthLowerDownRight": 0.05 * wave, "eyeBlinkLeft": time % 1 < 0.1, "eyeBlinkRight": time % 1 < 0.1}
    for name, values in habits.items():
        weights[:, ARKIT_NAMES.index(name)] = values
    reference = Performance.of(time, weights)
    styled = speak(sound, TEXT, style=reference)
    after, before = ({name: p.weights[:, ARKIT_NAMES.index(name)] for name in ARKIT_NAMES} for p in (styled, plain))
    assert after["jawOpen"].max() > 1.3 * before["jawOpen"].max()
    assert after["mouthSmileLeft"].mean() > after["mouthSmileRight"].mean() + 0.1
    assert after["mouthLowerDownLeft"].max() > 1.5 * after["mouthLowerDownRight"].max()
    assert closed_on(styled, gap, phones) == 1.0
    assert Style.of(reference).blinks == pytest.approx(60, abs=4)
    with pytest.raises(ValueError, match="2 seconds"):
        Style.of(Performance.of(time[:60], weights[:60]))
