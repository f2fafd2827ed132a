"""How people vary, in the default head's coefficients (`assets/population`)."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from morphable.model import MorphableModel


@dataclass(frozen=True)
class Population:
    """A Gaussian over identities, and the directions among them that the head's own sliders lack.

    Attributes:
        mean, covariance: of the identity.
        residual_basis, residual_joint_basis: the last of the default head's directions, and how its joints follow.
    """

    mean: Float[Tensor, " identity"]
    covariance: Float[Tensor, "identity identity"]
    residual_basis: Float[Tensor, "mode vertex 3"]
    residual_joint_basis: Float[Tensor, "mode joint 3"]

    @classmethod
    @cache
    def load(cls) -> "Population":
        with as_file(files("assets") / "population" / "population.safetensors") as path:
            return cls(**{name: tensor.double() for name, tensor in load_file(path).items()})

    def factor(self, model: MorphableModel) -> Float[Tensor, "identity identity"]:
        """Identities are mean + factor @ a unit Gaussian, whose first entries move the face most."""
        root = torch.linalg.cholesky(self.covariance)
        face = model.identity_basis[:, model.regions["face"]].double().flatten(1)
        strengths, directions = torch.linalg.eigh(root.mT @ (face @ face.mT) @ root)
        return root @ directions[:, strengths.argsort(descending=True)]
