"""Who is seen: the head, the camera, and what both look like to the detector, solved once for a clip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64, Int, UInt8

import morphable
from face3d.errors import Face3DError
from face3d.fitting.fitted_model import FittedModel
from face3d.fitting.geometry import GeometryFit, Measurements, fitted_together
from face3d.fitting.identity_regression import IdentityRegression
from face3d.fitting.start import FOCAL_PER_SIDE, FOCAL_SPREAD, first_state, priors
from face3d.heads import model_of
from face3d.perception import FaceObservation, MediaPipeDetector
from face3d.perception.observation import SMALLEST_FACE
from face3d.track.motion_regression import Looks, MotionRegression, off_axis
from face3d.track.pose_expression import Belief, Lens, Placed, Seen, energy, first_place, fitted, projected
from face3d.track.response import Response, measured_response
from face3d.track.sightings import Sightings
from morphable import ARKIT_NAMES, Head
from morphable.appearance import plain_textures

MOST = 5
"""Frames from which a person is solved."""
SPREAD = 0.15
"""Radians between two of them, so that they show the head from different sides."""
FOCALS = FOCAL_PER_SIDE * np.geomspace(0.4, 4.0, 15)
"""Focal lengths over the picture's longer side among which the camera's is looked for."""
EDGES = ((234, 454), (10, 152))
"""Landmarks at the face's right and left edge, and at its upper and lower."""
MOTIONS = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthFunnel", "eyeBlinkLeft", "eyeBlinkRight")
"""Expressions that hide a face's shape most."""
ROUNDS = 8
"""Gauss-Newton steps from a rough start."""
FAMILIAR = 60
"""Frames from which a person's looks are learned."""
HABIT_SPREAD, HABIT_ERROR = 0.004, 0.0003
"""Metres: how far the detector may see a point of a person beside where it sees that of the head drawn, and how well
the frames together tell."""
HABIT_PASSES = 2


@dataclass(frozen=True)
class Person:
    """A head before a camera, as the detector sees it."""

    head: Head
    lens: Lens
    response: Response
    sharpness: float
    """Of this face in a good frame."""
    usual: Looks | None = None
    """What the detector mostly makes of this person."""

    def seen(self, sightings: Sightings, index: int) -> Seen:
        """What one frame says; of a blurred one less is believed."""
        worth = float(np.clip(sightings.sharpness[index] / self.sharpness, 0.1, 1))
        belief = None if self.usual is None else self._belief(sightings[index : index + 1], self.usual)
        return Seen(sightings.landmarks[index, :, :2].astype(np.float64), worth, belief)

    def _belief(self, sighting: Sightings, usual: Looks) -> Belief:
        regression = MotionRegression.load()
        weights, turns = regression(regression.looks(sighting), usual)
        middle = (sighting.landmarks[0, :, :2].mean(0) - self.lens.principal) / self.lens.focal
        rotation = off_axis(np.append(middle, 1.0)) @ turns[0]
        return Belief(weights[0], regression.deviations, rotation)


def met(
    pictures: Sequence[UInt8[np.ndarray, "height width 3"]], sightings: Sightings, detector: MediaPipeDetector
) -> Person:
    """The person in pictures of which these are the sightings: one head and one camera for all.

    The identity is solved as from photos: a belief from the regression, moved by landmarks and outlines.
    """
    head = FittedModel(morphable.load())
    observations = [
        _steadier(*each, detector) for each in zip(pictures, sightings.landmarks, sightings.scores, strict=True)
    ]
    belief = IdentityRegression.load().belief(observations)
    fits, states = [], []
    for picture, observation in zip(pictures, observations, strict=True):
        height, width = picture.shape[:2]
        scores = torch.tensor([observation.expression_scores[name] for name in ARKIT_NAMES], dtype=torch.float64)
        likely = priors(scores, None, height, width)
        principal = torch.tensor([width / 2, height / 2], dtype=torch.float64)
        seen = Measurements(torch.tensor(observation.landmarks[:, :2].copy()), picture.mean(2), principal)
        fit = GeometryFit(head, seen, likely)
        start = first_state(head.mean_landmarks, observation.landmarks, likely, belief.mean, principal)
        fits.append(fit)
        states.append(fit.pose(start))
    together = fitted_together(fits, states, belief, 4, [None] * len(fits))
    textures = plain_textures(head.model, resolution=512)
    return known(
        Head.from_model(head.model, together[0].identity.float(), textures), pictures[0].shape[:2], sightings, detector
    )


def known(head: Head, size: tuple[int, int], sightings: Sightings, detector: MediaPipeDetector) -> Person:
    """A given head, before the camera of (height, width) pixels under which it meets these frames best.

    Raises:
        Face3DError: the head has a mesh of its own.
    """
    response = measured_response(head, model_of(head), detector)
    principal = np.array([size[1] / 2, size[0] / 2])
    lenses = [Lens(float(focal * max(size)), principal) for focal in FOCALS]
    people = [Person(head, lens, response, float(sightings.sharpness.max())) for lens in lenses]
    unlikely = 0.5 * (np.log(FOCALS / FOCAL_PER_SIDE) / FOCAL_SPREAD) ** 2
    costs = [sum(_misfit(person, sightings, index) for index in range(len(sightings))) for person in people]
    return people[int(np.argmin(np.array(costs) + unlikely))]


def familiar(person: Person, sightings: Sightings) -> Person:
    """The person after a good look: what the detector mostly makes of them, and where it sees their points beside those
    of the head drawn, which is not quite theirs."""
    some = sightings[spread([sightings])]
    person = replace(person, usual=MotionRegression.load().looks(some).usual)
    places: list[Placed] = []
    for _ in range(HABIT_PASSES):
        starts = places or [first_place(person.response, landmarks, person.lens) for landmarks in some.landmarks]
        places = [
            fitted(person.response, person.seen(some, index), person.lens, start, ROUNDS)
            for index, start in enumerate(starts)
        ]
        person = replace(person, response=person.response.shifted(_habits(person, some, places)))
    return person


def rough_place(person: Person, sightings: Sightings, index: int) -> Placed:
    """The head in one frame, from nothing but that frame."""
    start = first_place(person.response, sightings.landmarks[index], person.lens)
    return fitted(person.response, person.seen(sightings, index), person.lens, start, ROUNDS)


def spread(pieces: Iterable[Sightings], first: int | None = None) -> Int[np.ndarray, " some"]:
    """Up to FAMILIAR frames from all over those that show the face, or from the `first` so many of them."""
    seen = np.flatnonzero(np.concatenate([piece.seen for piece in pieces]))[:first]
    return seen[np.linspace(0, len(seen) - 1, min(FAMILIAR, len(seen))).astype(int)]


def informative(pieces: Iterable[Sightings], first: int | None = None) -> Int[np.ndarray, " some"]:
    """Frames that tell most of a person's shape: sharp, large, at rest, from the front and from other sides.

    Only the `first` frames with a face are looked at, if that is given.

    Raises:
        Face3DError: no frame shows a face, or all faces are too small.
    """
    notes = [_notes(piece) for piece in pieces]
    sharpness, width, moving, turns = (np.concatenate(column) for column in zip(*notes, strict=True))
    if first is not None:
        width[np.flatnonzero(width)[first:]] = 0
    if not width.any():
        raise Face3DError("No face was found in the video; use one in which a face is larger, sharper or better lit.")
    if width.max() < SMALLEST_FACE:
        raise Face3DError(
            f"The face in the video is at most {width.max():.0f} px wide; at least {SMALLEST_FACE} px are needed."
        )
    clear = np.minimum(sharpness / np.quantile(sharpness[width > 0], 0.9), 1)
    value = clear + 0.3 * width / width.max() - 0.6 * np.abs(turns).sum(1) - 0.4 * moving
    value[width < SMALLEST_FACE] = -np.inf
    chosen: list[int] = []
    while len(chosen) < MOST and np.isfinite(value).any():
        chosen.append(int(value.argmax()))
        value[np.linalg.norm(turns - turns[chosen[-1]], axis=1) < SPREAD] = -np.inf
    return np.sort(np.array(chosen))


def _notes(piece: Sightings) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each frame: sharpness, width of the face (0: none was seen), strength of the expression, yaw and pitch."""
    (right, left), (top, bottom) = EDGES
    across = piece.landmarks[:, left] - piece.landmarks[:, right]
    down = piece.landmarks[:, bottom] - piece.landmarks[:, top]
    turns = np.stack([np.arctan2(across[:, 2], across[:, 0]), np.arctan2(down[:, 2], down[:, 1])], axis=1)
    moving = piece.scores[:, [ARKIT_NAMES.index(name) for name in MOTIONS]].sum(1)
    return piece.sharpness, np.ptp(piece.landmarks[:, :, 0], axis=1), moving, turns


def _steadier(
    picture: UInt8[np.ndarray, "height width 3"], landmarks: np.ndarray, scores: np.ndarray, detector: MediaPipeDetector
) -> FaceObservation:
    """A second, longer look at a face that has been seen."""
    (x0, y0), (x1, y1) = landmarks[:, :2].min(0).tolist(), landmarks[:, :2].max(0).tolist()
    named = dict(zip(ARKIT_NAMES, scores.tolist(), strict=True))
    before = FaceObservation((x0, y0, x1, y1), landmarks.astype(np.float64), named, None, 1.0)
    return detector.measure(picture, before.box) or before


def _habits(person: Person, sightings: Sightings, places: list[Placed]) -> Float64[np.ndarray, "478 3"]:
    """From where points should be seen to where they mostly are, in the head's frame, metres (a ridge regression)."""
    normal = np.tile(np.eye(3) / HABIT_SPREAD**2, (len(person.response.embedded), 1, 1))
    pull = np.zeros((len(normal), 3))
    precision = 1 / (len(places) * HABIT_ERROR**2)
    for landmarks, place in zip(sightings.landmarks, places, strict=True):
        points = person.response.points(place.weights, place.eye)
        depth = points @ place.rotation[2] + place.translation[2]
        beside = (
            (landmarks[:, :2] - projected(person.response, person.lens, place)) * depth[:, None] / person.lens.focal
        )
        plane = place.rotation[:2]
        normal += plane.T @ plane * precision
        pull += beside @ plane * precision
    habits: np.ndarray = np.linalg.solve(normal, pull[..., None])[..., 0]
    return habits


def _misfit(person: Person, sightings: Sightings, index: int) -> float:
    place = rough_place(person, sightings, index)
    return energy(person.response, person.seen(sightings, index), person.lens, place)
