"""Motion without looking ahead: each frame is fitted from the last one and steadied by a filter of no delay."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from face3d.track.motion import followed
from face3d.track.person import Person
from face3d.track.pose_expression import Placed
from face3d.track.sightings import Sightings
from morphable import ARKIT_NAMES

STILL_CUTOFF, SPEED_CUTOFF = 1.5, 1.0
"""Hertz: the cutoff of the speed's own filter; and of weights that do not move."""
WEIGHT_GAIN = 12.0
"""Hertz by which the cutoff of a weight rises at a change of 1 a second."""
LID_CUTOFF = 8.0
"""Hertz: of lids and eyes that do not move; a blink takes a tenth of a second."""
POSE_CUTOFF = 0.6
"""Hertz: of a head that moves slowly."""
ROTATION_GAIN, PLACE_GAIN = 12.0, 60.0
"""Hertz by which that rises at a radian, at a metre a second."""
LONGEST_MEAN = 6.0
"""Seconds over which a head that stands still is averaged."""
DRIFT_SHARE, NOISE_SHARE = 0.25, 0.05
"""Of each frame, in the short mean of how far values are from the filtered one, and in the noise."""
STILL, MOVING = 3.0, 5.0
"""Times its own noise up to which that mean is none, and from which on it is motion."""
LEAST_NOISE = 1e-6
INTERVALS = (0.001, 1.0)
"""Least and longest seconds between frames that filters are told of."""


class OneEuro:
    """The 1 € filter (Casiez, Roussel and Vogel 2012): a low pass whose cutoff rises with speed, so that what is still
    is steady and what moves is not late.

    Args:
        cutoff: Hertz, of values that do not move.
        gain: Hertz by which it rises at a speed of 1 a second.
    """

    def __init__(self, cutoff: float | Float64[np.ndarray, " value"], gain: float) -> None:
        self.cutoff, self.gain = cutoff, gain
        self.value: np.ndarray | None = None
        self.speed: np.ndarray | float = 0.0

    def __call__(self, value: Float64[np.ndarray, " value"], seconds: float) -> Float64[np.ndarray, " value"]:
        """The filtered value, `seconds` after the last one."""
        if self.value is None:
            self.value = value
            return value
        change = value - self.value
        self.value = self.value + self.share(change, seconds) * change
        return self.value

    def share(self, change: np.ndarray, seconds: float) -> np.ndarray:
        """How much of a change is believed."""
        self.speed = self.speed + _share(SPEED_CUTOFF, seconds) * (change / seconds - self.speed)
        return _share(self.cutoff + self.gain * np.abs(self.speed), seconds)


class Rest:
    """Tells standing still from moving, by the noise that is measured on the way.

    While values stay within their noise, their running mean over up to LONGEST_MEAN seconds is believed; as soon as a
    short mean of them leaves it by more than noise allows, so much as a filter for moving values says.
    """

    def __init__(self, size: int) -> None:
        self.count = 0.0
        self.noise = np.zeros(size)
        self.drift = np.zeros(size)
        self._steps: list[np.ndarray] = []

    def share(
        self,
        change: Float64[np.ndarray, " value"],
        step: Float64[np.ndarray, " value"],
        seconds: float,
        moving: float | Float64[np.ndarray, " value"],
    ) -> Float64[np.ndarray, " value"]:
        """How much of a change is believed.

        Args:
            change: from the last filtered value to this one.
            step: from the last value to this one.
            moving: how much would be believed of it if it moved.
        """
        self._measure(step)
        self.drift = self.drift + DRIFT_SHARE * (change - self.drift)
        usual = self.noise * math.sqrt(DRIFT_SHARE / (2 - DRIFT_SHARE))
        away = float(np.sqrt(np.mean((self.drift / np.maximum(usual, LEAST_NOISE)) ** 2)))
        moved = float(np.clip((away - STILL) / (MOVING - STILL), 0, 1))
        self.count = min(self.count + 1, max(1.0, LONGEST_MEAN / seconds))
        still = 1 / self.count
        share: np.ndarray = still + (np.maximum(moving, still) - still) * moved
        self.count = min(self.count, 1 / float(share.mean()))
        return share

    def _measure(self, step: Float64[np.ndarray, " value"]) -> None:
        """The noise, from second differences, in which steady motion cancels."""
        self._steps = [*self._steps[-1:], step]
        if len(self._steps) == 2:
            bend = np.abs(self._steps[1] - self._steps[0]) / math.sqrt(6)
            bounded = np.where(self.noise > 0, np.minimum(bend, 3 * self.noise), bend)
            self.noise = np.sqrt(self.noise**2 + NOISE_SHARE * (bounded**2 - self.noise**2))


class Steadier:
    """Filters places that come in order."""

    def __init__(self) -> None:
        quick = [name.startswith("eye") for name in ARKIT_NAMES]
        self.weights = OneEuro(np.where(quick, LID_CUTOFF, STILL_CUTOFF), WEIGHT_GAIN)
        self.turning, self.moving = OneEuro(POSE_CUTOFF, ROTATION_GAIN), OneEuro(POSE_CUTOFF, PLACE_GAIN)
        self.turn_rest, self.place_rest = Rest(3), Rest(3)
        self.raw: Placed | None = None
        self.steady: Placed | None = None

    def __call__(self, place: Placed, seconds: float) -> Placed:
        """The filtered place, `seconds` after the last one."""
        if self.raw is None or self.steady is None:
            self.raw = self.steady = place
        turn, step = (_turn(place.rotation @ last.rotation.T) for last in (self.steady, self.raw))
        share = self.turn_rest.share(turn, step, seconds, self.turning.share(turn, seconds))
        part = Rotation.from_rotvec(share * turn).as_matrix()
        way, step = (place.translation - last.translation for last in (self.steady, self.raw))
        moved = self.place_rest.share(way, step, seconds, self.moving.share(way, seconds)) * way
        weights = self.weights(place.weights, seconds)
        self.raw = place
        self.steady = Placed(weights, part @ self.steady.rotation, self.steady.translation + moved)
        return self.steady


def _turn(rotation: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3"]:
    vector: np.ndarray = Rotation.from_matrix(rotation).as_rotvec()
    return vector


class Stream:
    """Fits a known person to sightings as they come, and steadies what comes of it."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self._last: Placed | None = None
        self._time = -math.inf
        self._steadier = Steadier()

    def __call__(self, sightings: Sightings) -> Iterator[Placed | None]:
        """The place in each of the next frames, None where nothing was seen."""
        places = followed(self.person, sightings, self._last)
        for place, time, cut in zip(places, sightings.times, sightings.cuts, strict=True):
            if place is None or cut:
                self._steadier, self._last = Steadier(), None
            if place is not None:
                self._last = place
                yield self._steadier(place, float(np.clip(time - self._time, *INTERVALS)))
            else:
                yield None
            self._time = float(time)


def _share(cutoff: float | Float64[np.ndarray, "*value"], seconds: float) -> Float64[np.ndarray, "*value"]:
    """Of an exponential low pass."""
    steps = 2 * np.pi * np.asarray(cutoff) * seconds
    share: np.ndarray = steps / (steps + 1)
    return share
