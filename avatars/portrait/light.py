"""The light of a photo, in which a head's own textures look as if they had been there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from renderers import spherical_harmonics_basis, srgb_to_linear

AMBIENT = 0.02
"""How strongly light is believed to come alike from everywhere, for each pixel that says otherwise."""
ROUNDS, OUTLIER = 3, 0.08
"""Of the fit; difference in linear colour at which a pixel counts half."""
BRIGHTEST = 0.98
"""Quantile of the light on what was seen that is not surpassed elsewhere: harmonics run wild where nothing was seen."""
TINT = 0.6
"""How much of the fitted light's colour falls on teeth and eyes: of skin's colour part is taken for the light's."""
WHITER = 0.35
"""How far teeth become grey: ivory next to skin looks green."""


@dataclass(frozen=True, eq=False)
class PhotoLight:
    """Light from everywhere, as spherical harmonics, linear.

    Attributes:
        coefficients: of what a white surface sends to the camera.
        brightest: the most that it sends.
    """

    coefficients: Float[Tensor, "9 3"]
    brightest: Float[Tensor, 3]

    @classmethod
    def fitted(
        cls, normals: Float[Tensor, "pixel 3"], albedo: Float[Tensor, "pixel 3"], photo: Float[Tensor, "pixel 3"]
    ) -> PhotoLight:
        """The light under which surfaces look as in a photo, all linear (robust least squares)."""
        if not len(normals):
            even = torch.zeros(9, 3)
            even[0] = 1 / float(spherical_harmonics_basis(torch.tensor([0.0, 0.0, 1.0]))[0])
            return cls(even, torch.ones(3))
        basis = spherical_harmonics_basis(normals)
        believed = AMBIENT * len(basis) * torch.eye(9) * torch.tensor([0.0] + [1.0] * 8)
        light = torch.zeros(9, 3)
        for channel in range(3):
            rows, target = basis * albedo[:, channel : channel + 1], photo[:, channel]
            trust = torch.ones(len(rows))
            for _ in range(ROUNDS):
                weighed = rows.mT * trust
                system = weighed @ rows + believed * float(albedo[:, channel].square().mean()) + 1e-6 * torch.eye(9)
                light[:, channel] = torch.linalg.solve(system, weighed @ target)
                trust = 1 / (1 + ((rows @ light[:, channel] - target) / OUTLIER) ** 2)
        return cls(light, torch.as_tensor(np.quantile((basis @ light).numpy(), BRIGHTEST, axis=0)).float())

    def on(self, normals: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
        """What white surfaces send to the camera."""
        sent = (spherical_harmonics_basis(normals) @ self.coefficients).clamp(min=0)
        return torch.minimum(sent, self.brightest)

    @property
    def pale(self) -> Float[Tensor, 3]:
        """What a white surface that faces the camera sends, with less colour."""
        ahead = self.on(torch.tensor([0.0, 0.0, -1.0])).clamp(min=1e-3)
        return ahead.mean() * (ahead / ahead.mean()) ** TINT


def whitening(textures: Mapping[str, UInt8[np.ndarray, "height width channel"]]) -> Float[Tensor, 3]:
    """What makes the teeth's texture greyer."""
    if "teeth" not in textures:
        return torch.ones(3)
    texels = srgb_to_linear(torch.tensor(textures["teeth"][..., :3].copy()).float() / 255).flatten(0, 1)
    crown = texels[texels[:, 1] >= texels[:, 1].mean()].mean(0).clamp(min=1e-3)
    return (crown.mean() / crown) ** WHITER
