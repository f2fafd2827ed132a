"""Robust Gauss-Newton over what a photo of one head can tell: identity, expression, head pose and focal length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from renderers import Camera

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


@dataclass(frozen=True)
class GaussianPriors:
    """What is likely before a photo is seen."""

    expression: Float[Tensor, " expression"]
    expression_sigma: Float[Tensor, " expression"]
    log_focal: float
    log_focal_sigma: float
    log_distance: float
    log_distance_sigma: float
    identity_sigma: float = 1.0


def minimise(
    terms: Sequence[PointTerm],
    priors: GaussianPriors,
    start: State,
    principal: Float[Tensor, "2"],
    iterations: int,
    free: frozenset[str] = frozenset({"identity", "expression", "pose", "focal"}),
) -> State:
    """Minimise the terms and priors from `start`, moving only the groups of unknowns in `free`.

    Each iteration solves the damped normal equations (Levenberg 1944) with iteratively reweighted residuals; expression
    weights stay within [0, 1]: those at a bound that want to leave it are held, and the rest is solved again.
    """
    state = start
    for _ in range(iterations):
        normal, gradient = normal_equations(terms, priors, state, principal)
        state = moved(state, _bounded_step(normal, gradient, state, free))
    return state


def normal_equations(
    terms: Sequence[PointTerm], priors: GaussianPriors, state: State, principal: Float[Tensor, "2"]
) -> tuple[Float[Tensor, "unknown unknown"], Float[Tensor, " unknown"]]:
    """Curvature and gradient of half the weighted squared residuals. Unknowns: identity, expression, rotation about the
    camera's axes, translation, log focal length."""
    identities, expressions = len(state.identity), len(state.expression)
    size = identities + expressions + 7
    normal = state.identity.new_zeros(size, size)
    gradient = state.identity.new_zeros(size)
    for term in terms:
        residual, jacobian = _linearised(term, state, principal)
        normal += jacobian.mT @ jacobian
        gradient += jacobian.mT @ residual
    for rows, weight, residual in _prior_rows(priors, state):
        normal[rows, rows] += weight
        gradient[rows] += weight * residual
    return normal, gradient


def moved(state: State, step: Float[Tensor, " unknown"]) -> State:
    """The state after a step of all unknowns, in the order of `normal_equations`; differentiable in the step."""
    identities, expressions = len(state.identity), len(state.expression)
    pose = identities + expressions
    return replace(
        state,
        identity=state.identity + step[:identities],
        expression=(state.expression + step[identities:pose]).clamp(0.0, 1.0),
        rotation=roma.rotvec_to_rotmat(step[pose : pose + 3]) @ state.rotation,
        translation=state.translation + step[pose + 3 : pose + 6],
        log_focal=state.log_focal + step[pose + 6].clamp(-FOCAL_LIMIT, FOCAL_LIMIT),
    )


def projected(
    points: Float[Tensor, "point 3"], state: State, principal: Float[Tensor, "2"]
) -> Float[Tensor, "point 2"]:
    """World points in pixels."""
    seen = points @ state.rotation.mT + state.translation
    return state.log_focal.exp() * seen[:, :2] / seen[:, 2:] + principal


def _linearised(term: PointTerm, state: State, principal: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted residuals (rows,) and their derivative (rows, unknowns); rotation turns about the camera's axes."""
    rotated = term.basis(state) @ state.rotation.mT
    seen = rotated + state.translation
    focal = state.log_focal.exp()
    depth = seen[:, 2]
    pixels = focal * seen[:, :2] / depth[:, None] + principal

    per_camera = seen.new_zeros(len(seen), 2, 3)  # d pixel / d camera point
    per_camera[:, 0, 0] = per_camera[:, 1, 1] = focal / depth
    per_camera[:, :, 2] = -(pixels - principal) / depth[:, None]
    per_world = per_camera @ state.rotation
    jacobian = torch.cat(
        [
            torch.einsum("pij,kpj->pik", per_world, term.basis.identity),
            torch.einsum("pij,epj->pie", per_world, term.basis.expression),
            -per_camera @ _cross_matrix(rotated),
            per_camera,
            (pixels - principal)[:, :, None],
        ],
        dim=-1,
    )
    residual = pixels - term.targets
    if term.normals is not None:
        residual = (residual * term.normals).sum(-1, keepdim=True)
        jacobian = torch.einsum("pi,pij->pj", term.normals, jacobian)[:, None]
    residual = residual / term.sigma[:, None]
    trust = 1.0 / (1.0 + residual.square().sum(-1) / term.robust**2)
    scale = trust.sqrt()
    jacobian = jacobian * (scale / term.sigma)[:, None, None]
    return (residual * scale[:, None]).flatten(), jacobian.flatten(0, 1)


def _prior_rows(priors: GaussianPriors, state: State) -> Iterator[tuple[Tensor | list[int], Tensor | float, Tensor]]:
    """(rows, weight, residual) of each prior on a diagonal block."""
    identities, expressions = len(state.identity), len(state.expression)
    pose = identities + expressions
    distance = state.translation[2]
    yield torch.arange(identities), priors.identity_sigma**-2, state.identity
    yield (
        torch.arange(identities, pose),
        priors.expression_sigma**-2,
        state.expression - priors.expression,
    )
    # log(distance) is linear in the distance near the current one
    error = distance.log() - priors.log_distance
    yield [pose + 5], (priors.log_distance_sigma * distance) ** -2, error * distance
    yield [pose + 6], priors.log_focal_sigma**-2, state.log_focal - priors.log_focal


def _bounded_step(normal: Tensor, gradient: Tensor, state: State, free: frozenset[str]) -> Tensor:
    identities, expressions = len(state.identity), len(state.expression)
    pose = identities + expressions
    groups = {
        "identity": slice(0, identities),
        "expression": slice(identities, pose),
        "pose": slice(pose, pose + 6),
        "focal": slice(pose + 6, pose + 7),
    }
    moving = torch.zeros(len(gradient), dtype=torch.bool)
    for name in free:
        moving[groups[name]] = True
    weights = state.expression
    downhill = -gradient[groups["expression"]]
    held = ((weights <= 0.0) & (downhill < 0.0)) | ((weights >= 1.0) & (downhill > 0.0))
    moving[groups["expression"]] &= ~held

    step = torch.zeros_like(gradient)
    for _ in range(2):
        block = normal[moving][:, moving]
        scale = block.diagonal()
        block = block + torch.diag(DAMPING * scale.maximum(UNSEEN * scale.max()))
        step = torch.zeros_like(gradient)
        step[moving] = torch.linalg.solve(block, -gradient[moving])
        target = weights + step[groups["expression"]]
        leaving = moving[groups["expression"]] & (
            (target < 0.0) & (weights <= 1e-9) | (target > 1.0) & (weights >= 1 - 1e-9)
        )
        if not leaving.any():
            break
        moving[groups["expression"]] &= ~leaving
    return step


def _cross_matrix(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """[v]x, so that [v]x u = v x u."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
