"""How a known head moves through a clip: frame after frame, then all frames together."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float64
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d

from face3d.track.person import Person, rough_place
from face3d.track.pose_expression import (
    UNKNOWNS,
    Placed,
    eye_distance,
    fitted,
    held,
    normal_equations,
    projected,
)
from face3d.track.sightings import Sightings
from morphable import ARKIT_NAMES

ROUNDS = 3
"""Gauss-Newton steps from the last frame's place."""
BRIDGE = 0.3
"""Seconds without a face over which motion goes on; a longer absence ends it."""
OVERLAP = 30
"""Frames before and after a piece that are refined with it."""
FEWEST = 3
"""Frames that have a second difference."""
PASSES = 2
"""How often the motion of a piece is linearised and solved."""
FRAME = 0.04
"""Seconds; what the deviations below are told for."""
ROTATION, PLACE, DEPTH = 0.004, 0.0004, 0.0012
"""Usual second difference over frames of the head's rotation (radians) and translation (metres) across and along the
line of sight."""
SHAPE_CHANGES = {"eyeBlink": 0.6, "eyeLook": 0.4, "eyeSquint": 0.3, "eyeWide": 0.3, "brow": 0.08, "jaw": 0.15, "": 0.12}
"""The same of weights, by how their names begin: lids and eyes jump, lips follow speech."""
STILL_CHANGE = 0.08
"""Of those, the usual first difference of a head that keeps still."""
STILL_ROTATION, STILL_PLACE = 0.015, 0.005
"""Radians and metres a second below which it does."""
SPEED_WINDOW, STILL_WINDOW = 0.2, 0.35
"""Deviations in seconds of the Gaussians over which a speed is measured, and over which stillness lasts."""
LEAST_CURVATURE = 1e-4
"""What is known of an unknown of which nothing is known."""
HELD = 1e12
"""Curvature of a weight that is held at its bound."""
ERROR = 0.05
"""Median distance of landmarks from where they should be, over the eyes' distance, at which confidence is a half."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Places of a head over frames."""

    weights: Float64[np.ndarray, "frame 52"]
    rotations: Float64[np.ndarray, "frame 3 3"]
    translations: Float64[np.ndarray, "frame 3"]

    @classmethod
    def of(cls, places: list[Placed]) -> "Motion":
        rows = [(place.weights, place.rotation, place.translation) for place in places]
        return cls(*(np.stack(column) for column in zip(*rows, strict=True)))

    @classmethod
    def joined(cls, parts: list["Motion"]) -> "Motion":
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def __getitem__(self, frames: slice) -> "Motion":
        return Motion(self.weights[frames], self.rotations[frames], self.translations[frames])

    def at(self, index: int) -> Placed:
        return Placed(self.weights[index], self.rotations[index], self.translations[index])

    def moved(self, steps: Float64[np.ndarray, "frame 58"]) -> "Motion":
        turns = roma.rotvec_to_rotmat(torch.as_tensor(np.ascontiguousarray(steps[:, 52:55]))).numpy()
        weights = np.clip(self.weights + steps[:, :52], 0, 1)
        return Motion(weights, turns @ self.rotations, self.translations + steps[:, 55:])


def followed(person: Person, sightings: Sightings, before: Placed | None = None) -> Iterator[Placed | None]:
    """The place in each frame from that in the last one, None where nothing was seen; `before` is that in the frame
    before the first, if it is known."""
    for index in range(len(sightings)):
        if not sightings.seen[index]:
            yield None
            continue
        if before is None or sightings.cuts[index]:
            before = rough_place(person, sightings, index)
        before = fitted(person.response, person.seen(sightings, index), person.lens, before, ROUNDS)
        yield before


def refined(person: Person, sightings: Sightings, motion: Motion) -> Motion:
    """All frames at once: what each says, that second derivatives are small, and that a nearly still head keeps still
    (a banded Gauss-Newton)."""
    if len(sightings) < FEWEST:
        return motion
    links = _links(sightings)
    for _ in range(PASSES):
        normals = np.zeros((len(sightings), UNKNOWNS, UNKNOWNS))
        normals[:, np.arange(UNKNOWNS), np.arange(UNKNOWNS)] = LEAST_CURVATURE
        gradients = np.zeros((len(sightings), UNKNOWNS))
        for index in np.flatnonzero(sightings.seen).tolist():
            seen = person.seen(sightings, index)
            normal, gradient = normal_equations(person.response, seen, person.lens, motion.at(index))
            normals[index] += normal
            gradients[index] += gradient
        motion = motion.moved(_smooth_step(normals, gradients, motion, sightings.times, links))
    return motion


def confidences(person: Person, sightings: Sightings, motion: Motion) -> Float64[np.ndarray, " frame"]:
    """How well landmarks lie where they should and how sharp the face is; 0 where there was none."""
    values = np.zeros(len(sightings))
    for index in np.flatnonzero(sightings.seen).tolist():
        place = motion.at(index)
        away = projected(person.response, person.lens, place) - sightings.landmarks[index, :, :2]
        error = float(np.median(np.linalg.norm(away, axis=1))) / eye_distance(person.response, person.lens, place)
        values[index] = person.seen(sightings, index).worth / (1 + (error / ERROR) ** 2)
    return values


def _links(sightings: Sightings) -> Bool[np.ndarray, " triple"]:
    """Which frames continue the motion of both neighbours."""
    times, scene = sightings.times, np.cumsum(sightings.cuts)
    bounds = np.append(times[sightings.seen], np.inf), np.insert(times[sightings.seen], 0, -np.inf)
    after = bounds[0][np.searchsorted(times[sightings.seen], times)]
    before = bounds[1][np.searchsorted(times[sightings.seen], times, side="right")]
    alive = after - before < BRIDGE + 2 * FRAME
    same = (scene[2:] == scene[1:-1]) & (scene[1:-1] == scene[:-2])
    return same & alive[2:] & alive[1:-1] & alive[:-2]


def _smooth_step(
    normals: Float64[np.ndarray, "frame 58 58"],
    gradients: Float64[np.ndarray, "frame 58"],
    motion: Motion,
    times: Float64[np.ndarray, " frame"],
    links: Bool[np.ndarray, " triple"],
) -> Float64[np.ndarray, "frame 58"]:
    """The step of all frames; weights at a bound that want to leave it are held."""
    frames = len(times)
    one, other = np.diff(times)[:-1], np.diff(times)[1:]
    coefficients = np.stack([2 / (one * (one + other)), -2 / (one * other), 2 / (other * (one + other))])
    strength = np.where(links, (one + other) / 2, 0.0)[:, None] * FRAME**3 / _CHANGES**2
    bands = np.zeros((2 * UNKNOWNS + 1, frames, UNKNOWNS))
    gradients = gradients.copy()
    _add_prior(bands, gradients, strength, coefficients, _second_derivatives(motion, coefficients))
    still = (
        np.where(links[:, None], _stillness(motion, times)[1:-1], 0.0)
        * one[:, None]
        * FRAME
        / (STILL_CHANGE * _CHANGES) ** 2
    )
    backwards = np.stack([-1 / one, 1 / one, np.zeros(len(one))])
    _add_prior(bands, gradients, still, backwards, _second_derivatives(motion, backwards))
    for offset in range(UNKNOWNS):
        columns = np.arange(UNKNOWNS - offset)
        bands[offset][:, columns] += normals[:, columns + offset, columns]
    fixed = np.zeros((frames, UNKNOWNS), dtype=bool)
    fixed[:, :52] = held(gradients[:, :52], motion.weights)
    for _ in range(2):
        diagonal = np.where(fixed, HELD, 0.0)
        system = bands.copy()
        system[0] += diagonal
        steps = solveh_banded(
            system.reshape(len(bands), -1), -np.where(fixed, 0.0, gradients).ravel(), lower=True, overwrite_ab=True
        ).reshape(frames, UNKNOWNS)
        target = motion.weights + steps[:, :52]
        beyond = (target < 0) & (motion.weights <= 0) | (target > 1) & (motion.weights >= 1)
        if not (beyond & ~fixed[:, :52]).any():
            break
        fixed[:, :52] |= beyond
    return steps


def _add_prior(
    bands: Float64[np.ndarray, "band frame 58"],
    gradients: Float64[np.ndarray, "frame 58"],
    strength: Float64[np.ndarray, "triple 58"],
    coefficients: Float64[np.ndarray, "3 triple"],
    values: Float64[np.ndarray, "triple 58"],
) -> None:
    """That these combinations of three frames are small, half their squares times `strength`."""
    triples = len(values)
    for i in range(3):
        gradients[i : triples + i] += strength * coefficients[i][:, None] * values
        for j in range(i + 1):
            product = strength * (coefficients[i] * coefficients[j])[:, None]
            bands[(i - j) * UNKNOWNS, j : triples + j] += product


def _stillness(motion: Motion, times: Float64[np.ndarray, " frame"]) -> Float64[np.ndarray, "frame 58"]:
    """1 where rotation or translation keep still for a while, 0 where they move; 0 for weights."""
    seconds = max(float(np.median(np.diff(times))), 1e-3)
    still = np.zeros((len(times), UNKNOWNS))
    turns = roma.rotmat_to_rotvec(torch.as_tensor(motion.rotations @ motion.rotations[len(times) // 2].T)).numpy()
    for columns, values, usual in (
        (slice(52, 55), turns, STILL_ROTATION),
        (slice(55, 58), motion.translations, STILL_PLACE),
    ):
        speeds = gaussian_filter1d(values, SPEED_WINDOW / seconds, axis=0, order=1) / seconds
        squares = gaussian_filter1d((speeds**2).sum(1), STILL_WINDOW / seconds)
        still[:, columns] = (1 / (1 + squares / usual**2) ** 2)[:, None]
    return still


def _second_derivatives(
    motion: Motion, coefficients: Float64[np.ndarray, "3 triple"]
) -> Float64[np.ndarray, "triple 58"]:
    """Of weights, rotation (in the middle frame's axes of the camera) and translation, per second squared."""

    def derivative(values: np.ndarray) -> np.ndarray:
        return sum(c[:, None] * values[i : len(values) - 2 + i] for i, c in enumerate(coefficients))

    middle = motion.rotations[1:-1].transpose(0, 2, 1)
    before, after = (
        roma.rotmat_to_rotvec(torch.as_tensor(np.ascontiguousarray(turned @ middle))).numpy()
        for turned in (motion.rotations[:-2], motion.rotations[2:])
    )
    turning = coefficients[0][:, None] * before + coefficients[2][:, None] * after
    return np.concatenate([derivative(motion.weights), turning, derivative(motion.translations)], axis=1)


def _usual_changes() -> Float64[np.ndarray, "58"]:
    shapes = [next(value for start, value in SHAPE_CHANGES.items() if name.startswith(start)) for name in ARKIT_NAMES]
    return np.array([*shapes, *[ROTATION] * 3, PLACE, PLACE, DEPTH])


_CHANGES = _usual_changes()
