"""Editing performances, by what must not change."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphable import ARKIT_NAMES, Performance
from morphable.editing import (
    blended,
    faster,
    layered,
    mirrored,
    resampled,
    sampled,
    smoothed,
    trimmed,
    usual_rate,
    video_rate,
)

CHANNELS = ("weights", "head", "translation", "gaze", "confidence")


@pytest.fixture
def clip() -> Performance:
    random = np.random.default_rng(0)
    frames = 50
    return Performance.of(
        np.cumsum(random.uniform(0.01, 0.06, frames)),
        random.random((frames, 52)),
        head=random.normal(0, 0.5, (frames, 3)),
        translation=random.normal(0, 0.01, (frames, 3)),
        gaze=random.normal(0, 0.2, (frames, 2, 3)),
        confidence=random.random(frames),
        provenance={"take": 1},
    )


def close(one: Performance, other: Performance, atol: float = 0) -> bool:
    channels = (np.allclose(getattr(one, name), getattr(other, name), rtol=0, atol=atol) for name in CHANNELS)
    return np.array_equal(one.times, other.times) and all(channels) and one.provenance == other.provenance


def jaw(times: np.ndarray, values: np.ndarray) -> Performance:
    weights = np.zeros((len(times), 52))
    weights[:, ARKIT_NAMES.index("jawOpen")] = values
    return Performance.of(times, weights)


def test_at_its_own_times_a_clip_is_itself(clip: Performance) -> None:
    assert close(sampled(clip, clip.times), clip)


def test_between_frames_rotations_turn_evenly() -> None:
    start, turn = Rotation.from_rotvec([0.2, 1.2, -0.4]), Rotation.from_rotvec([0.9, -1.4, 0.3])
    head = np.stack([start.as_rotvec(), (start * turn).as_rotvec()])
    clip = Performance.of(
        np.array([1.0, 3.0]), np.array([[0.0] * 52, [1.0] * 52]), head=head, gaze=head[:, None][:, [0, 0]]
    )
    middle = sampled(clip, np.array([0.0, 1.5, 9.0]))
    expected = [start, start * Rotation.from_rotvec(0.25 * turn.as_rotvec()), start * turn]
    assert np.allclose(middle.head, [each.as_rotvec() for each in expected], atol=1e-6)
    assert np.allclose(middle.gaze, middle.head[:, None], atol=1e-6)
    assert np.allclose(middle.weights[:, 0], [0, 0.25, 1])


def test_rotations_take_the_short_way() -> None:
    head = np.array([[0, 3.0, 0], [0, -3.0, 0]])  # 16 degrees apart, across the back
    clip = Performance.of(np.array([0.0, 1.0]), np.zeros((2, 52)), head=head)
    assert np.allclose(np.abs(sampled(clip, np.array([0.5])).head), [[0, np.pi, 0]], atol=1e-5)


def test_resampling_keeps_a_rate_and_its_length() -> None:
    clip = jaw(np.arange(31) / 30, np.linspace(0, 1, 31))
    assert close(resampled(clip, 30), clip, atol=1e-6)
    doubled = resampled(clip, 60)
    assert len(doubled) == 61
    assert doubled.duration == pytest.approx(1)
    assert np.allclose(doubled.weights[:, ARKIT_NAMES.index("jawOpen")], np.linspace(0, 1, 61), atol=1e-6)


def test_the_usual_rate_does_not_mind_gaps() -> None:
    assert usual_rate(jaw(np.delete(np.arange(90) / 29.97, [10, 11, 40]), np.zeros(87))) == 29.97
    assert usual_rate(jaw(np.zeros(1), np.zeros(1))) == 30


def test_videos_have_the_usual_rate_up_to_60() -> None:
    assert video_rate(jaw(np.arange(90) / 29.97, np.zeros(90))) == 29.97
    assert video_rate(jaw(np.arange(90) / 120, np.zeros(90))) == 60


def test_trimming_starts_the_clock_again(clip: Performance) -> None:
    cut = trimmed(clip, clip.times[10], clip.times[20])
    assert np.array_equal(cut.times, clip.times[10:21] - clip.times[10])
    assert np.array_equal(cut.weights, clip.weights[10:21])
    assert close(trimmed(clip), clip)


def test_speed_there_and_back(clip: Performance) -> None:
    assert faster(clip, 2).duration == pytest.approx(clip.duration / 2)
    assert close(faster(faster(clip, 4), 0.25), clip)


def test_mirrored_twice_is_itself(clip: Performance) -> None:
    assert close(mirrored(mirrored(clip)), clip)


def test_mirrors_swap_sides(clip: Performance) -> None:
    mirror = mirrored(clip)
    for name, other in (("eyeBlinkLeft", "eyeBlinkRight"), ("jawRight", "jawLeft"), ("jawOpen", "jawOpen")):
        assert np.array_equal(mirror.weights[:, ARKIT_NAMES.index(name)], clip.weights[:, ARKIT_NAMES.index(other)])
    across = np.diag([-1.0, 1.0, 1.0])
    turned = Rotation.from_rotvec(clip.head).as_matrix()
    assert np.allclose(Rotation.from_rotvec(mirror.head).as_matrix(), across @ turned @ across, atol=1e-6)
    left = Rotation.from_rotvec(clip.gaze[:, 0]).as_matrix()
    assert np.allclose(Rotation.from_rotvec(mirror.gaze[:, 1]).as_matrix(), across @ left @ across, atol=1e-6)


def test_smoothing_keeps_what_is_still_and_calms_the_rest(clip: Performance) -> None:
    still = Performance.of(clip.times, np.full((50, 52), 0.3), head=np.tile([0.1, 2.9, 0.2], (50, 1)))
    assert close(smoothed(still, 0.1), still, atol=1e-6)
    calm = smoothed(clip, 0.2)
    for name in ("weights", "head", "translation", "gaze"):
        assert np.std(getattr(calm, name)[5:-5]) < 0.6 * np.std(getattr(clip, name))
    assert np.array_equal(calm.confidence, clip.confidence)


def test_smoothing_knows_nothing_of_frames_only_of_time() -> None:
    """A straight line stays one, however unevenly it was sampled, away from its ends, if frames are dense."""
    times = np.sort(np.random.default_rng(0).uniform(0, 2, 4000))
    line = smoothed(jaw(times, 0.5 * times), 0.05)
    inside = (times > 0.2) & (times < 1.8)
    assert np.allclose(line.weights[inside, ARKIT_NAMES.index("jawOpen")], 0.5 * times[inside], atol=5e-3)


def test_smoothing_leaves_out_frames_that_nobody_saw() -> None:
    times = np.arange(21) / 30
    spike = jaw(times, (times == times[10]).astype(float))
    unseen = Performance.of(times, spike.weights, confidence=(times != times[10]).astype(float))
    assert smoothed(spike, 0.03).weights.max() > 0.3
    assert smoothed(unseen, 0.03).weights.max() < 1e-4


def test_smoothing_across_the_back_does_not_turn_around() -> None:
    head = np.array([[0, 3.1, 0], [0, -3.1, 0]] * 10)
    calm = smoothed(Performance.of(np.arange(20) / 30, np.zeros((20, 52)), head=head), 0.1)
    assert np.all(np.abs(calm.head[:, 1]) > 3)


def test_blending_ends_at_either(clip: Performance) -> None:
    other = mirrored(clip)
    assert close(blended(clip, other, 0), clip)
    assert close(blended(clip, other, 1), other, atol=1e-6)
    assert close(blended(clip, clip, 0.4), clip, atol=1e-6)


def test_layers_add(clip: Performance) -> None:
    nothing = Performance.of(clip.times, np.zeros((50, 52)))
    assert close(layered(clip, nothing), clip, atol=1e-6)
    assert close(layered(nothing, clip, strength=0), nothing)
    moved = layered(nothing, clip)
    assert np.allclose(moved.weights, clip.weights)
    assert np.allclose(moved.head, clip.head, atol=1e-6)
    back = layered(
        layered(nothing, clip), Performance.of(clip.times, -clip.weights, -clip.head, -clip.translation, -clip.gaze)
    )
    assert close(back, nothing, atol=1e-6)


def test_a_layer_of_chosen_shapes_plays_in_its_own_time(clip: Performance) -> None:
    blink = np.zeros((3, 52))
    blink[1, ARKIT_NAMES.index("eyeBlinkLeft")] = 1
    blink[1, ARKIT_NAMES.index("jawOpen")] = 1
    top = Performance.of(clip.times[20:23], blink)
    winking = layered(clip, top, shapes=["eyeBlinkLeft"])
    moved = np.argwhere(winking.weights != clip.weights)
    assert moved.tolist() == [[21, ARKIT_NAMES.index("eyeBlinkLeft")]]
    assert winking.weights.max() <= 1
    assert np.array_equal(winking.head, clip.head)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda clip: resampled(clip, 0), "more than 0 frames a second"),
        (lambda clip: resampled(clip, float("nan")), "more than 0 frames a second"),
        (lambda clip: resampled(faster(clip, 1e-9), 30), "too many frames"),
        (lambda clip: trimmed(clip, 100), "no frame from 100 s to inf s"),
        (lambda clip: faster(clip, -1), "more than 0 times"),
        (lambda clip: smoothed(clip, 0), "more than 0 seconds"),
        (lambda clip: blended(clip, clip, 2), "from 0 to 1"),
        (lambda clip: layered(clip, clip, shapes=["smile"]), "smile is none of ARKit's shapes"),
        (lambda clip: sampled(Performance.of(np.zeros(0), np.zeros((0, 52))), clip.times), "without frames"),
        (lambda clip: layered(clip, Performance.of(np.zeros(0), np.zeros((0, 52)))), "without frames"),
    ],
)
def test_what_cannot_be_done_is_one_clear_sentence(clip: Performance, edit, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        edit(clip)


def test_a_single_frame_and_none_are_edited_as_well() -> None:
    for frames in (0, 1):
        clip = Performance.of(np.arange(frames), np.full((frames, 52), 0.5))
        assert close(mirrored(clip), clip)
        assert close(smoothed(clip, 0.1), clip, atol=1e-7)
        assert close(faster(clip, 2), clip)
    assert len(resampled(clip, 30)) == 1


def test_nothing_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="without frames"):
        resampled(Performance.of(np.zeros(0), np.zeros((0, 52))), 30)
