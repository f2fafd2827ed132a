"""Cutting, timing, mixing and cleaning performances: plain functions, each from performances to a new one.

Rotations are interpolated along the shortest way (slerp), weights, places and confidence linearly.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from morphable.arkit import ARKIT_NAMES
from morphable.performance import Performance

CHANNELS = ("weights", "head", "translation", "gaze", "confidence")
ROTATIONS = ("head", "gaze")
MIRRORED_ROTATION = np.array([1, -1, -1], dtype=np.float32)
"""An axis-angle vector in the mirror x → -x: the axis is mirrored and the sense of the turn is."""
MIRRORED_PLACE = np.array([-1, 1, 1], dtype=np.float32)
MAX_FRAMES = 10_000_000
"""Two days at 60 frames a second; a file that claims more is refused before memory is asked for."""
REACH = 3.0
"""Deviations of a Gaussian beyond which frames no longer count."""


def sampled(performance: Performance, times: Float[np.ndarray, " sample"]) -> Performance:
    """The performance at other times, seconds, rising; before its first frame and after its last it keeps still.

    Raises:
        ValueError: the performance has no frames.
    """
    known = performance.times
    if not len(known):
        raise ValueError("a performance without frames cannot be sampled")
    times = np.asarray(times, dtype=np.float64)
    before = np.clip(np.searchsorted(known, times, side="right") - 1, 0, len(known) - 1)
    after = np.minimum(before + 1, len(known) - 1)
    gaps = np.where(after > before, known[after] - known[before], 1)
    shares = np.clip((times - known[before]) / gaps, 0, 1)
    between = {
        name: _between(name, values[before], values[after], shares) for name, values in _channels(performance).items()
    }
    return Performance.of(times, **between, provenance=performance.provenance)


def resampled(performance: Performance, rate: float) -> Performance:
    """At `rate` frames a second, from the first frame on. Raises as `frame_times`."""
    return sampled(performance, frame_times(performance, rate))


def frame_times(performance: Performance, rate: float) -> Float[np.ndarray, " frame"]:
    """Even times, `rate` a second, from the first frame to the last.

    Raises:
        ValueError: the rate is not above 0, the performance has no frames, or there would be more than MAX_FRAMES.
    """
    if not rate > 0:
        raise ValueError(f"a performance is resampled at more than 0 frames a second, not {rate:g}")
    if not len(performance):
        raise ValueError("a performance without frames cannot be sampled")
    last = performance.duration * rate + 1e-6
    if last >= MAX_FRAMES:
        raise ValueError(f"{performance.duration:g} s at {rate:g} frames a second are too many frames")
    return performance.times[0] + np.arange(int(last) + 1) / rate


def usual_rate(performance: Performance) -> float:
    """Frames a second that the performance mostly has, to a hundredth; 30 where there are fewer than two."""
    if len(performance) < 2:
        return 30.0
    return max(round(float(1 / np.median(np.diff(performance.times))), 2), 0.01)


def video_rate(performance: Performance) -> float:
    """Frames a second of a video of the performance: its usual rate, 60 at the most."""
    return min(usual_rate(performance), 60.0)


def trimmed(performance: Performance, start: float = 0.0, stop: float = np.inf) -> Performance:
    """The frames from `start` to `stop`, seconds on its own clock, both included; `start` becomes time 0.

    Raises:
        ValueError: no frame lies there.
    """
    kept = (performance.times >= start) & (performance.times <= stop)
    if not kept.any():
        raise ValueError(f"the performance has no frame from {start:g} s to {stop:g} s")
    channels = {name: values[kept] for name, values in _channels(performance).items()}
    return Performance.of(performance.times[kept] - start, **channels, provenance=performance.provenance)


def faster(performance: Performance, factor: float) -> Performance:
    """The same frames at `factor` times the speed.

    Raises:
        ValueError: the factor is not above 0.
    """
    if not factor > 0:
        raise ValueError(f"a performance is played at more than 0 times its speed, not {factor:g}")
    return Performance.of(performance.times / factor, **_channels(performance), provenance=performance.provenance)


def mirrored(performance: Performance) -> Performance:
    """As seen in a mirror: left and right change places in shapes, eyes and rotations."""
    return _changed(
        performance,
        weights=performance.weights[:, _opposite_shapes()],
        head=performance.head * MIRRORED_ROTATION,
        translation=performance.translation * MIRRORED_PLACE,
        gaze=performance.gaze[:, ::-1] * MIRRORED_ROTATION,
    )


def smoothed(performance: Performance, deviation: float) -> Performance:
    """Each frame becomes the mean of those around it, weighed by a Gaussian of `deviation` seconds and by confidence.

    Rotations are averaged as quaternions, which is right for rotations close to each other.

    Raises:
        ValueError: the deviation is not above 0.
    """
    if not deviation > 0:
        raise ValueError(f"a performance is smoothed over more than 0 seconds, not {deviation:g}")
    mean = _neighbourhood(performance, deviation)
    return _changed(
        performance,
        weights=mean @ performance.weights,
        head=_mean_rotations(mean, performance.head),
        translation=mean @ performance.translation,
        gaze=np.stack([_mean_rotations(mean, eye) for eye in np.moveaxis(performance.gaze, 1, 0)], axis=1),
    )


def blended(one: Performance, other: Performance, share: float) -> Performance:
    """Between two performances: `one` at share 0, `other` at share 1; at the times of `one`.

    Raises:
        ValueError: the share is not in [0, 1], or `other` has no frames.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of a blend is from 0 to 1, not {share:g}")
    theirs = _channels(sampled(other, one.times))
    shares = np.full(len(one), share)
    mixed = {name: _between(name, values, theirs[name], shares) for name, values in _channels(one).items()}
    return _changed(one, **mixed)


def layered(
    base: Performance, top: Performance, shapes: Iterable[str] | None = None, strength: float = 1.0
) -> Performance:
    """`top` added to `base`, at the times of `base`; beyond its own first and last frame `top` adds nothing.

    Args:
        shapes: names of ARKIT_NAMES that are added; None adds them all, and head, translation and gaze, too.
        strength: what `top` is multiplied by. Sums of weights are cut to [0, 1].

    Raises:
        ValueError: a shape is none of ARKit's, or `top` has no frames.
    """
    names = ARKIT_NAMES if shapes is None else tuple(shapes)
    unknown = [name for name in names if name not in ARKIT_NAMES]
    if unknown:
        raise ValueError(f"{unknown[0]} is none of ARKit's shapes")
    added = sampled(top, base.times)
    playing = strength * ((base.times >= top.times[0]) & (base.times <= top.times[-1]))
    chosen = np.isin(ARKIT_NAMES, names)
    sums = np.clip(base.weights + playing[:, None] * added.weights, 0, 1)
    moved = _changed(base, weights=np.where(chosen, sums, base.weights))
    if shapes is not None:
        return moved
    return _changed(
        moved,
        head=_turned(playing[:, None] * added.head, base.head),
        translation=base.translation + playing[:, None] * added.translation,
        gaze=_turned(playing[:, None, None] * added.gaze, base.gaze),
    )


def _channels(performance: Performance) -> dict[str, np.ndarray]:
    return {name: getattr(performance, name) for name in CHANNELS}


def _changed(performance: Performance, **channels: np.ndarray) -> Performance:
    kept = _channels(performance)
    return Performance.of(performance.times, **(kept | channels), provenance=performance.provenance)


def _between(
    name: str, one: Float[np.ndarray, frame * rest], other: Float[np.ndarray, frame * rest], shares: np.ndarray
) -> Float[np.ndarray, frame * rest]:
    """A channel between two values, at each frame's share of the way."""
    ways = shares.reshape(-1, *[1] * (one.ndim - 1))
    if name not in ROTATIONS:
        return one + ways * (other.astype(np.float64) - one)
    turns = roma.rotvec_composition([-_double(one), _double(other)])
    mixed = _turned(one, ways * turns.numpy())
    return np.where(ways == 0, one, np.where(ways == 1, other, mixed))


def _turned(
    outer: Float[np.ndarray, "*batch 3"], inner: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch 3"]:
    """The rotation `inner` and then `outer`."""
    both: np.ndarray = roma.rotvec_composition([_double(outer), _double(inner)]).numpy()
    return both


def _mean_rotations(mean: csr_array, rotations: Float[np.ndarray, "frame 3"]) -> Float[np.ndarray, "frame 3"]:
    quaternions = roma.rotvec_to_unitquat(_double(rotations)).numpy()
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(1) < 0, -1, 1)
    alike = quaternions * np.concatenate([[1], np.cumprod(flips)])[: len(quaternions), None]
    means = torch.nn.functional.normalize(torch.as_tensor(mean @ alike), dim=-1)
    turned: np.ndarray = roma.unitquat_to_rotvec(means).numpy()
    return turned


def _neighbourhood(performance: Performance, deviation: float) -> csr_array:
    """(frame, frame) weights of the means around each frame; rows sum to one."""
    times, confidence = performance.times, np.maximum(performance.confidence, 1e-6)
    starts = np.searchsorted(times, times - REACH * deviation)
    counts = np.searchsorted(times, times + REACH * deviation, side="right") - starts
    row = np.repeat(np.arange(len(times)), counts)
    column = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
    values = np.exp(-0.5 * ((times[row] - times[column]) / deviation) ** 2) * confidence[column]
    values /= np.bincount(row, values, len(times))[row]
    return csr_array((values, (row, column)), shape=(len(times), len(times)))


def _opposite_shapes() -> Int[np.ndarray, 52]:
    """Of each of ARKIT_NAMES, the index of the shape that it becomes in the mirror."""
    swap = {"Left": "Right", "Right": "Left"}
    opposite = []
    for name in ARKIT_NAMES:
        side = next((side for side in swap if name.endswith(side)), "")
        opposite.append(ARKIT_NAMES.index(name.removesuffix(side) + swap.get(side, "")))
    return np.array(opposite)


def _double(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(values, dtype=np.float64))
