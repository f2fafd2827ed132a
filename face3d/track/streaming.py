"""Motion without looking ahead: each frame is fitted from the last one and steadied by a filter of no delay."""

import math
from collections.abc import Iterator

import numpy as np
import roma
import torch
from jaxtyping import Float64

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
"""Hertz: of a head that does not move."""
ROTATION_GAIN, PLACE_GAIN = 12.0, 60.0
"""Hertz by which that rises at a radian, at a metre a second."""

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


class Steadier:
    """Filters places that come in order."""

    def __init__(self) -> None:
        quick = [name.startswith("eye") for name in ARKIT_NAMES]
        self.weights = OneEuro(np.where(quick, LID_CUTOFF, STILL_CUTOFF), WEIGHT_GAIN)
        self.translation = OneEuro(POSE_CUTOFF, PLACE_GAIN)
        self.turning = OneEuro(POSE_CUTOFF, ROTATION_GAIN)
        self.rotation: np.ndarray | None = None

    def __call__(self, place: Placed, seconds: float) -> Placed:
        """The filtered place, `seconds` after the last one."""
        if self.rotation is None:
            self.rotation = place.rotation
        turn = roma.rotmat_to_rotvec(torch.as_tensor(place.rotation @ self.rotation.T)).numpy()
        part = roma.rotvec_to_rotmat(torch.as_tensor(self.turning.share(turn, seconds) * turn)).numpy()
        self.rotation = part @ self.rotation
        weights = self.weights(place.weights, seconds)
        return Placed(weights, self.rotation, self.translation(place.translation, seconds))


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
