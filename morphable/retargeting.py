"""Performances between FLAME and ARKit: the weights that move the surface alike, found by solving on the surface.

FLAME opens its mouth with a joint and its expressions are principal components; ARKit's 52 are shapes between 0 and 1.
No table leads from one to the other. Both move the same vertices once FLAME's mesh has the 52 shapes (deformation
transfer gives them), so each is fitted to what the other does, by least squares over the vertices.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import lsq_linear

from morphable.flame import Flame

JAW = 2
"""FLAME's joint."""
COMPONENT = 1.0
"""Standard deviations of FLAME's expression components under their prior."""
ARKIT_WEIGHT = 3.0
"""Weights that one standard deviation of the prior allows: it only decides between mixes that look alike."""
JAW_TURN = 0.3
"""Radians, the same for the jaw."""
MISFIT = 1e-3
"""Metres of a vertex that neither can explain, as one standard deviation against those priors."""
ROUNDS = 12


@dataclass(frozen=True)
class FlameExpression:
    """Coefficients of FLAME's expression components, and the jaw's rotation (axis-angle, radians)."""

    components: Float[np.ndarray, " native"]
    jaw: Float[np.ndarray, "3"]


def flame_from_arkit(
    model: Flame,
    identity: Float[np.ndarray, " identity"],
    shapes: Float[np.ndarray, "52 vertex 3"],
    weights: Float[np.ndarray, "52"],
) -> tuple[FlameExpression, float]:
    """FLAME's expression and jaw that do what ARKit's weights do, and the distance left (mm, root mean square over the
    vertices that either moves). Gauss-Newton over both.

    Args:
        identity: of the head.
        shapes: ARKit's 52 on the model's mesh, metres.
    """
    goal = np.tensordot(weights, shapes, 1)
    components = len(model.native_expression_basis)
    unknown = np.zeros(components + 3)
    priors = 1 / np.concatenate([np.full(components, COMPONENT), np.full(3, JAW_TURN)]) ** 2
    for _ in range(ROUNDS):
        moved, slopes = _moved(model, identity, unknown)
        rows = slopes.reshape(len(unknown), -1)
        normal = rows @ rows.T / MISFIT**2 + np.diag(priors)
        change = np.linalg.solve(normal, rows @ (goal - moved).ravel() / MISFIT**2 - priors * unknown)
        unknown = unknown + change
        if np.abs(change).max() < 1e-6:
            break
    moved = _moved(model, identity, unknown)[0]
    return FlameExpression(unknown[:components], unknown[components:]), _left(goal, moved)


def arkit_from_flame(
    model: Flame,
    identity: Float[np.ndarray, " identity"],
    shapes: Float[np.ndarray, "52 vertex 3"],
    expression: FlameExpression,
) -> tuple[Float[np.ndarray, "52"], float]:
    """ARKit's weights, between 0 and 1, that do what FLAME's expression and jaw do, and the distance left, as above."""
    goal = _moved(model, identity, np.concatenate([expression.components, expression.jaw]))[0]
    weights = weights_that_do(goal[None], shapes)[0]
    return weights, _left(goal, np.tensordot(weights, shapes, 1))


def weights_that_do(
    goals: Float[np.ndarray, "frame vertex 3"], shapes: Float[np.ndarray, "shape vertex 3"]
) -> Float[np.ndarray, "frame shape"]:
    """Weights of shapes, between 0 and 1, that move vertices as each frame's goal does, by least squares.

    Args:
        goals, shapes: displacements, metres.
    """
    flat = shapes.reshape(len(shapes), -1)
    normal = flat @ flat.T / MISFIT**2 + np.eye(len(flat)) / ARKIT_WEIGHT**2
    upper = np.linalg.cholesky(normal).T
    right = np.linalg.solve(upper.T, flat @ goals.reshape(len(goals), -1).T / MISFIT**2)
    return np.stack([lsq_linear(upper, each, (0, 1)).x for each in right.T])


def _moved(
    model: Flame, identity: Float[np.ndarray, " identity"], unknown: Float[np.ndarray, " unknown"]
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "unknown vertex 3"]]:
    """Displacements of FLAME's vertices from rest, and their derivatives: central differences for the jaw's three
    angles; the components', which skinning makes linear while the jaw keeps still, by one evaluation each."""
    components = len(unknown) - 3
    step = 1e-3
    count = 2 + components + 6
    expression = np.tile(unknown[:components], (count, 1))
    jaw = np.tile(unknown[components:], (count, 1))
    expression[0], jaw[0] = 0, 0
    expression[2 : 2 + components] += np.eye(components)
    for axis in range(3):
        jaw[2 + components + 2 * axis, axis] += step
        jaw[3 + components + 2 * axis, axis] -= step
    pose = np.zeros((count, 5, 3))
    pose[:, JAW] = jaw
    shape = np.tile(identity, (count, 1))
    with torch.no_grad():
        arguments = (torch.as_tensor(each, dtype=torch.float32) for each in (shape, expression, pose))
        vertices = model.native(*arguments)[0].double().numpy()
    of_components = vertices[2 : 2 + components] - vertices[1]
    turned = vertices[2 + components :]
    of_jaw = (turned[0::2] - turned[1::2]) / (2 * step)
    return vertices[1] - vertices[0], np.concatenate([of_components, of_jaw])


def _left(goal: Float[np.ndarray, "vertex 3"], reached: Float[np.ndarray, "vertex 3"]) -> float:
    moving = (np.linalg.norm(goal, axis=1) > 1e-4) | (np.linalg.norm(reached, axis=1) > 1e-4)
    if not moving.any():
        return 0.0
    return 1000 * float(np.sqrt(np.square(goal - reached)[moving].sum(1).mean()))
