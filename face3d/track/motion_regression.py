"""Expression and head rotation from what a detector saw: a linear estimate learned on renders that passed through the
same detector.

A detector has habits: it sees lips pout less than they do, and a face pitched by several degrees. Here its landmarks,
laid over their mean by a similarity, are features, as is what they and its scores are beside those that the person
usually shows: in a regression learned on heads drawn from the population, habits have no weight.
`python -m assets.motion_regression.build` learns it.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import numpy as np
from jaxtyping import Float, Float64
from safetensors.numpy import load_file
from scipy.spatial.transform import Rotation

from face3d.track.sightings import Sightings
from morphable import ARKIT_NAMES

SHAPES = len(ARKIT_NAMES)


@dataclass(frozen=True)
class Looks:
    """What a detector makes of faces, apart from where they are.

    Attributes:
        shape: landmarks laid over the template, metres.
        turn: the similarity's rotation, template to camera axes turned upright, axis-angle.
        scores: of ARKIT_NAMES.
    """

    shape: Float64[np.ndarray, "*frame 1434"]
    turn: Float64[np.ndarray, "*frame 3"]
    scores: Float64[np.ndarray, "*frame 52"]

    @property
    def usual(self) -> "Looks":
        """The mean over frames."""
        return Looks(self.shape.mean(0), self.turn.mean(0), self.scores.mean(0))


@dataclass(frozen=True)
class MotionRegression:
    """A linear map from features to weights and to what is missing from the similarity's rotation.

    Attributes:
        template: where landmarks usually are, metres, in the head's frame.
        changing: principal directions of a person's shape about their usual one.
        lasting: principal directions of usual shapes, about `mean`.
        map: from features to weights and a rotation (axis-angle, in the head's axes).
        deviations: of the weights' errors on heads that it was not learned from.
    """

    template: Float64[np.ndarray, "478 3"]
    mean: Float64[np.ndarray, "1434"]
    changing: Float64[np.ndarray, "some 1434"]
    lasting: Float64[np.ndarray, "few 1434"]
    map: Float64[np.ndarray, "feature 55"]
    deviations: Float64[np.ndarray, "52"]

    @classmethod
    @cache
    def load(cls) -> "MotionRegression":
        with as_file(files("assets.motion_regression") / "motion_regression.safetensors") as path:
            return cls(**{name: values.astype(np.float64) for name, values in load_file(path).items()})

    def looks(self, sightings: Sightings) -> Looks:
        """Of the frames in which the face was seen."""
        return looks(sightings.landmarks[sightings.seen], sightings.scores[sightings.seen], self.template)

    def __call__(
        self, seen: Looks, usual: Looks
    ) -> tuple[Float64[np.ndarray, "frame 52"], Float64[np.ndarray, "frame 3 3"]]:
        """Weights, and the head's rotation to camera axes, as if it stood on the camera's axis."""
        found = features(seen, usual, self.mean, self.changing, self.lasting) @ self.map
        turned = _rotations(seen.turn) @ _rotations(found[:, SHAPES:])
        return found[:, :SHAPES].clip(0, 1), np.diag([1.0, -1.0, -1.0]) @ turned


def looks(
    landmarks: Float[np.ndarray, "frame 478 3"],
    scores: Float[np.ndarray, "frame 52"],
    template: Float64[np.ndarray, "478 3"],
) -> Looks:
    """Landmarks laid over the template by similarities (Umeyama 1991)."""
    flip = np.array([1.0, -1.0, -1.0])
    upright, goal = landmarks.astype(np.float64) * flip, template - template.mean(0)
    centred = upright - upright.mean(1, keepdims=True)
    left, values, right = np.linalg.svd(centred.transpose(0, 2, 1) @ goal)
    mirrored = np.linalg.det(left @ right) < 0
    left[mirrored, :, 2] *= -1
    values[mirrored, 2] *= -1
    turns = left @ right
    laid = centred @ turns * ((goal**2).sum() / values.sum(1))[:, None, None] + template.mean(0)
    return Looks(laid.reshape(len(laid), -1), Rotation.from_matrix(turns).as_rotvec(), scores.astype(np.float64))


def features(
    seen: Looks,
    usual: Looks,
    mean: Float64[np.ndarray, "1434"],
    changing: Float64[np.ndarray, "some 1434"],
    lasting: Float64[np.ndarray, "few 1434"],
) -> Float64[np.ndarray, "frame feature"]:
    """What the regression is linear in; `usual` has frames, too, or is one for all."""
    count = len(seen.shape)
    person = np.concatenate([(usual.shape - mean) @ lasting.T, _turn_terms(usual.turn)], axis=-1)
    return np.concatenate(
        [
            (seen.shape - usual.shape) @ changing.T,
            seen.scores - usual.scores,
            _turn_terms(seen.turn),
            np.broadcast_to(person, (count, person.shape[-1])),
            np.ones((count, 1)),
        ],
        axis=1,
    )


def off_axis(direction: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """The smallest rotation that carries the camera's axis to a direction: what is seen there looks turned by it."""
    axis = np.array([-direction[1], direction[0], 0.0])
    angle = np.arctan2(np.linalg.norm(axis), direction[2])
    unit = axis / max(float(np.linalg.norm(axis)), 1e-12)
    return _rotations(angle * unit)


def _turn_terms(turn: Float64[np.ndarray, "*frame 3"]) -> Float64[np.ndarray, "*frame 7"]:
    return np.concatenate([turn, turn**2, turn[..., :1] * turn[..., 1:2]], axis=-1)


def _rotations(vectors: Float64[np.ndarray, "*frame 3"]) -> Float64[np.ndarray, "*frame 3 3"]:
    matrices: np.ndarray = Rotation.from_rotvec(vectors).as_matrix()
    return matrices
