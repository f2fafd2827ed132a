"""Volume rendering against closed forms, and its sampling."""

import math

import pytest
import torch

from renderers import Camera, OccupancyGrid, Samples, camera_rays, march, quadrature, stratified
from renderers.volume import Rays, box_span, sample_weights


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_homogeneous_slab_is_seen_as_beer_and_lambert_say():
    """Opacity 1 - exp(-σ L) whatever the samples; the mean depth of what is seen, as they get dense."""
    near, far = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64), torch.tensor([0.8, 1.0, 4.0], dtype=torch.float64)
    density, length = 1.7, far - near
    for step, accuracy in ((0.1, 4e-2), (1e-3, 1e-5)):
        samples = stratified(near, far, step)
        full = torch.full_like(samples.distance, density)
        seen = quadrature(samples, full, torch.ones(len(full), 1, dtype=torch.float64), 3)
        opacity = -torch.expm1(-density * length)
        torch.testing.assert_close(seen.opacity, opacity, atol=1e-12, rtol=0)
        torch.testing.assert_close(seen.features[:, 0], opacity, atol=1e-12, rtol=0)
        depth = near + 1 / density - torch.exp(-density * length) * (far + 1 / density)
        torch.testing.assert_close(seen.depth, depth, atol=accuracy, rtol=accuracy)


def test_an_opaque_sample_hides_what_is_behind_it():
    samples = Samples(torch.tensor([0, 0, 1]), torch.tensor([1.0, 2.0, 3.0]), torch.full((3,), 0.1))
    seen = quadrature(samples, torch.tensor([1e5, 1e5, 0.0]), torch.eye(3), 3)
    torch.testing.assert_close(seen.features, torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]))
    torch.testing.assert_close(seen.opacity, torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(seen.depth, torch.tensor([1.0, 0, 0]))


def test_quadrature_has_the_gradients_of_finite_differences():
    ray = torch.tensor([0, 0, 0, 2, 2])
    values = [torch.rand(5, generator=random(seed), dtype=torch.float64).requires_grad_() for seed in range(3)]
    features = torch.rand(5, 2, generator=random(3), dtype=torch.float64).requires_grad_()

    def seen(distance, length, density, features):
        return tuple(quadrature(Samples(ray, distance, length), density, features, 3))

    torch.autograd.gradcheck(seen, (*values, features))


def test_weights_of_many_rays_are_those_of_each_alone():
    """Sums over all rays lose nothing to the rays before."""
    counts = 4000
    samples = stratified(torch.zeros(counts), torch.ones(counts), 0.1, random())
    density = 50 * torch.rand(len(samples.ray), generator=random(1))
    together = sample_weights(samples, density)
    last = samples.ray == counts - 1
    alone = sample_weights(Samples(*(values[last] for values in samples)), density[last])
    torch.testing.assert_close(together[last], alone, atol=1e-7, rtol=1e-5)


def test_stratified_samples_fill_their_pieces():
    near, far = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1.95, 2.0, 0.3])
    samples = stratified(near, far, 0.1, random())
    assert torch.bincount(samples.ray, minlength=3).tolist() == [10, 0, 3]
    for ray in (0, 2):
        own = samples.ray == ray
        edges = near[ray] + samples.length[own] * torch.arange(own.sum())
        within = (samples.distance[own] - edges) / samples.length[own]
        assert bool(((within >= 0) & (within <= 1)).all())
        assert float(within.std()) > 0.1
        assert float(samples.length[own].sum()) == pytest.approx(float(far[ray] - near[ray]))


def test_rays_of_a_camera_meet_the_points_that_it_projects():
    camera = Camera.looking_at((0.3, 0.2, 1.0), (0, 0, 0), (0, 1, 0), 0.5, (40, 60))
    points = 0.2 * torch.randn(30, 3, generator=random())
    rays = camera_rays(camera, camera.project(points))
    away = points - rays.origins
    torch.testing.assert_close(rays.directions, away / away.norm(dim=-1, keepdim=True), atol=1e-5, rtol=0)


def test_a_box_is_entered_and_left():
    rays = Rays(torch.tensor([[0.0, 0, -3], [0.0, 0, 0], [5.0, 0, -3]]), torch.tensor([[0.0, 0, 1]] * 3))
    near, far = box_span(rays, torch.tensor([-1.0, -1, -1]), torch.tensor([1.0, 1, 2]))
    torch.testing.assert_close(near[:2], torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(far[:2], torch.tensor([5.0, 2.0]))
    assert float(far[2] - near[2]) == 0


def test_skipping_empty_cells_changes_only_how_much_is_asked():
    centres = (torch.cartesian_prod(*[torch.arange(20)] * 3) + 0.5) * 0.1 - 1
    ball = (centres.norm(dim=-1) < 0.9).view(20, 20, 20)
    everywhere = OccupancyGrid(torch.full((3,), -1.0), 0.1, torch.ones_like(ball))
    grid = OccupancyGrid(everywhere.low, 0.1, ball)
    camera = Camera.looking_at((0.5, 0.3, 3.0), (0, 0, 0), (0, 1, 0), 0.8, (12, 12))
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    rays = camera_rays(camera, torch.stack([columns, rows], -1).view(-1, 2) + 0.5)
    pictures, asked = [], []
    for cells in (everywhere, grid):
        samples = march(rays, cells, 0.05, random())
        points = rays.at(samples.ray, samples.distance)
        density = 3 * (points.norm(dim=-1) < 0.7).float()
        pictures.append(quadrature(samples, density, points, len(rays.origins)))
        asked.append(len(density))
    for one, other in zip(*pictures, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    assert asked[1] < 0.7 * asked[0]
    assert float(pictures[0].opacity.max()) > 1 - math.exp(-3)
