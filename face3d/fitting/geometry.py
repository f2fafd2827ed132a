"""From landmarks and outlines to identity, expressions, head poses and focal lengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from face3d.fitting import contour
from face3d.fitting.evidence import FACE_OVAL, OUTER_EYE_CORNERS, landmark_sigma
from face3d.fitting.eye_rulers import pupils_slope, size_slope
from face3d.fitting.gauss_newton import (
    Belief,
    Discounted,
    GaussianPriors,
    PointBasis,
    PointTerm,
    State,
    Term,
    View,
    minimise,
    projected,
)
from face3d.fitting.shading import Radiance, ShadingTerm, bare_skin, unhidden
from morphable import MorphableModel
from renderers import vertex_normals

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

    def __init__(self, model: MorphableModel, seen: Measurements, priors: GaussianPriors) -> None:
        self.model = model
        self.seen = seen
        self.priors = priors
        self.mean = model.mean.double()
        self.identity_basis = model.identity_basis.double()
        self.landmarks = _SurfacePoints.of_landmarks(model)
        self.mean_landmarks = self.landmarks.gather(self.mean)
        self.landmark_identity = self.landmarks.gather(self.identity_basis)
        self.edges = _edges(model.triangles)
        self._last: tuple[Tensor, Tensor] | None = None
        outside = model.regions["face"] | model.regions["ears"]
        self.outline_allowed = outside & ~model.regions["lips"] & ~model.regions["eye_socket"]
        self.skin = bare_skin(model)
        around = model.triangles[self.skin[model.triangles.long()].any(1)].long()
        self.skin_vertices, corners = torch.unique(around, return_inverse=True)
        self.skin_triangles = corners.view(-1, 3)

    def pose(self, state: State) -> State:
        """The head's pose alone."""
        view = View(state, [self._landmark_term(state, self._shapes(state), None)], self.priors, self.seen.principal)
        return minimise([view], Belief.prior(self.model.identities), 8, frozenset({"pose"}))[0]

    def view(self, state: State, bias: Float[Tensor, "478 2"] | None = None) -> View:
        """What landmarks and outlines say near an estimate. `bias` is what the detector adds to the projections of this
        head's points, in pixels."""
        shapes = self._shapes(state)
        outline = self._outline_term(state, shapes)
        terms = [self._landmark_term(state, shapes, bias), *([outline] if outline is not None else [])]
        return View(state, terms, self.priors, self.seen.principal)

    def shaded_view(self, state: State, bias: Float[Tensor, "478 2"] | None = None) -> View:
        """What they say, discounted, and shading."""
        terms: list[Term] = [Discounted(term, SHARE) for term in self.view(state, bias).terms]
        if self.seen.radiance is not None:
            terms.append(self._shading_term(state, self._shapes(state), self.seen.radiance))
        return View(state, terms, self.priors, self.seen.principal)

    def projected_landmarks(self, state: State) -> Float[Tensor, "478 2"]:
        points = self._landmark_basis(self._shapes(state))(state)
        return projected(points, state, self.seen.principal)

    def landmark_error(self, state: State, bias: Float[Tensor, "478 2"]) -> float:
        """Median distance between what the detector saw and should see, relative to the eyes' distance."""
        deviation = (self.projected_landmarks(state) + bias - self.seen.landmarks).norm(dim=1)
        return float(deviation.median()) / self.eye_distance(state)

    def eye_distance(self, state: State) -> float:
        """Between the outer eye corners, in pixels, as if the head faced the camera."""
        points = self._landmark_basis(self._shapes(state))(state)
        right, left = points[list(OUTER_EYE_CORNERS)]
        depth = float((state.rotation @ ((right + left) / 2) + state.translation)[2])
        return float((left - right).norm() * state.log_focal.exp()) / depth

    def _shapes(self, state: State) -> Float[Tensor, "52 vertex 3"]:
        """The expression shapes of the state's identity; those of the last one asked for are kept."""
        if self._last is None or not torch.equal(self._last[0], state.identity):
            with torch.no_grad():
                shapes = self.model.expressions(state.identity.to(self.model.mean)[None])[0]
            self._last = state.identity, shapes
        return self._last[1]

    def _landmark_basis(self, shapes: Float[Tensor, "52 vertex 3"]) -> PointBasis:
        gather = self.landmarks.gather
        return PointBasis(gather(self.mean), self.landmark_identity, gather(shapes.double()))

    def _landmark_term(self, state: State, shapes: Tensor, bias: Tensor | None) -> PointTerm:
        facing = self.landmarks.gather(self._facing(state, shapes)[:, None])[:, 0]
        targets = self.seen.landmarks if bias is None else self.seen.landmarks - bias
        sigma = self.seen.landmark_sigma
        if sigma is None:
            sigma = landmark_sigma(facing, self.eye_distance(state))
        return PointTerm(self._landmark_basis(shapes), targets, sigma)

    def _outline_term(self, state: State, shapes: Float[Tensor, "52 vertex 3"]) -> PointTerm | None:
        facing = self._facing(state, shapes)
        chosen = contour.outline_vertices(facing, self.edges, self.outline_allowed)
        if len(chosen) == 0:
            return None
        vertices = self._vertices(state, shapes)
        points = projected(vertices[chosen], state, self.seen.principal)
        normals = (vertex_normals(vertices, self.model.triangles)[chosen] @ state.rotation.mT)[:, :2]
        normals = normals / normals.norm(dim=1, keepdim=True).clamp(min=1e-9)
        eye_distance = self.eye_distance(state)
        targets, clear = contour.nearest_edges(self.seen.luminance, points.numpy(), normals.numpy(), eye_distance)
        kept = torch.as_tensor(clear) & ~self._inside_face(state, shapes, points, eye_distance)
        if not kept.any():
            return None
        chosen = chosen[kept]
        basis = PointBasis(self.mean[chosen], self.identity_basis[:, chosen], shapes[:, chosen].double())
        sigma = torch.full((len(chosen),), contour.SIGMA * eye_distance, dtype=torch.float64)
        return PointTerm(basis, torch.as_tensor(targets)[kept], sigma, normals[kept], robust=1.5)

    def _shading_term(self, state: State, shapes: Float[Tensor, "52 vertex 3"], radiance: Radiance) -> ShadingTerm:
        chosen = self.skin_vertices
        vertices = self._vertices(state, shapes)
        in_front = unhidden(vertices.float(), self.model.triangles, state, self.seen.principal, radiance)
        seen = self.skin & in_front & (self._facing(state, shapes) > SHADED_FACING)
        basis = PointBasis(self.mean[chosen], self.identity_basis[:, chosen], shapes[:, chosen].double())
        return ShadingTerm(basis, self.skin_triangles, seen[chosen], radiance)

    def _inside_face(self, state: State, shapes: Tensor, points: Tensor, eye_distance: float) -> Tensor:
        """Outline points in front of the face itself (a nose before its cheek) have no certain edge."""
        oval = projected(self._landmark_basis(shapes)(state)[list(FACE_OVAL)], state, self.seen.principal)
        distance = (points[:, None] - oval[None]).norm(dim=-1).amin(1)
        return distance > 0.15 * eye_distance

    def _vertices(self, state: State, shapes: Float[Tensor, "52 vertex 3"]) -> Float[Tensor, "vertex 3"]:
        neutral = self.mean + torch.tensordot(state.identity, self.identity_basis, 1)
        return neutral + torch.tensordot(state.expression, shapes.double(), 1)

    def _facing(self, state: State, shapes: Float[Tensor, "52 vertex 3"]) -> Float[Tensor, " vertex"]:
        """Cosine between each vertex's normal and the direction to the camera."""
        vertices = self._vertices(state, shapes)
        normals = vertex_normals(vertices, self.model.triangles)
        eye = -(state.rotation.mT @ state.translation)
        towards = torch.nn.functional.normalize(eye - vertices, dim=-1)
        return (normals * towards).sum(-1)


@dataclass(frozen=True)
class _SurfacePoints:
    """Barycentric points, gathered from anything that lives on vertices."""

    corners: Int[Tensor, "point 3"]
    weights: Float[Tensor, "point 3"]

    @classmethod
    def of_landmarks(cls, model: MorphableModel) -> "_SurfacePoints":
        embedding = model.landmarks["mediapipe"]
        return cls(model.triangles[embedding.triangles.long()].long(), embedding.barycentric.double())

    def gather(self, values: Float[Tensor, "*batch vertex channel"]) -> Float[Tensor, "*batch point channel"]:
        return (values[..., self.corners, :] * self.weights[:, :, None]).sum(-2)


def _edges(triangles: Int[Tensor, "triangle 3"]) -> Int[Tensor, "edge 2"]:
    pairs = torch.cat([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).long()
    return torch.unique(pairs.sort(1).values, dim=0)


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
    stiff = _settled(Belief(belief.mean, belief.precision / SHARE), fits[0].model)
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
    settled = _settled(belief, fits[0].model)
    for _ in range(rounds):
        current = minimise(_views(GeometryFit.shaded_view, fits, current, biases), settled, SHADED_ITERATIONS)
    views = _views(GeometryFit.view, fits, current, biases)
    return minimise(views, settled, ITERATIONS, frozenset({"expression", "pose", "focal"}))


def calibrated(
    fits: Sequence[GeometryFit],
    states: Sequence[State],
    belief: Belief,
    redetect: Sequence[Callable[[State], Float[np.ndarray, "478 3"] | None]],
    rounds: int,
    most: float,
) -> tuple[list[State], list[Float[Tensor, "478 2"]]]:
    """Fit again with the detector's bias measured where it matters: on renders of the current estimate.

    A detector sees a head's points displaced by a bias that depends on pose and shape. Rendering the estimate and
    detecting on it gives that bias as detection minus projection, at the very head, pose and camera of the photo;
    taking it off the photo's landmarks makes the two comparable (an inverse compositional view of analysis by
    synthesis, with the detector as the feature).

    Args:
        redetect: for each photo, landmarks that the detector finds on a plain render of a state, None if it finds no
            face there.
        rounds: how often to measure the biases.
        most: biases beyond this many eye distances are taken for failures of the detector and cut off.
    """
    current = list(states)
    biases = [torch.zeros(478, 2, dtype=torch.float64) for _ in fits]
    for _ in range(rounds):
        for index, (fit, state, look) in enumerate(zip(fits, current, redetect, strict=True)):
            seen = look(state)
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
    return [look(*each) for each in zip(fits, states, biases, strict=True)]


def _settled(belief: Belief, model: MorphableModel) -> Belief:
    """The belief, sure of its size and of how far apart the eyes are."""
    slopes = torch.stack([size_slope(model, belief.mean), pupils_slope(model, belief.mean)])
    return Belief(belief.mean, belief.precision + slopes.mT @ slopes / SETTLED_SIGMA**2)


def _bias(fit: GeometryFit, state: State, seen: Float[np.ndarray, "478 3"], most: float) -> Float[Tensor, "478 2"]:
    measured = torch.as_tensor(seen[:, :2], dtype=torch.float64) - fit.projected_landmarks(state)
    length = measured.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return measured * (most * fit.eye_distance(state) / length).clamp(max=1.0)
