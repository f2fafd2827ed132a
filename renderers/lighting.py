"""Light and how skin-like surfaces return it. Everything is linear; directions and positions are in the world.

A light has one method, `shade(albedo, positions, normals, eye)`, that gives the radiance a Lambertian surface sends to
the eye, per colour channel. Lights add up.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

COSINE_LOBE = (math.pi, 2.0 * math.pi / 3.0, math.pi / 4.0)
"""Spherical-harmonic factors of the clamped cosine, orders 0 to 2 (Ramamoorthi & Hanrahan 2001, equation 8)."""


def spherical_harmonics_basis(normals: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 9"]:
    """Real spherical harmonics to order 2 at unit directions, in the order 1, y, z, x, xy, yz, 3z²-1, xz, x²-y².

    Orthonormal over the sphere, signs as in Ramamoorthi & Hanrahan 2001, equation 3.
    """
    x, y, z = normals.unbind(-1)
    constant = 0.5 * math.sqrt(1.0 / math.pi)
    linear = math.sqrt(3.0 / (4.0 * math.pi))
    quadratic = 0.5 * math.sqrt(15.0 / math.pi)
    return torch.stack(
        [
            torch.full_like(x, constant),
            linear * y,
            linear * z,
            linear * x,
            quadratic * x * y,
            quadratic * y * z,
            0.25 * math.sqrt(5.0 / math.pi) * (3.0 * z * z - 1.0),
            quadratic * x * z,
            0.5 * quadratic * (x * x - y * y),
        ],
        dim=-1,
    )


def spherical_harmonics_irradiance(
    normals: Float[Tensor, "*batch point 3"], coefficients: Float[Tensor, "*batch 9 channel"]
) -> Float[Tensor, "*batch point channel"]:
    """Irradiance at unit normals under the distant radiance that `coefficients` describe: each order is weighed by the
    cosine lobe's factor (Ramamoorthi & Hanrahan 2001). Constant radiance 1, coefficient 2 sqrt(pi), gives pi."""
    a0, a1, a2 = COSINE_LOBE
    lobe = coefficients.new_tensor([a0] + [a1] * 3 + [a2] * 5)
    return spherical_harmonics_basis(normals) @ (lobe[:, None] * coefficients)


def spherical_harmonics_shade(
    normals: Float[Tensor, "*batch point 3"], coefficients: Float[Tensor, "*batch 9 channel"]
) -> Float[Tensor, "*batch point channel"]:
    """Irradiance / pi: what a white Lambertian surface returns. Multiply by the albedo.

    >>> ambient = torch.zeros(9, 3)
    >>> ambient[0] = 2 * math.sqrt(math.pi)
    >>> spherical_harmonics_shade(torch.tensor([[0.0, 0.0, 1.0]]), ambient).round(decimals=3)
    tensor([[1., 1., 1.]])
    """
    return spherical_harmonics_irradiance(normals, coefficients) / math.pi


class Light(Protocol):
    def shade(
        self,
        albedo: Float[Tensor, "batch point channel"],
        positions: Float[Tensor, "batch point 3"],
        normals: Float[Tensor, "batch point 3"],
        eye: Float[Tensor, "batch 1 3"],
    ) -> Float[Tensor, "batch point channel"]:
        """Radiance towards the eye."""
        ...


@dataclass(frozen=True)
class EnvironmentLight:
    """Distant light from all around, as spherical harmonics of its radiance."""

    coefficients: Float[Tensor, "*batch 9 channel"]

    def shade(self, albedo, positions, normals, eye):
        return albedo * spherical_harmonics_shade(normals, self.coefficients)


@dataclass(frozen=True)
class DirectionalLight:
    """Parallel light.

    Attributes:
        direction: the direction in which it travels; any length.
        radiance: what a white Lambertian surface facing it returns (irradiance / pi).
        specular: strength of a Blinn-Phong highlight added to the Lambertian part.
        shininess: its exponent.
    """

    direction: Float[Tensor, "*batch 3"]
    radiance: Float[Tensor, "*batch channel"]
    specular: float = 0.0
    shininess: float = 32.0

    def shade(self, albedo, positions, normals, eye):
        towards = -torch.nn.functional.normalize(self.direction, dim=-1)[..., None, :]
        return self.radiance[..., None, :] * _reflected(self, albedo, positions, normals, eye, towards)


@dataclass(frozen=True)
class PointLight:
    """Light from a point, falling off with the square of the distance.

    Attributes:
        position: in metres.
        intensity: what a white Lambertian surface facing it from one metre returns.
        specular: strength of a Blinn-Phong highlight added to the Lambertian part.
        shininess: its exponent.
    """

    position: Float[Tensor, "*batch 3"]
    intensity: Float[Tensor, "*batch channel"]
    specular: float = 0.0
    shininess: float = 32.0

    def shade(self, albedo, positions, normals, eye):
        offset = self.position[..., None, :] - positions
        towards = torch.nn.functional.normalize(offset, dim=-1)
        arriving = self.intensity[..., None, :] / offset.square().sum(-1, keepdim=True).clamp(min=1e-8)
        return arriving * _reflected(self, albedo, positions, normals, eye, towards)


def _reflected(light: DirectionalLight | PointLight, albedo, positions, normals, eye, towards):
    """Lambert's cosine, and Blinn's half-vector highlight (Blinn 1977)."""
    cosine = (normals * towards).sum(-1, keepdim=True).clamp(min=0.0)
    if light.specular == 0.0:
        return albedo * cosine
    half = torch.nn.functional.normalize(torch.nn.functional.normalize(eye - positions, dim=-1) + towards, dim=-1)
    highlight = (normals * half).sum(-1, keepdim=True).clamp(min=1e-6) ** light.shininess
    return albedo * cosine + light.specular * highlight * (cosine > 0.0)
