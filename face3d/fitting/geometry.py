"""From landmarks and outlines to identity, expressions, head poses and focal lengths."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from face3d.fitting import contour
from face3d.fitting.evidence import FACE_OVAL, OUTER_EYE_CORNERS, landmark_sigma
from face3d.fitting.eye_rulers import pupils_slope, size_slope
from face3d.fitting.fitted_model import FittedModel, Shape
from face3d.fitting.gauss_newton import (
    Belief,
    Discounted,
    GaussianPriors,
    PointTerm,
    State,
    Term,
    View,
    minimise,
    projected,
)
from face3d.fitting.shading import Radiance, ShadingTerm, unhidden
from morphable import MorphableModel
from renderers import vertex_normals
from renderers.parallel import in_parallel

ITERATIONS = 3
"""Steps before outlines are looked for again and shapes are fitted to the new identity."""
SHARE = 0.1
"""How much landmarks and outlines count of what they say of an identity: the belief in it has been told already."""
SETTLED_SIGMA = 0.002
"""How far, in logarithm, they and shading may move the size, which they know from perspective alone and tell poorly,
and the distance of the eyeballs, which they do not see."""
SHADED_ITERATIONS = 2
SHADED_FACING = 0.25
"""Least cosine between a surface and the direction to the camera at which its shading counts."""


@dataclass(frozen=True)
class Measurements:
    """What was seen of one face, in pixels of the photo."""

    landmarks: Float[Tensor, "478 2"]
    luminance: Float[np.ndarray, "height width"]
    principal: Float[Tensor, "2"]
    radiance: Radiance | None = None
    landmark_sigma: Float[Tensor, "478"] | None = None
    """Of the landmarks, where the detector tells it; else as `evidence` has it."""


class GeometryFit:
    """What one photo of a face says of a model's unknowns, at any estimate of them."""

    def __init__(self, head: FittedModel, seen: Measurements, priors: GaussianPriors) -> None:
        self.head = head
        self.seen = seen
        self.priors = priors

    def pose(self, state: State) -> State:
        """The head's pose alone."""
        view = View(state, [self._landmark_term(self._posed(state), None)], self.priors, self.seen.principal)
        return minimise([view], Belief.prior(self.head.model.identities), 8, frozenset({"pose"}))[0]

    def view(self, state: State, bias: Float[Tensor, "478 2"] | None = None) -> View:
        """What landmarks and outlines say near an estimate. `bias` is what the detector adds to the projections of this
        head's points, in pixels."""
        return View(state, self._geometric_terms(self._posed(state), bias), self.priors, self.seen.principal)

    def shaded_view(self, state: State, bias: Float[Tensor, "478 2"] | None = None) -> View:
        """What they say, discounted, and shading."""
        posed = self._posed(state)
        terms: list[Term] = [Discounted(term, SHARE) for term in self._geometric_terms(posed, bias)]
        if self.seen.radiance is not None:
            terms.append(self._shading_term(posed, self.seen.radiance))
        return View(state, terms, self.priors, self.seen.principal)

    def projected_landmarks(self, state: State) -> Float[Tensor, "478 2"]:
        return projected(self._landmarks(state), state, self.seen.principal)

    def landmark_error(self, state: State, bias: Float[Tensor, "478 2"]) -> float:
        """Median distance between what the detector saw and should see, relative to the eyes' distance."""
        deviation = (self.projected_landmarks(state) + bias - self.seen.landmarks).norm(dim=1)
        return float(deviation.median()) / self.eye_distance(state)

    def eye_distance(self, state: State) -> float:
        """Between the outer eye corners, in pixels, as if the head faced the camera."""
        return _eye_distance(self._landmarks(state), state)

    def _landmarks(self, state: State) -> Float[Tensor, "478 3"]:
        return self.head.shape(state.identity).landmarks(state)

    def _posed(self, state: State) -> "_Posed":
        shape = self.head.shape(state.identity)
        vertices = shape.neutral + torch.tensordot(state.expression, shape.expressions, 1)
        normals = vertex_normals(vertices, self.head.model.triangles)
        eye = -(state.rotation.mT @ state.translation)
        facing = (normals * torch.nn.functional.normalize(eye - vertices, dim=-1)).sum(-1)
        landmarks = shape.landmarks(state)
        return _Posed(state, shape, vertices, normals, facing, landmarks, _eye_distance(landmarks, state))

    def _geometric_terms(self, posed: "_Posed", bias: Tensor | None) -> list[Term]:
        landmarks, outline = self._landmark_term(posed, bias), self._outline_term(posed)
        return [landmarks] if outline is None else [landmarks, outline]

    def _landmark_term(self, posed: "_Posed", bias: Tensor | None) -> PointTerm:
        targets = self.seen.landmarks if bias is None else self.seen.landmarks - bias
        sigma = self.seen.landmark_sigma
        if sigma is None:
            facing = self.head.at_landmarks(posed.facing[:, None])[:, 0]
            sigma = landmark_sigma(facing, posed.eye_distance)
        return PointTerm(posed.shape.landmarks, targets, sigma)

    def _outline_term(self, posed: "_Posed") -> PointTerm | None:
        state = posed.state
        chosen = contour.outline_vertices(posed.facing, self.head.edges, self.head.outline_allowed)
        if len(chosen) == 0:
            return None
        points = projected(posed.vertices[chosen], state, self.seen.principal)
        normals = (posed.normals[chosen] @ state.rotation.mT)[:, :2]
        normals = normals / normals.norm(dim=1, keepdim=True).clamp(min=1e-9)
        targets, clear = contour.nearest_edges(self.seen.luminance, points.numpy(), normals.numpy(), posed.eye_distance)
        kept = torch.as_tensor(clear) & ~self._inside_face(posed, points)
        if not kept.any():
            return None
        chosen = chosen[kept]
        sigma = torch.full((len(chosen),), contour.SIGMA * posed.eye_distance, dtype=torch.float64)
        basis = self.head.basis(chosen, posed.shape)
        return PointTerm(basis, torch.as_tensor(targets)[kept], sigma, normals[kept], robust=1.5)

    def _shading_term(self, posed: "_Posed", radiance: Radiance) -> ShadingTerm:
        head, state = self.head, posed.state
        in_front = unhidden(posed.vertices.float(), head.model.triangles, state, self.seen.principal, radiance)
        seen = head.skin & in_front & (posed.facing > SHADED_FACING)
        chosen = head.skin_vertices
        return ShadingTerm(head.basis(chosen, posed.shape), head.skin_triangles, seen[chosen], radiance)

    def _inside_face(self, posed: "_Posed", points: Tensor) -> Tensor:
        """Outline points in front of the face itself (a nose before its cheek) have no certain edge."""
        oval = projected(posed.landmarks[list(FACE_OVAL)], posed.state, self.seen.principal)
        return torch.cdist(points, oval).amin(1) > 0.15 * posed.eye_distance


@dataclass(frozen=True, eq=False)
class _Posed:
    """A head at an estimate.

    Attributes:
        vertices, normals, landmarks: in the world.
        facing: cosine between each vertex's normal and the direction to the camera.
        eye_distance: see `GeometryFit.eye_distance`.
    """

    state: State
    shape: Shape
    vertices: Float[Tensor, "vertex 3"]
    normals: Float[Tensor, "vertex 3"]
    facing: Float[Tensor, " vertex"]
    landmarks: Float[Tensor, "478 3"]
    eye_distance: float


def _eye_distance(landmarks: Float[Tensor, "478 3"], state: State) -> float:
    right, left = landmarks[list(OUTER_EYE_CORNERS)]
    depth = float((state.rotation @ ((right + left) / 2) + state.translation)[2])
    return float((left - right).norm() * state.log_focal.exp()) / depth


def fitted_together(
    fits: Sequence[GeometryFit],
    states: Sequence[State],
    belief: Belief,
    rounds: int,
    biases: Sequence[Float[Tensor, "478 2"] | None],
) -> list[State]:
    """One identity, and each photo's own unknowns, from landmarks and outlines; what depends on the estimate is
    refreshed between rounds.

    What landmarks know of the identity the belief has been told already, and told from a detector's errors: they move
    it only where they insist.
    """
    current = list(states)
    stiff = _settled(Belief(belief.mean, belief.precision / SHARE), fits[0].head.model)
    for _ in range(rounds):
        current = minimise(_views(GeometryFit.view, fits, current, biases), stiff, ITERATIONS)
    return current


def shaded_together(
    fits: Sequence[GeometryFit],
    states: Sequence[State],
    belief: Belief,
    rounds: int,
    biases: Sequence[Float[Tensor, "478 2"] | None],
) -> list[State]:
    """As `fitted_together`, from shading, too, before which all else counts at its own worth; at last each photo's
    expression, pose and focal length on their own, as landmarks and outlines have them."""
    current = list(states)
    settled = _settled(belief, fits[0].head.model)
    for _ in range(rounds):
        current = minimise(_views(GeometryFit.shaded_view, fits, current, biases), settled, SHADED_ITERATIONS)
    views = _views(GeometryFit.view, fits, current, biases)
    return minimise(views, settled, ITERATIONS, frozenset({"expression", "pose", "focal"}))


def calibrated(
    fits: Sequence[GeometryFit],
    states: Sequence[State],
    belief: Belief,
    redetect: Callable[[Sequence[State]], Iterable[Float[np.ndarray, "478 3"] | None]],
    rounds: int,
    most: float,
) -> tuple[list[State], list[Float[Tensor, "478 2"]]]:
    """Fit again with the detector's bias measured where it matters: on renders of the current estimate.

    A detector sees a head's points displaced by a bias that depends on pose and shape. Rendering the estimate and
    detecting on it gives that bias as detection minus projection, at the very head, pose and camera of the photo;
    taking it off the photo's landmarks makes the two comparable (an inverse compositional view of analysis by
    synthesis, with the detector as the feature).

    Args:
        redetect: for each photo, landmarks that the detector finds on a plain render of its state, None if it finds no
            face there.
        rounds: how often to measure the biases.
        most: biases beyond this many eye distances are taken for failures of the detector and cut off.
    """
    current = list(states)
    biases = [torch.zeros(478, 2, dtype=torch.float64) for _ in fits]
    for _ in range(rounds):
        for index, (fit, state, seen) in enumerate(zip(fits, current, redetect(current), strict=True)):
            if seen is not None:
                biases[index] = _bias(fit, state, seen, most)
        current = fitted_together(fits, current, belief, 2, biases)
    return current, biases


def _views(
    look: Callable[[GeometryFit, State, Float[Tensor, "478 2"] | None], View],
    fits: Sequence[GeometryFit],
    states: Sequence[State],
    biases: Sequence[Float[Tensor, "478 2"] | None],
) -> list[View]:
    return list(in_parallel(look, fits, states, biases))


def _settled(belief: Belief, model: MorphableModel) -> Belief:
    """The belief, sure of its size and of how far apart the eyes are."""
    slopes = torch.stack([size_slope(model, belief.mean), pupils_slope(model, belief.mean)])
    return Belief(belief.mean, belief.precision + slopes.mT @ slopes / SETTLED_SIGMA**2)


def _bias(fit: GeometryFit, state: State, seen: Float[np.ndarray, "478 3"], most: float) -> Float[Tensor, "478 2"]:
    measured = torch.as_tensor(seen[:, :2], dtype=torch.float64) - fit.projected_landmarks(state)
    length = measured.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return measured * (most * fit.eye_distance(state) / length).clamp(max=1.0)
