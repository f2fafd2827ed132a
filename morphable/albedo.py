"""Spaces of skin colour that come with models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class AlbedoSpace:
    """Colours as a mean and displacements at one standard deviation: over a texture or per vertex, sRGB in [0, 1]."""

    mean: Float[Tensor, "*place 3"]
    basis: Float[Tensor, "mode *place 3"]

    @classmethod
    def of(cls, mean: Float[np.ndarray, "*place 3"], basis: Float[np.ndarray, "mode *place 3"]) -> AlbedoSpace:
        """Held in half precision: finer than the eighth of a grey level."""
        return cls(*(torch.from_numpy(np.ascontiguousarray(each, np.float16)) for each in (mean, basis)))

    def __call__(self, coefficients: Float[Tensor, "batch mode"]) -> Float[Tensor, "batch *place 3"]:
        """Colours of the first coefficients, the rest being zero; not limited to [0, 1]."""
        basis = self.basis[: coefficients.shape[1]].to(coefficients)
        return self.mean.to(coefficients) + torch.tensordot(coefficients, basis, 1)
