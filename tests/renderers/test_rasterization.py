import pytest
import torch

import renderers
from renderers import Camera, rasterize


def twin(clip, triangles, resolution):
    """Every pixel against every triangle in homogeneous coordinates, differentiable: triangle, barycentric, depth."""
    height, width = resolution
    fx = (2 * (torch.arange(width, dtype=clip.dtype) + 0.5) / width - 1).expand(height, width)
    fy = (1 - 2 * (torch.arange(height, dtype=clip.dtype) + 0.5) / height)[:, None].expand(height, width)
    corners = clip[:, triangles]
    w = corners[..., 3]
    seen = corners[..., :2, None, None] - torch.stack([fx, fy]) * w[..., None, None, None]

    def cross(i, j):
        return seen[:, :, i, 0] * seen[:, :, j, 1] - seen[:, :, i, 1] * seen[:, :, j, 0]

    areas = torch.stack([cross(1, 2), cross(2, 0), cross(0, 1)], dim=-1)
    total = areas.sum(-1, keepdim=True)
    barycentric = areas / torch.where(total == 0, 1, total)
    drawn = ((w > 0) & (corners[..., 2] >= -w)).all(-1)
    inside = (barycentric >= 0).all(-1) & (total[..., 0] != 0) & drawn[..., None, None]
    z = (barycentric * corners[..., 2][:, :, None, None]).sum(-1)
    depth = (barycentric * w[:, :, None, None]).sum(-1)
    nearness = torch.where(inside & (z < depth), (depth - z) / depth, -1)
    best, triangle = nearness.max(dim=1)
    covered = best > 0
    pick = triangle[:, None, ..., None].expand(-1, 1, -1, -1, 3)
    barycentric = torch.where(covered[..., None], barycentric.gather(1, pick)[:, 0], 0)
    depth = torch.where(covered, depth.gather(1, triangle[:, None])[:, 0], 0)
    return torch.where(covered, triangle, -1), barycentric, depth


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("resolution", [(24, 32), (37, 19)])
def test_equals_its_twin_forward_and_backward(soup, seed, resolution):
    clip, triangles = soup(seed=seed)
    clip.requires_grad_()
    exact = clip.detach().double().requires_grad_()
    fragments = rasterize(clip, triangles, resolution)
    triangle, barycentric, depth = twin(exact, triangles, resolution)
    torch.testing.assert_close(fragments.triangle.long(), triangle)
    torch.testing.assert_close(fragments.barycentric.double(), barycentric, atol=2e-5, rtol=0)
    torch.testing.assert_close(fragments.depth.double(), depth, atol=2e-5, rtol=0)

    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(*depth.shape, 4, generator=generator)
    ((fragments.barycentric * weight[..., :3]).sum() + (fragments.depth * weight[..., 3]).sum()).backward()
    ((barycentric * weight[..., :3]).sum() + (depth * weight[..., 3]).sum()).backward()
    scale = exact.grad.abs().max()
    torch.testing.assert_close(clip.grad.double() / scale, exact.grad / scale, atol=1e-5, rtol=1e-3)
    assert (clip.grad[..., 2] == 0).all()


def test_gradient_equals_finite_differences(soup):
    clip, triangles = soup(batch=1, seed=5)
    exact = clip.double().requires_grad_()

    def loss(x):
        _, barycentric, depth = twin(x, triangles, (16, 16))
        return (barycentric[..., 0] * depth).sum()

    clip.requires_grad_()
    fragments = rasterize(clip, triangles, (16, 16))
    (fragments.barycentric[..., 0] * fragments.depth).sum().backward()
    step = 1e-7
    for vertex, axis in [(int(triangles[0, 0]), 0), (int(triangles[1, 1]), 1), (int(triangles[2, 2]), 3)]:
        shift = torch.zeros_like(exact)
        shift[0, vertex, axis] = step
        slope = (loss(exact + shift) - loss(exact - shift)) / (2 * step)
        assert clip.grad[0, vertex, axis] == pytest.approx(slope.item(), rel=1e-3, abs=1e-3)


def test_shared_edges_are_covered_exactly_once():
    """A fan of triangles that tiles the image, its hub on a pixel centre and its spokes through pixel centres."""
    size = 16
    hub = torch.tensor([[8.5, 8.5]])
    ring = torch.tensor([[-1.0, -1], [8.5, -1], [18, -1], [18, 8.5], [18, 18], [8.5, 18], [-1, 18], [-1, 8.5]])
    pixels = torch.cat([hub, ring])
    ndc = torch.stack([2 * pixels[:, 0] / size - 1, 1 - 2 * pixels[:, 1] / size], -1)
    clip = torch.cat([ndc, torch.zeros(9, 1), torch.ones(9, 1)], -1)[None]
    fan = torch.tensor([[0, 1 + k, 1 + (k + 1) % 8] for k in range(8)])
    count = sum((rasterize(clip, one[None], (size, size)).triangle >= 0).long() for one in fan)
    assert (count == 1).all()


def test_random_tilings_have_no_holes_and_no_overlaps():
    generator = torch.Generator().manual_seed(3)
    n = 9
    grid = torch.stack(torch.meshgrid(torch.arange(n), torch.arange(n), indexing="xy"), -1).float() / (n - 1)
    grid[1:-1, 1:-1] += 0.05 * (torch.rand(n - 2, n - 2, 2, generator=generator) - 0.5)
    plane = (2.2 * grid - 1.1).reshape(-1, 2)
    w = 1 + torch.rand(n * n, 1, generator=generator)
    clip = torch.cat([plane * w, torch.zeros(n * n, 1), w], -1)[None]
    a = (torch.arange(n - 1)[:, None] * n + torch.arange(n - 1)).reshape(-1)
    triangles = torch.cat([torch.stack([a, a + 1, a + n], -1), torch.stack([a + 1, a + n + 1, a + n], -1)])
    count = sum((rasterize(clip, one[None], (64, 64)).triangle >= 0).long() for one in triangles)
    assert (count == 1).all()


@pytest.mark.parametrize("reach", [8, 100_000])
def test_coverage_is_that_of_exact_integers(reach):
    """Triangles with corners at eighths of a pixel, near by or far off, against edge functions in Python's integers."""
    height, width = 24, 32
    generator = torch.Generator().manual_seed(reach)
    for _ in range(60):
        size = torch.tensor([width + 2 * reach, height + 2 * reach])
        eighths = (torch.rand(3, 2, generator=generator) * size * 8).long() - 8 * reach
        eighths[0] = torch.randint(0, 2 * height, (2,), generator=generator) * 4
        ndc = torch.stack([eighths[:, 0] / (4 * width) - 1, 1 - eighths[:, 1] / (4 * height)], -1)
        clip = torch.cat([ndc, torch.zeros(3, 1), torch.ones(3, 1)], -1)[None]
        seen = rasterize(clip, torch.tensor([[0, 1, 2]]), (height, width)).triangle[0] == 0
        assert torch.equal(seen, covered(eighths.tolist(), height, width))


def covered(corners, height, width):
    """Pixels whose centres are in a triangle by the top-left rule; corners in eighths of a pixel."""
    (ax, ay), (bx, by), (cx, cy) = corners
    if (bx - ax) * (cy - ay) < (cx - ax) * (by - ay):
        corners = corners[::-1]
    inside = torch.ones(height, width, dtype=torch.bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        dx, dy = bx - ax, by - ay
        excluded = dy > 0 or (dy == 0 and dx <= 0)
        y, x = torch.meshgrid(8 * torch.arange(height) + 4, 8 * torch.arange(width) + 4, indexing="ij")
        inside &= dx * (y - ay) - dy * (x - ax) >= int(excluded)
    return inside


def test_a_closed_surface_has_no_holes(make_ellipsoid):
    vertices, triangles = make_ellipsoid(48, 32)
    camera = Camera.looking_at((0.1, 0.05, 0.6), (0, 0, 0), (0, 1, 0), 0.45, (128, 128))
    clip = camera.clip(vertices[None])
    seen = rasterize(clip, triangles, camera.resolution).triangle[0] >= 0
    for row in seen:
        inside = row.nonzero().flatten()
        assert len(inside) == 0 or len(inside) == inside[-1] - inside[0] + 1
    front = rasterize(clip, triangles, camera.resolution)
    position = renderers.interpolate(vertices, front, triangles)
    normal = renderers.interpolate(renderers.vertex_normals(vertices, triangles), front, triangles)
    assert (((camera.position - position) * normal).sum(-1)[0][seen] > -0.005).all(), "a back face shows through"


def test_equally_near_triangles_go_to_the_first():
    clip = torch.tensor([[[-1.0, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]]])
    assert (rasterize(clip, torch.tensor([[0, 1, 2]] * 3), (8, 8)).triangle == 0).all()


def test_barycentrics_are_perspective_correct():
    """A floor that recedes: the world position found through barycentrics projects back to the pixel centre."""
    camera = Camera.looking_at((0.0, 0.3, 1.0), (0, 0, -2), (0, 1, 0), 0.9, (48, 64))
    floor = torch.tensor([[-9.0, 0, 0.4], [9, 0, 0.4], [9, 0, -30], [-9, 0, -30]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    fragments = rasterize(camera.clip(floor[None]), triangles, camera.resolution)
    seen = fragments.triangle[0] >= 0
    points = renderers.interpolate(floor, fragments, triangles)[0][seen]
    y, x = seen.nonzero(as_tuple=True)
    torch.testing.assert_close(camera.project(points), torch.stack([x, y], -1) + 0.5, atol=0.02, rtol=0)
    torch.testing.assert_close(fragments.depth[0][seen], camera.view(points)[:, 2], atol=1e-4, rtol=1e-4)


def test_triangles_across_the_near_plane_are_dropped_and_others_stay():
    behind, in_front = [0.0, 0.9, -2.0, -1.0], [0.0, 0.9, 0.5, 1.0]
    rest = [[-0.9, -0.9, 0.5, 1.0], [0.9, -0.9, 0.5, 1.0]]
    clip = torch.tensor([[behind, *rest], [in_front, *rest]])
    fragments = rasterize(clip, torch.tensor([[0, 1, 2]]), (16, 16))
    assert (fragments.triangle[0] == -1).all()
    assert (fragments.triangle[1] == 0).sum() > 50
    too_near = torch.tensor([[[0.0, 0.9, -1.1, 1.0], *rest]])
    assert (rasterize(too_near, torch.tensor([[0, 1, 2]]), (16, 16)).triangle == -1).all()


def test_the_far_plane_cuts_pixel_by_pixel():
    clip = torch.tensor([[[-1.0, -1, 0, 1], [3, -1, 4, 1], [-1, 3, 0, 1]]])
    triangle = rasterize(clip, torch.tensor([[0, 1, 2]]), (8, 8)).triangle[0]
    assert (triangle[:, :4] == 0).all()
    assert (triangle[:, 4:] == -1).all()


def test_same_bits_twice_and_for_any_number_of_threads(make_ellipsoid):
    vertices, triangles = make_ellipsoid(32, 24)
    camera = Camera.looking_at((0.1, 0.05, 0.6), (0, 0, 0), (0, 1, 0), 0.4, (96, 80))
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 2, 3):
            torch.set_num_threads(threads)
            clip = camera.clip(vertices[None]).requires_grad_()
            fragments = rasterize(clip, triangles, camera.resolution)
            fragments.barycentric.square().sum().backward()
            results.append((*fragments, clip.grad))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_batch_is_its_items(soup):
    clip, triangles = soup(batch=3, seed=9)
    together = rasterize(clip, triangles, (20, 28))
    for k in range(3):
        alone = rasterize(clip[k : k + 1], triangles, (20, 28))
        assert all(torch.equal(a[0], b[k]) for a, b in zip(alone, together, strict=True))


def test_nothing_to_draw():
    clip = torch.zeros(1, 0, 4, requires_grad=True)
    fragments = rasterize(clip, torch.zeros(0, 3, dtype=torch.long), (4, 5))
    assert fragments.triangle.shape == (1, 4, 5)
    assert (fragments.triangle == -1).all()
    fragments.barycentric.sum().backward()
    assert clip.grad.shape == clip.shape
    off_screen = torch.tensor([[[5.0, 5, 0, 1], [6, 5, 0, 1], [5, 6, 0, 1]]])
    fragments = rasterize(off_screen, torch.tensor([[0, 1, 2]]), (4, 5))
    assert (fragments.triangle == -1).all()
    assert (fragments.depth == 0).all()
    assert (fragments.barycentric == 0).all()


def test_degenerate_triangles_draw_nothing():
    clip = torch.tensor([[[-1.0, -1, 0, 1], [0, 0, 0, 1], [1, 1, 0, 1]]], requires_grad=True)
    fragments = rasterize(clip, torch.tensor([[0, 1, 2], [0, 0, 1]]), (8, 8))
    assert (fragments.triangle == -1).all()


def test_an_index_changed_in_place_is_noticed():
    clip = torch.tensor([[[-1.0, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]]])
    triangles = torch.tensor([[0, 1, 2]])
    assert (rasterize(clip, triangles, (4, 4)).triangle == 0).all()
    triangles[0, 2] = 1
    assert (rasterize(clip, triangles, (4, 4)).triangle == -1).all()


def test_it_works_in_inference_mode():
    with torch.inference_mode():
        clip = torch.tensor([[[-1.0, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]]])
        triangles = torch.tensor([[0, 1, 2]])
        fragments = rasterize(clip, triangles, (4, 4))
        seen = renderers.interpolate(torch.ones(3, 2), fragments, triangles)
        assert (renderers.antialias(seen, fragments, clip, triangles) == 1).all()


@pytest.mark.parametrize(
    ("clip", "triangles", "resolution", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(1, 3, dtype=torch.int), (4, 4), "clip must have shape"),
        (torch.zeros(1, 3, 3), torch.zeros(1, 3, dtype=torch.int), (4, 4), "clip must have shape"),
        (torch.zeros(1, 3, 4).double(), torch.zeros(1, 3, dtype=torch.int), (4, 4), "float32"),
        (torch.zeros(1, 3, 4), torch.zeros(3, dtype=torch.int), (4, 4), "triangles must have shape"),
        (torch.zeros(1, 3, 4), torch.zeros(1, 3), (4, 4), "integers"),
        (torch.zeros(1, 3, 4), torch.full((1, 3), 3), (4, 4), "index vertex 3"),
        (torch.zeros(1, 3, 4), torch.full((1, 3), -1), (4, 4), "negative"),
        (torch.zeros(1, 3, 4), torch.zeros(1, 3, dtype=torch.int), (0, 4), "resolution"),
    ],
)
def test_wrong_inputs_are_named(clip, triangles, resolution, message):
    with pytest.raises(ValueError, match=message):
        rasterize(clip, triangles, resolution)
