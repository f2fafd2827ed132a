"""Robust Gauss-Newton over what photos of one head can tell: its identity, and for each photo expression, head pose
and focal length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from renderers import Camera
from renderers.parallel import in_parallel

FOCAL_LIMIT = 0.2
"""The largest change of log focal length in one step."""
DAMPING = 1e-3
"""Levenberg's damping, relative to the diagonal of the normal equations."""
UNSEEN = 1e-6
"""Least diagonal relative to the largest, for unknowns of which nothing is known."""


@dataclass(frozen=True)
class State:
    """One head before one camera. All float64, so that normal equations of some 250 unknowns stay well conditioned."""

    identity: Float[Tensor, " identity"]
    expression: Float[Tensor, " expression"]
    """Weights in [0, 1]."""
    rotation: Float[Tensor, "3 3"]
    """World to camera."""
    translation: Float[Tensor, "3"]
    """World to camera, metres."""
    log_focal: Float[Tensor, ""]
    """Of the focal length in pixels."""

    def camera(self, principal: Float[Tensor, "2"], resolution: tuple[int, int]) -> Camera:
        focal = self.log_focal.exp().expand(2)
        return Camera(focal, principal, self.rotation, self.translation, resolution)


@dataclass(frozen=True)
class PointBasis:
    """Surface points as a linear function of identity and, at one identity, of expression. Metres, in the world."""

    mean: Float[Tensor, "point 3"]
    identity: Float[Tensor, "identity point 3"]
    expression: Float[Tensor, "expression point 3"]

    def __call__(self, state: State) -> Float[Tensor, "point 3"]:
        return (
            self.mean
            + torch.einsum("k,kpi->pi", state.identity, self.identity)
            + torch.einsum("e,epi->pi", state.expression, self.expression)
        )


@dataclass(frozen=True)
class PointTerm:
    """Projected points should lie on target pixels, or on lines through them.

    The residual of a point is `normal · (projection - target) / sigma` for each of its normals, made robust by Cauchy's
    weight 1 / (1 + (r / robust)²) on the point's whole residual.
    """

    basis: PointBasis
    targets: Float[Tensor, "point 2"]
    sigma: Float[Tensor, " point"]
    """Expected deviation in pixels."""
    normals: Float[Tensor, "point 2"] | None = None
    """Directions across the lines; None where both coordinates count."""
    robust: float = 1.0
    """The number of sigmas beyond which a point begins to be taken for an outlier."""

    def normal_equations(
        self, state: State, principal: Float[Tensor, "2"]
    ) -> tuple[Float[Tensor, "unknown unknown"], Float[Tensor, " unknown"]]:
        """Curvature and gradient of half the weighted squared residuals in a view's unknowns."""
        residual, jacobian = _linearised(self, state, principal)
        return jacobian.mT @ jacobian, jacobian.mT @ residual


class Term(Protocol):
    """What a photo says of a view's unknowns: identity, expression, rotation, translation, log focal length."""

    def normal_equations(
        self, state: State, principal: Float[Tensor, "2"]
    ) -> tuple[Float[Tensor, "unknown unknown"], Float[Tensor, " unknown"]]:
        """Curvature and gradient of half the weighted squared residuals."""
        ...


@dataclass(frozen=True)
class Discounted:
    """A term that counts only a part of what it says, as its measurements repeat each other."""

    term: Term
    share: float

    def normal_equations(
        self, state: State, principal: Float[Tensor, "2"]
    ) -> tuple[Float[Tensor, "unknown unknown"], Float[Tensor, " unknown"]]:
        normal, gradient = self.term.normal_equations(state, principal)
        return self.share * normal, self.share * gradient


@dataclass(frozen=True)
class GaussianPriors:
    """What is likely before a photo is seen."""

    expression: Float[Tensor, " expression"]
    expression_sigma: Float[Tensor, " expression"]
    log_focal: float
    log_focal_sigma: float
    log_distance: float
    log_distance_sigma: float


@dataclass(frozen=True)
class Belief:
    """A Gaussian over identities."""

    mean: Float[Tensor, " identity"]
    precision: Float[Tensor, "identity identity"]

    @classmethod
    def prior(cls, identities: int) -> "Belief":
        """Before anything was seen."""
        return cls(torch.zeros(identities, dtype=torch.float64), torch.eye(identities, dtype=torch.float64))


@dataclass(frozen=True)
class View:
    """One photo at an estimate: what it measures there."""

    state: State
    terms: Sequence[Term]
    priors: GaussianPriors
    principal: Float[Tensor, "2"]


def minimise(
    views: Sequence[View],
    belief: Belief,
    iterations: int,
    free: frozenset[str] = frozenset({"identity", "expression", "pose", "focal"}),
) -> list[State]:
    """Minimise the terms and priors of all views from their states, moving only the groups of unknowns in `free`.

    Identity is one for all views, and `belief` is what else is known of it. Each iteration solves the damped normal
    equations (Levenberg 1944) with iteratively reweighted residuals; expression weights stay within [0, 1]: those at a
    bound that want to leave it are held, and the rest is solved again.
    """
    for _ in range(iterations):
        normal, gradient = normal_equations(views, belief)
        states = [view.state for view in views]
        states = moved(states, _bounded_step(normal, gradient, states, free))
        views = [replace(view, state=state) for view, state in zip(views, states, strict=True)]
    return [view.state for view in views]


def normal_equations(
    views: Sequence[View], belief: Belief
) -> tuple[Float[Tensor, "unknown unknown"], Float[Tensor, " unknown"]]:
    """Curvature and gradient of half the weighted squared residuals.

    Unknowns: identity, then for each view expression, rotation about the camera's axes,
    translation and log focal length.
    """
    identity = views[0].state.identity
    layout = _Layout(len(identity), len(views[0].state.expression), len(views))
    normal = identity.new_zeros(layout.size, layout.size)
    gradient = identity.new_zeros(layout.size)
    for index, (view, measured) in enumerate(zip(views, in_parallel(_of_terms, views), strict=True)):
        unknowns = layout.of_view(index)
        for own_normal, own_gradient in measured:
            normal[unknowns[:, None], unknowns] += own_normal
            gradient[unknowns] += own_gradient
        own = layout.own(index)
        for rows, weight, residual in _prior_rows(view.priors, view.state):
            places = own[rows]
            normal[places, places] += weight
            gradient[places] += weight * residual
    head = layout.identity
    normal[head, head] += belief.precision
    gradient[head] += belief.precision @ (identity - belief.mean)
    return normal, gradient


def _of_terms(
    view: View,
) -> list[tuple[Float[Tensor, "unknown unknown"], Float[Tensor, " unknown"]]]:
    return [term.normal_equations(view.state, view.principal) for term in view.terms]


def moved(states: Sequence[State], step: Float[Tensor, " unknown"]) -> list[State]:
    """The states after a step of all unknowns, in the order of `normal_equations`; differentiable in the step."""
    identities, expressions = len(states[0].identity), len(states[0].expression)
    layout = _Layout(identities, expressions, len(states))
    identity = states[0].identity + step[layout.identity]
    after = []
    for index, state in enumerate(states):
        expression, rotation, translation, log_focal = step[layout.own(index)].split([expressions, 3, 3, 1])
        after.append(
            replace(
                state,
                identity=identity,
                expression=(state.expression + expression).clamp(0.0, 1.0),
                rotation=roma.rotvec_to_rotmat(rotation) @ state.rotation,
                translation=state.translation + translation,
                log_focal=state.log_focal + log_focal[0].clamp(-FOCAL_LIMIT, FOCAL_LIMIT),
            )
        )
    return after


@dataclass(frozen=True)
class _Layout:
    """Where unknowns are in the normal equations."""

    identities: int
    expressions: int
    views: int

    @property
    def size(self) -> int:
        return self.identities + self.views * (self.expressions + 7)

    @property
    def identity(self) -> slice:
        return slice(0, self.identities)

    def own(self, view: int) -> Int[Tensor, " own"]:
        """A view's own unknowns: expression, rotation, translation, log focal length."""
        count = self.expressions + 7
        return self.identities + view * count + torch.arange(count)

    def of_view(self, view: int) -> Int[Tensor, " seen"]:
        """All unknowns that a view depends on."""
        return torch.cat([torch.arange(self.identities), self.own(view)])

    def group(self, name: str, view: int) -> Int[Tensor, " some"]:
        """Unknowns of a group; identity is every view's."""
        own = self.own(view)
        return {
            "identity": torch.arange(self.identities),
            "expression": own[: self.expressions],
            "pose": own[self.expressions : -1],
            "focal": own[-1:],
        }[name]


def projected(
    points: Float[Tensor, "point 3"], state: State, principal: Float[Tensor, "2"]
) -> Float[Tensor, "point 2"]:
    """World points in pixels."""
    seen = points @ state.rotation.mT + state.translation
    return state.log_focal.exp() * seen[:, :2] / seen[:, 2:] + principal


def projected_with_slopes(
    basis: PointBasis, state: State, principal: Float[Tensor, "2"]
) -> tuple[Float[Tensor, "point 2"], Float[Tensor, "point 2 unknown"]]:
    """Points in pixels and their derivative by a view's unknowns; rotation turns about the camera's axes."""
    rotated = basis(state) @ state.rotation.mT
    seen = rotated + state.translation
    focal = state.log_focal.exp()
    depth = seen[:, 2]
    pixels = focal * seen[:, :2] / depth[:, None] + principal

    per_camera = seen.new_zeros(len(seen), 2, 3)  # d pixel / d camera point
    per_camera[:, 0, 0] = per_camera[:, 1, 1] = focal / depth
    per_camera[:, :, 2] = -(pixels - principal) / depth[:, None]
    per_world = per_camera @ state.rotation
    slopes = torch.cat(
        [
            torch.einsum("pij,kpj->pik", per_world, basis.identity),
            torch.einsum("pij,epj->pie", per_world, basis.expression),
            -per_camera @ _cross_matrix(rotated),
            per_camera,
            (pixels - principal)[:, :, None],
        ],
        dim=-1,
    )
    return pixels, slopes


def _linearised(term: PointTerm, state: State, principal: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted residuals (rows,) and their derivative (rows, unknowns)."""
    pixels, jacobian = projected_with_slopes(term.basis, state, principal)
    residual = pixels - term.targets
    if term.normals is not None:
        residual = (residual * term.normals).sum(-1, keepdim=True)
        jacobian = torch.einsum("pi,pij->pj", term.normals, jacobian)[:, None]
    residual = residual / term.sigma[:, None]
    trust = 1.0 / (1.0 + residual.square().sum(-1) / term.robust**2)
    scale = trust.sqrt()
    jacobian = jacobian * (scale / term.sigma)[:, None, None]
    return (residual * scale[:, None]).flatten(), jacobian.flatten(0, 1)


def _prior_rows(priors: GaussianPriors, state: State) -> Iterator[tuple[Tensor, Tensor | float, Tensor]]:
    """(places among the view's own unknowns, weight, residual) of each prior on a diagonal block."""
    expressions = len(state.expression)
    distance = state.translation[2]
    yield torch.arange(expressions), priors.expression_sigma**-2, state.expression - priors.expression
    # log(distance) is linear in the distance near the current one
    error = distance.log() - priors.log_distance
    yield torch.tensor([expressions + 5]), (priors.log_distance_sigma * distance) ** -2, error * distance
    yield torch.tensor([expressions + 6]), priors.log_focal_sigma**-2, state.log_focal - priors.log_focal


def _bounded_step(normal: Tensor, gradient: Tensor, states: Sequence[State], free: frozenset[str]) -> Tensor:
    layout = _Layout(len(states[0].identity), len(states[0].expression), len(states))
    moving = torch.zeros(layout.size, dtype=torch.bool)
    for view in range(len(states)):
        for name in free:
            moving[layout.group(name, view)] = True
    expression = torch.cat([layout.group("expression", view) for view in range(len(states))])
    weights = torch.cat([state.expression for state in states])
    downhill = -gradient[expression]
    held = ((weights <= 0.0) & (downhill < 0.0)) | ((weights >= 1.0) & (downhill > 0.0))
    moving[expression[held]] = False

    step = torch.zeros_like(gradient)
    for _ in range(2):
        block = normal[moving][:, moving]
        scale = block.diagonal()
        block = block + torch.diag(DAMPING * scale.maximum(UNSEEN * scale.max()))
        step = torch.zeros_like(gradient)
        step[moving] = torch.linalg.solve(block, -gradient[moving])
        target = weights + step[expression]
        leaving = moving[expression] & ((target < 0.0) & (weights <= 1e-9) | (target > 1.0) & (weights >= 1 - 1e-9))
        if not leaving.any():
            break
        moving[expression[leaving]] = False
    return step


def _cross_matrix(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """[v]x, so that [v]x u = v x u."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
