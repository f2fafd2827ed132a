"""How sure a fit is: the Gaussian around it, on the surface."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from face3d.fitting.gauss_newton import Belief
from morphable import MorphableModel
from renderers import vertex_normals

CALIBRATION = 1.15
"""Deviations found over the posterior's own. `python -m benchmarks accuracy` prints how much of the surface then lies
within one of them and within two."""
RESIDUAL = 0.0004
"""Metres by which real heads differ from the nearest that the model can make."""


@dataclass(frozen=True)
class Posterior:
    """What is left open about an identity.

    Attributes:
        factor: the identity is as likely as estimate + factor @ (a unit Gaussian).
        deviation: one standard deviation of the surface along its normal at each vertex, metres.
    """

    factor: Float[np.ndarray, "identity identity"]
    deviation: Float[np.ndarray, " vertex"]

    @classmethod
    def of(cls, model: MorphableModel, belief: Belief) -> "Posterior":
        root = torch.linalg.cholesky(belief.precision)
        factor = CALIBRATION * torch.linalg.inv(root).mT
        return cls(factor.float().numpy(), _deviation(model, factor))


def _deviation(model: MorphableModel, factor: Float[Tensor, "identity rank"]) -> Float[np.ndarray, " vertex"]:
    """Without what a rigid motion of the whole head explains, as after laying two heads over each other.

    Rounded to whole micrometres, so that the same fit says the same whatever order sums are taken in.
    """
    mean, basis = model.mean.double(), model.identity_basis.double()
    normals = vertex_normals(mean, model.triangles)
    face = model.regions["face"]
    moves = torch.einsum("kvi,kr->vir", basis, factor)
    motions = torch.cat([torch.eye(3).double().expand(len(mean), 3, 3), -_cross(mean - mean[face].mean(0))], 2)
    share = torch.linalg.lstsq(motions[face].flatten(0, 1), moves[face].flatten(0, 1)).solution
    moves = moves - torch.einsum("vim,mr->vir", motions, share)
    along = torch.einsum("vir,vi->vr", moves, normals)
    return (along.square().sum(1) + RESIDUAL**2).sqrt().numpy().round(6).astype(np.float32)


def _cross(vectors: Float[Tensor, "vertex 3"]) -> Float[Tensor, "vertex 3 3"]:
    """[v]x, so that [v]x u = v x u."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
