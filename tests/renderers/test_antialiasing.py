import pytest
import torch

from renderers import Camera, antialias, rasterize


def beyond(triangles, t, k):
    """The triangle that shares the edge of t opposite its corner k, or None."""
    edge = {int(triangles[t, (k + 1) % 3]), int(triangles[t, (k + 2) % 3])}
    others = [o for o in range(len(triangles)) if o != t and edge <= set(triangles[o].tolist())]
    return others[0] if len(others) == 1 else None


def twin(image, fragments, clip, triangles):
    """Pair by pair, in the words of the docstring, differentiable in `image` and `clip`."""
    batch, height, width, _ = image.shape
    size = clip.new_tensor([width, -height])
    screen = (0.5 * clip[..., :2] / clip[..., 3:]) * size + 0.5 * size.abs()
    output = image.clone()

    def side(b, i, j, v):
        d, e = screen[b, j] - screen[b, i], screen[b, v] - screen[b, i]
        return d[0] * e[1] - d[1] * e[0]

    def is_outline(b, t, i, j, k, other):
        if other is None:
            return True
        corner = (set(triangles[other].tolist()) - {i, j}).pop()
        return side(b, i, j, int(triangles[t, k])) * side(b, i, j, corner) >= 0

    def end_of_surface(b, t, goal, centre, towards):
        across = towards.flip(0).abs()
        while t not in (None, goal):
            exits = []
            for k in range(3):
                i, j = int(triangles[t, (k + 1) % 3]), int(triangles[t, (k + 2) % 3])
                ci, cj = ((screen[b, v] - centre) @ across for v in (i, j))
                if (ci < 0) != (cj < 0):
                    cut = torch.lerp(screen[b, i], screen[b, j], ci / (ci - cj))
                    exits.append(((cut - centre) @ towards, k, i, j))
            if not exits or max(exits)[0] > 1:
                return None
            reach, k, i, j = max(exits)
            other = beyond(triangles, t, k)
            if is_outline(b, t, i, j, k, other):
                d = screen[b, i] - screen[b, j]
                return reach if abs(d @ across) > abs(d @ towards) else None
            t = other
        return None

    for b in range(batch):
        pairs = [((x, y), (x + 1, y)) for y in range(height) for x in range(width - 1)]
        pairs += [((x, y), (x, y + 1)) for y in range(height - 1) for x in range(width)]
        for near, far in pairs:
            t, o = (int(fragments.triangle[b, p[1], p[0]]) for p in (near, far))
            if t == o:
                continue
            depth = [fragments.depth[b, p[1], p[0]] for p in (near, far)]
            if t < 0 or (o >= 0 and depth[1] < depth[0]):
                near, far, t, o = far, near, o, t
            towards = clip.new_tensor(far) - clip.new_tensor(near)
            reach = end_of_surface(b, t, o, clip.new_tensor(near) + 0.5, towards)
            if reach is None:
                continue
            a, c = image[b, near[1], near[0]], image[b, far[1], far[0]]
            if reach > 0.5:
                output[b, far[1], far[0]] += (reach - 0.5) * (a - c)
            else:
                output[b, near[1], near[0]] += (0.5 - reach) * (c - a)
    return output


@pytest.mark.parametrize("seed", range(3))
def test_equals_its_twin_forward_and_backward(soup, seed):
    clip, triangles = soup(seed=seed, vertices=9, triangles=6)
    image = torch.randn(2, 12, 14, 3, generator=torch.Generator().manual_seed(seed))
    fragments = rasterize(clip, triangles, (12, 14))
    results = []
    for kind, function in ((torch.float32, antialias), (torch.float64, twin)):
        colours, positions = image.to(kind, copy=True).requires_grad_(), clip.to(kind, copy=True).requires_grad_()
        output = function(colours, fragments, positions, triangles)
        output.sin().sum().backward()
        results.append((output.detach(), colours.grad, positions.grad))
    assert not torch.equal(results[0][0], image)
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), exact, atol=2e-4, rtol=1e-3)


def test_equals_its_twin_on_a_closed_surface(make_ellipsoid):
    vertices, triangles = make_ellipsoid(10, 6)
    camera = Camera.looking_at((0.1, 0.1, 0.6), (0, 0, 0), (0, 1, 0), 0.5, (18, 16))
    clip = camera.clip(vertices[None])
    fragments = rasterize(clip, triangles, camera.resolution)
    seen = (fragments.triangle >= 0).float()[..., None]
    torch.testing.assert_close(
        antialias(seen, fragments, clip, triangles), twin(seen, fragments, clip, triangles), atol=1e-5, rtol=0
    )
    inside = torch.nn.functional.max_pool2d(1 - seen.permute(0, 3, 1, 2), 3, 1, 1)[:, 0] == 0
    pattern = torch.rand(*seen.shape[:3], 2)
    assert torch.equal(antialias(pattern, fragments, clip, triangles)[inside], pattern[inside]), "inner edges stay"


def polygon(radius, centre=(0.03, -0.02), corners=7):
    angle = torch.arange(corners) * (2 * torch.pi / corners) + 0.3
    ring = torch.stack([centre[0] + radius * angle.cos(), centre[1] + radius * angle.sin()], -1)
    plane = torch.cat([torch.tensor([centre]), ring])
    clip = torch.cat([plane, torch.zeros(corners + 1, 1), torch.ones(corners + 1, 1)], -1)[None]
    fan = torch.tensor([[0, 1 + k, 1 + (k + 1) % corners] for k in range(corners)])
    return clip, fan


def covered_area(clip, fan, resolution):
    fragments = rasterize(clip, fan, (resolution, resolution))
    return antialias((fragments.triangle >= 0).float()[..., None], fragments, clip, fan).sum() * (2 / resolution) ** 2


def test_covered_area_and_its_derivative_are_the_polygons():
    clip, fan = polygon(0.7)
    radius = torch.tensor(0.7, requires_grad=True)
    corners = len(fan)
    exact = 0.5 * corners * torch.sin(torch.tensor(2 * torch.pi / corners)) * radius**2
    (slope,) = torch.autograd.grad(exact, radius)
    scale = radius / 0.7
    centre = clip[:, :1, :2]
    moved = torch.cat([centre + (clip[..., :2] - centre) * scale, clip[..., 2:]], -1)
    area = covered_area(moved, fan, 64)
    area.backward()
    assert area.item() == pytest.approx(exact.item(), rel=3e-3)
    assert radius.grad.item() == pytest.approx(slope.item(), rel=3e-2)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_moving_outline_matches_a_supersampled_rendering(axis):
    """A weight that varies over the image, integrated over the polygon: d/d(shift), against differences at 1024²."""
    clip, fan = polygon(0.6)
    resolution, fine, step = 64, 1024, 0.02

    def weight(n):
        centre = (torch.arange(n) + 0.5) / n
        return torch.exp(1.5 * (centre[None, :] if axis == 0 else -centre[:, None])).expand(n, n)

    def supersampled(shift):
        moved = clip.clone()
        moved[..., axis] += shift
        return ((rasterize(moved, fan, (fine, fine)).triangle[0] >= 0) * weight(fine)).mean()

    shift = torch.zeros((), requires_grad=True)
    moved = clip + shift * torch.nn.functional.one_hot(torch.tensor(axis), 4)
    fragments = rasterize(moved, fan, (resolution, resolution))
    seen = antialias((fragments.triangle >= 0).float()[..., None], fragments, moved, fan)
    (seen[0, ..., 0] * weight(resolution)).mean().backward()
    slope = (supersampled(step) - supersampled(-step)) / (2 * step)
    assert shift.grad.item() == pytest.approx(slope.item(), rel=0.05)


def test_same_bits_for_any_number_of_threads():
    clip, fan = polygon(0.7)
    gradients = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            moved = clip.clone().requires_grad_()
            covered_area(moved, fan, 50).backward()
            gradients.append(moved.grad)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_background_only():
    clip = torch.zeros(1, 0, 4, requires_grad=True)
    none = torch.zeros(0, 3, dtype=torch.long)
    image = torch.rand(1, 4, 5, 3)
    assert torch.equal(antialias(image, rasterize(clip, none, (4, 5)), clip, none), image)


def test_wrong_inputs_are_named():
    clip, fan = polygon(0.7)
    fragments = rasterize(clip, fan, (8, 8))
    with pytest.raises(ValueError, match="image must have shape"):
        antialias(torch.zeros(1, 8, 9, 1), fragments, clip, fan)
    with pytest.raises(ValueError, match="float32"):
        antialias(torch.zeros(1, 8, 8, 1).double(), fragments, clip, fan)
    with pytest.raises(ValueError, match="clip must have shape"):
        antialias(torch.zeros(1, 8, 8, 1), fragments, clip[0], fan)


def test_outlines_of_a_finely_tessellated_surface_are_felt(make_ellipsoid):
    """The last triangles before the outline are thinner than a pixel: the covered area must still feel the scale."""
    vertices, triangles = make_ellipsoid(64, 48)
    camera = Camera.looking_at((0.1, 0.05, 0.6), (0, 0, 0), (0, 1, 0), 0.45, (96, 96))
    scale = torch.ones((), requires_grad=True)
    clip = camera.clip((scale * vertices)[None])
    fragments = rasterize(clip, triangles, camera.resolution)
    antialias((fragments.triangle >= 0).float()[..., None], fragments, clip, triangles).sum().backward()

    def supersampled(scale):
        fine = camera.scaled(8)
        return (rasterize(fine.clip((scale * vertices)[None]), triangles, fine.resolution).triangle >= 0).sum() / 64

    slope = (supersampled(1.02) - supersampled(0.98)) / 0.04
    assert scale.grad.item() == pytest.approx(slope.item(), rel=0.03)
