"""One frame: the expression and the place of a known head, from landmarks, by robust Gauss–Newton.

The head is rigid but for its expressions: points of the skull (nose bridge, eye corners, forehead) hold the pose, skin
is what is left to the expression.
"""

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from face3d.fitting.evidence import EYELIDS, FACE_OVAL, IRISES, LIPS, OUTER_EYE_CORNERS
from face3d.track.response import Response
from morphable import ARKIT_NAMES

UNKNOWNS = len(ARKIT_NAMES) + 6
"""Weights, rotation about the camera's axes (radians), translation (metres)."""
SIGMA = 0.08
"""Expected deviation of a point over the distance between the outer eye corners; errors of neighbours agree, and
weigh accordingly."""
SHARP_SIGMA = 0.05
"""Of lids, lips and irises."""
SKULL_SIGMA = 0.05
"""Of points that no expression moves much."""
OVAL_SIGMA = 0.16
"""Of points on the face's outline, which slide along it as the head turns."""
SKULL = (168, 6, 197, 195, 5, 4, 33, 133, 362, 263, 8, 9, 151, 10, 122, 351, 193, 417, 245, 465, 188, 412, 174, 399)
PAIRS = np.array(
    [(13, 14), (82, 87), (312, 317), (81, 178), (311, 402)]
    + [(159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373)]
)
"""Points of the inner lips and of the lids over each other: whether mouth and eyes are shut."""
PAIR_SIGMA = 0.01
"""Of their distance: both ends of a pair share most of their error."""
WEIGHT_SIGMA = 0.4
"""Of an expression's weight about 0, where nothing else is believed."""
TURN_SIGMA = 0.08
"""Radians: of the head's rotation about what is believed, which turns too little: landmarks have to tell how far."""
HIDDEN_FACTOR = 4.0
"""How much less a point is worth where the surface looks away from the camera."""
ROBUST = 2.0
"""Sigmas beyond which a point begins to be taken for an outlier."""
FARTHEST = 100.0
"""Metres."""


@dataclass(frozen=True)
class Lens:
    """A pinhole camera that stays as it is: focal length and principal point, pixels."""

    focal: float
    principal: Float64[np.ndarray, "2"]


@dataclass(frozen=True)
class Placed:
    """A head's expression, and its world in camera axes (x right, y down, z forward), metres."""

    weights: Float64[np.ndarray, "52"]
    rotation: Float64[np.ndarray, "3 3"]
    translation: Float64[np.ndarray, "3"]

    @property
    def eye(self) -> Float64[np.ndarray, "3"]:
        """The camera in the head's world."""
        place: np.ndarray = -self.rotation.T @ self.translation
        return place

    def moved(self, step: Float64[np.ndarray, "58"]) -> "Placed":
        """After a step of the unknowns; weights stay in [0, 1]."""
        weights, turn, shift = np.split(step, [len(ARKIT_NAMES), len(ARKIT_NAMES) + 3])
        rotation = Rotation.from_rotvec(turn).as_matrix() @ self.rotation
        return Placed(np.clip(self.weights + weights, 0.0, 1.0), rotation, self.translation + shift)


@dataclass(frozen=True)
class Belief:
    """What is believed of a frame's head, whatever its shape: weights, their deviations, and the rotation to camera
    axes."""

    weights: Float64[np.ndarray, "52"]
    deviations: Float64[np.ndarray, "52"]
    rotation: Float64[np.ndarray, "3 3"]


@dataclass(frozen=True)
class Seen:
    """What was seen in one frame: landmarks in pixels, how much of a usual frame's evidence they are worth, and what
    was believed at once."""

    landmarks: Float64[np.ndarray, "478 2"]
    worth: float = 1.0
    belief: Belief | None = None


def first_place(response: Response, landmarks: Float64[np.ndarray, "478 3"], lens: Lens) -> Placed:
    """The head at rest turned and placed so that it meets landmarks with relative depths (Umeyama 1991)."""
    source, target = response.embedded, np.asarray(landmarks, dtype=np.float64)
    source_centre, target_centre = source.mean(0), target.mean(0)
    points = torch.as_tensor(source - source_centre), torch.as_tensor(target - target_centre)
    rotation, _, scale = roma.rigid_points_registration(*points, compute_scaling=True)
    depth = lens.focal / float(scale)
    centre = np.append((target_centre[:2] - lens.principal) / float(scale), depth)
    return Placed(np.zeros(52), rotation.numpy(), centre - rotation.numpy() @ source_centre)


def fitted(response: Response, seen: Seen, lens: Lens, start: Placed, rounds: int) -> Placed:
    """The likeliest expression and place, from `start` on."""
    for _ in range(rounds):
        normal, gradient = normal_equations(response, seen, lens, start)
        start = start.moved(bounded_step(normal, gradient, start.weights))
    return start


def normal_equations(
    response: Response, seen: Seen, lens: Lens, place: Placed
) -> tuple[Float64[np.ndarray, "58 58"], Float64[np.ndarray, "58"]]:
    """Curvature and gradient of half the weighted squared residuals of landmarks, pairs and beliefs."""
    points = response.points(place.weights, place.eye)
    turned = points @ place.rotation.T
    viewed = turned + place.translation
    depth = np.clip(viewed[:, 2], 1e-2, FARTHEST)
    pixels = lens.focal * viewed[:, :2] / depth[:, None] + lens.principal
    per_camera = np.zeros((len(points), 2, 3))
    per_camera[:, 0, 0] = per_camera[:, 1, 1] = lens.focal / depth
    per_camera[:, :, 2] = -(pixels - lens.principal) / depth[:, None]
    per_head = per_camera @ place.rotation
    jacobian = np.empty((len(points), 2, UNKNOWNS))
    jacobian[:, :, :52] = per_head @ response.slopes(place.weights).transpose(1, 2, 0)
    jacobian[:, :, 52:55] = -per_camera @ _cross_matrices(turned)
    jacobian[:, :, 55:] = per_camera

    eyes = eye_distance(response, lens, place)
    sigma = _SIGMAS * eyes * _hidden(response, place)
    residual = pixels - seen.landmarks
    rows, errors = _robust(jacobian, residual, sigma)
    upper, lower = PAIRS.T
    sizes = np.full(len(PAIRS), PAIR_SIGMA * eyes)
    pair_rows, pair_errors = _robust(jacobian[upper] - jacobian[lower], residual[upper] - residual[lower], sizes)
    rows, errors = np.concatenate([rows, pair_rows]), np.concatenate([errors, pair_errors])
    normal, gradient = rows.T @ rows, rows.T @ errors
    curvature, pull = _prior(seen.belief, place)
    normal[np.arange(UNKNOWNS), np.arange(UNKNOWNS)] += curvature
    return seen.worth * normal, seen.worth * (gradient + pull)


def bounded_step(
    normal: Float64[np.ndarray, "58 58"], gradient: Float64[np.ndarray, "58"], weights: Float64[np.ndarray, "52"]
) -> Float64[np.ndarray, "58"]:
    """The Newton step on which weights at a bound that want to leave [0, 1] are held."""
    free = np.append(~held(gradient[:52], weights), np.ones(6, dtype=bool))
    step = np.zeros(UNKNOWNS)
    for _ in range(2):
        step[:] = 0.0
        step[free] = np.linalg.solve(normal[np.ix_(free, free)], -gradient[free])
        beyond = (weights + step[:52] < 0) & (weights <= 0) | (weights + step[:52] > 1) & (weights >= 1)
        if not (beyond & free[:52]).any():
            break
        free[:52] &= ~beyond
    return step


def held(gradient: Float64[np.ndarray, "*frame 52"], weights: Float64[np.ndarray, "*frame 52"]) -> np.ndarray:
    """Which weights lie at a bound and would leave [0, 1] downhill."""
    return (weights <= 0) & (gradient > 0) | (weights >= 1) & (gradient < 0)


def energy(response: Response, seen: Seen, lens: Lens, place: Placed) -> float:
    """What of the landmarks is left unexplained: half the robust squared residuals."""
    sigma = _SIGMAS * eye_distance(response, lens, place) * _hidden(response, place)
    squared = (((projected(response, lens, place) - seen.landmarks) / sigma[:, None]) ** 2).sum(1)
    return float(0.5 * ROBUST**2 * np.log1p(squared / ROBUST**2).sum())


def projected(response: Response, lens: Lens, place: Placed) -> Float64[np.ndarray, "478 2"]:
    """Where the detector should see its points, pixels."""
    viewed = response.points(place.weights, place.eye) @ place.rotation.T + place.translation
    shown: np.ndarray = lens.focal * viewed[:, :2] / np.maximum(viewed[:, 2:], 1e-2) + lens.principal
    return shown


def eye_distance(response: Response, lens: Lens, place: Placed) -> float:
    """Between the outer eye corners, pixels, as if the head faced the camera."""
    right, left = response.embedded[list(OUTER_EYE_CORNERS)]
    depth = place.rotation[2] @ (right + left) / 2 + place.translation[2]
    return lens.focal * float(np.linalg.norm(left - right)) / float(np.clip(depth, 1e-2, FARTHEST))


def _sigmas() -> Float64[np.ndarray, "478"]:
    sigma = np.full(478, SIGMA)
    sigma[list(FACE_OVAL)] = OVAL_SIGMA
    sigma[[*LIPS, *EYELIDS, *IRISES[0], *IRISES[1]]] = SHARP_SIGMA
    sigma[list(SKULL)] = SKULL_SIGMA
    return sigma


_SIGMAS = _sigmas()


def _hidden(response: Response, place: Placed) -> Float64[np.ndarray, "478"]:
    """1 where the surface faces the camera, up to HIDDEN_FACTOR where it looks away."""
    towards = place.eye - response.embedded
    facing = (response.normals * towards).sum(1) / np.linalg.norm(towards, axis=1)
    return 1 + (HIDDEN_FACTOR - 1) * np.clip((0.25 - facing) / 0.25, 0, 1)


def _prior(belief: Belief | None, place: Placed) -> tuple[Float64[np.ndarray, "58"], Float64[np.ndarray, "58"]]:
    """Diagonal of the curvature, and gradient, of half the squared distance from what is believed."""
    curvature, pull = np.zeros(UNKNOWNS), np.zeros(UNKNOWNS)
    if belief is None:
        curvature[:52] = WEIGHT_SIGMA**-2
        pull[:52] = curvature[:52] * place.weights
        return curvature, pull
    curvature[:52], curvature[52:55] = belief.deviations**-2, TURN_SIGMA**-2
    turned = Rotation.from_matrix(place.rotation @ belief.rotation.T).as_rotvec()
    pull[:55] = curvature[:55] * np.concatenate([place.weights - belief.weights, turned])
    return curvature, pull


def _robust(
    jacobian: Float64[np.ndarray, "point 2 58"],
    residual: Float64[np.ndarray, "point 2"],
    sigma: Float64[np.ndarray, " point"],
) -> tuple[Float64[np.ndarray, "row 58"], Float64[np.ndarray, " row"]]:
    """Whitened rows under Cauchy's weights 1 / (1 + (r / ROBUST)²)."""
    whitened = residual / sigma[:, None]
    scale = 1 / np.sqrt(1 + (whitened**2).sum(1) / ROBUST**2)
    rows = jacobian * (scale / sigma)[:, None, None]
    return rows.reshape(-1, UNKNOWNS), (whitened * scale[:, None]).ravel()


def _cross_matrices(vectors: Float64[np.ndarray, "point 3"]) -> Float64[np.ndarray, "point 3 3"]:
    """[v]x, so that [v]x u = v × u."""
    matrices = np.zeros((len(vectors), 3, 3))
    x, y, z = vectors.T
    matrices[:, 0, 1], matrices[:, 0, 2], matrices[:, 1, 2] = -z, y, -x
    matrices[:, 1, 0], matrices[:, 2, 0], matrices[:, 2, 1] = z, -y, x
    return matrices
