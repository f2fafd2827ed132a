import math

import pytest
import torch

from renderers import (
    DirectionalLight,
    EnvironmentLight,
    PointLight,
    spherical_harmonics_basis,
    spherical_harmonics_irradiance,
    spherical_harmonics_shade,
)


@pytest.fixture
def sphere():
    """Directions spread evenly over the sphere (a Fibonacci lattice)."""
    n = 20_000
    k = torch.arange(n, dtype=torch.float64) + 0.5
    z = 1 - 2 * k / n
    around = math.pi * (1 + math.sqrt(5)) * k
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * around.cos(), ring * around.sin(), z], -1)


def test_the_basis_is_orthonormal(sphere):
    basis = spherical_harmonics_basis(sphere)
    gram = basis.T @ basis * (4 * math.pi / len(sphere))
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), atol=1e-4, rtol=0)


def test_irradiance_is_the_integral_of_radiance_times_cosine(sphere):
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    normals = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator, dtype=torch.float64), dim=-1)
    radiance = spherical_harmonics_basis(sphere) @ coefficients
    exact = (normals @ sphere.T).clamp(min=0) @ radiance * (4 * math.pi / len(sphere))
    torch.testing.assert_close(spherical_harmonics_irradiance(normals, coefficients), exact, atol=2e-3, rtol=0)


def test_coefficients_may_differ_over_the_batch():
    normals = torch.nn.functional.normalize(torch.randn(2, 7, 3), dim=-1)
    coefficients = torch.randn(2, 9, 3)
    together = spherical_harmonics_shade(normals, coefficients)
    torch.testing.assert_close(together[1], spherical_harmonics_shade(normals[1], coefficients[1]))


def test_lights():
    albedo = torch.tensor([[[0.5, 0.2, 0.1]] * 2])
    positions, eye = torch.zeros(1, 2, 3), torch.tensor([[[0.0, 0, 1]]])
    normals = torch.tensor([[[0.0, 0, 1], [0, 0, -1]]])
    sun = DirectionalLight(torch.tensor([0.0, 0, -3]), torch.ones(3))
    torch.testing.assert_close(sun.shade(albedo, positions, normals, eye), albedo * torch.tensor([[[1.0], [0]]]))
    bulb = PointLight(torch.tensor([0.0, 0, 2]), torch.full((3,), 8.0))
    torch.testing.assert_close(bulb.shade(albedo, positions, normals, eye), albedo * torch.tensor([[[2.0], [0]]]))
    shiny = DirectionalLight(torch.tensor([0.0, 0, -1]), torch.ones(3), specular=0.3)
    torch.testing.assert_close(shiny.shade(albedo, positions, normals, eye)[0, 0], albedo[0, 0] + 0.3)
    assert (shiny.shade(albedo, positions, normals, eye)[0, 1] == 0).all()
    ambient = EnvironmentLight(torch.cat([torch.full((1, 3), 2 * math.sqrt(math.pi)), torch.zeros(8, 3)]))
    torch.testing.assert_close(ambient.shade(albedo, positions, normals, eye), albedo)
