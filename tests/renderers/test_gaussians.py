"""Splatting against a plain-torch twin and finite differences, and at its edges."""

import importlib.util
import math

import pytest
import torch
from torch import Tensor

from renderers import Camera, harmonic_colours, splat
from renderers.backends import load_splatter

Cloud = tuple[Tensor, Tensor, Tensor, Tensor]
SIDES = (40, 56)


def cloud(count: int = 60, seed: int = 0) -> Cloud:
    """Overlapping Gaussians of many shapes, some beyond the image's edge."""
    random = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random)

    means = 0.24 * uniform(count, 3) - 0.12
    axes = 0.02 * (uniform(count, 3, 3) - 0.5)
    return means, axes, 0.05 + 0.9 * uniform(count), uniform(count, 3)


def camera(device: str = "cpu") -> Camera:
    eye = torch.tensor([0.1, 0.05, 0.6], device=device)
    return Camera.looking_at(eye, (0, 0, 0), (0, 1, 0), 0.3, SIDES)


def twin(means: Tensor, axes: Tensor, opacities: Tensor, colours: Tensor, camera: Camera) -> tuple[Tensor, ...]:
    """Gaussian by Gaussian over the whole image, in the words of the docstring."""
    rotation, translation, focal, principal = (
        t.to(means) for t in (camera.rotation, camera.translation, camera.focal, camera.principal)
    )
    height, width = camera.resolution
    y, x = torch.meshgrid(*(torch.arange(n).to(means) + 0.5 for n in (height, width)), indexing="ij")
    seen = means @ rotation.T + translation
    transmittance = torch.ones(height, width).to(means)
    output = torch.zeros(height, width, 4).to(means)
    for i in torch.argsort(seen[:, 2].detach()).tolist():
        px, py, pz = seen[i]
        if not camera.near < pz < camera.far:
            continue
        margin = 0.15 * torch.tensor([width, height]).to(means)
        low, high = (
            -(principal + margin) / focal,
            (torch.tensor([width, height]).to(means) - principal + margin) / focal,
        )
        tx, ty = torch.stack([px / pz, py / pz]).clamp(low, high)
        zero = torch.zeros_like(pz)
        slope = torch.stack(
            [
                torch.stack([focal[0] / pz, zero, -focal[0] * tx / pz]),
                torch.stack([zero, focal[1] / pz, -focal[1] * ty / pz]),
            ]
        )
        flat = slope @ rotation @ axes[i]
        inverse = torch.linalg.inv(flat @ flat.T + 0.3 * torch.eye(2).to(means))
        away = torch.stack([x, y], -1) - (torch.stack([px, py]) / pz * focal + principal)
        alpha = opacities[i] * (-0.5 * torch.einsum("hwi,ij,hwj->hw", away, inverse, away)).exp()
        alpha = torch.where((alpha >= 1 / 255) & (transmittance > 1e-4), alpha.clamp(max=0.99), 0)
        feature = torch.cat([colours[i], pz[None]])
        output = output + (transmittance * alpha)[..., None] * feature
        transmittance = transmittance * (1 - alpha)
    return output[..., :3], 1 - transmittance, output[..., 3]


def weighed(drawn: tuple[Tensor, ...], seed: int = 5) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return sum(((torch.rand(d.shape, generator=random) - 0.3).to(d) * d).sum() for d in drawn)  # type: ignore[return-value]


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_its_twin_forward_and_backward(seed):
    results = []
    for kind, draw in ((torch.float32, splat), (torch.float64, twin)):
        parameters = [values.to(kind, copy=True).requires_grad_() for values in cloud(seed=seed)]
        drawn = draw(*parameters, camera())
        weighed(drawn).backward()
        results.append([*drawn, *(p.grad for p in parameters)])
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), exact, atol=2e-5 * float(exact.detach().abs().max()), rtol=1e-4)


def test_opaque_layers_and_wide_angles_equal_the_twin():
    """Where transmittance runs out, opacity is held, and Gaussians are so far aside that their slope is held."""
    means, axes, _, colours = cloud(80, seed=2)
    means = means * torch.tensor([1, 1, 0.5]) + torch.tensor([0.0, 0.0, 0.3])
    opacities, axes = torch.full((80,), 1.0), 4 * axes
    wide = Camera.looking_at((0.0, 0.0, 0.45), (0, 0, 0), (0, 1, 0), 1.2, SIDES)
    results = []
    for kind, draw in ((torch.float32, splat), (torch.float64, twin)):
        parameters = [v.to(kind, copy=True).requires_grad_() for v in (means, axes, opacities, colours)]
        drawn = draw(*parameters, wide)
        weighed(drawn).backward()
        results.append([*drawn, *(p.grad for p in parameters)])
    assert (results[1][1] > 1 - 1e-4).float().mean() > 0.2
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), exact, atol=2e-4 * float(exact.detach().abs().max()), rtol=1e-3)


def test_the_twins_gradients_are_finite_differences():
    """In double precision, so that the kernels, which equal the twin, are held to the definition of a derivative."""
    parameters = [values.double() for values in cloud(6, seed=3)]
    parameters[1] = 3 * parameters[1]
    small = Camera.looking_at((0.1, 0.05, 0.6), (0, 0, 0), (0, 1, 0), 0.3, (12, 14))
    for place, step in ((0, 1e-7), (1, 1e-7), (2, 1e-6), (3, 1e-6)):
        values = [p.clone().requires_grad_() for p in parameters]
        weighed(twin(*values, small)).backward()
        direction = torch.randn(values[place].shape, generator=torch.Generator().manual_seed(place)).double()
        ends = []
        for way in (step, -step):
            moved = [p + way * direction if k == place else p for k, p in enumerate(parameters)]
            ends.append(weighed(twin(*moved, small)))
        slope = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close((values[place].grad * direction).sum(), slope, rtol=1e-4, atol=1e-6)


def test_one_gaussian_is_where_and_as_large_as_projected():
    at = torch.tensor([[0.01, -0.02, 0.03]])
    lens = Camera.looking_at((0.0, 0.0, 0.6), (0, 0, 0), (0, 1, 0), 0.3, (101, 101))
    drawn = splat(at, 0.005 * torch.eye(3)[None], torch.tensor([0.9]), torch.tensor([[0.2, 0.5, 1.0]]), lens)
    y, x = torch.meshgrid(torch.arange(101) + 0.5, torch.arange(101) + 0.5, indexing="ij")
    total = drawn.alpha.sum()
    centre = torch.stack([(drawn.alpha * x).sum(), (drawn.alpha * y).sum()]) / total
    torch.testing.assert_close(centre, lens.project(at)[0], atol=0.05, rtol=0)
    variance = (drawn.alpha * (x - centre[0]) ** 2).sum() / total
    assert float(variance) == pytest.approx(float((lens.focal[0] * 0.005 / 0.57) ** 2 + 0.3), rel=0.05)
    seen = drawn.alpha > 0
    torch.testing.assert_close(drawn.depth[seen] / drawn.alpha[seen], torch.full((int(seen.sum()),), 0.57))
    torch.testing.assert_close(drawn.image[seen][:, 0] / drawn.alpha[seen], torch.full((int(seen.sum()),), 0.2))


def test_the_nearer_one_hides_the_farther_whatever_the_order():
    means = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.1]])
    axes = 0.05 * torch.eye(3).expand(2, 3, 3)
    colours = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for order in ([0, 1], [1, 0]):
        drawn = splat(means[order], axes, torch.full((2,), 0.99), colours[order], camera())
        green, red = drawn.image[20, 28, 1], drawn.image[20, 28, 0]
        assert green > 0.9
        assert red < 0.1


def test_the_same_bits_whatever_the_number_of_threads():
    def run() -> list[Tensor]:
        parameters = [values.requires_grad_() for values in cloud(300, seed=4)]
        drawn = splat(*parameters, camera())
        weighed(drawn).backward()
        return [*drawn, *(p.grad for p in parameters)]

    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(run())
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_single_pixels_as_items_equal_tiles(monkeypatch):
    """As CUDA cuts the work; on one thread, since the CPU's sums of single pixels are not atomic."""
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    results = []
    for _ in range(2):
        parameters = [values.requires_grad_() for values in cloud(seed=6)]
        drawn = splat(*parameters, camera())
        weighed(drawn).backward()
        results.append([*drawn, *(p.grad for p in parameters)])
        monkeypatch.setattr("renderers.gaussians._piece", lambda device: 1)
    for tiles, pixels in zip(*results, strict=True):
        torch.testing.assert_close(tiles, pixels, atol=1e-5 * float(tiles.detach().abs().max()), rtol=1e-4)


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_to_see_is_black_and_has_no_gradient(count):
    means, axes, opacities, colours = (values.requires_grad_() for values in cloud(count))
    behind = means + torch.tensor([0.0, 0.0, 2.0])
    drawn = splat(behind, axes, opacities, colours, camera())
    assert all(float(d.detach().abs().sum()) == 0 for d in drawn)
    weighed(drawn).backward()
    for values in (means, axes, opacities, colours):
        assert values.grad is not None
        assert not values.grad.any()


def test_faint_ones_and_those_beside_the_image_are_left_out():
    means = torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [math.nan, 0.0, 0.0]])
    drawn = splat(
        means, 0.01 * torch.eye(3).expand(3, 3, 3), torch.tensor([1e-3, 0.9, 0.9]), torch.ones(3, 3), camera()
    )
    assert float(drawn.alpha.abs().sum()) == 0


def test_harmonic_colours_are_those_of_3dgs():
    """Written out as in its `eval_sh`."""
    random = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(7, 3, generator=random), dim=-1)
    sh = 0.1 * torch.randn(7, 9, 3, generator=random)
    x, y, z = (directions[:, k, None] for k in range(3))
    expected = 0.28209479 * sh[:, 0] + 0.5
    torch.testing.assert_close(harmonic_colours(sh[:, :1], directions), expected)
    expected = expected + 0.48860251 * (-y * sh[:, 1] + z * sh[:, 2] - x * sh[:, 3])
    torch.testing.assert_close(harmonic_colours(sh[:, :4], directions), expected)
    expected = expected + 1.09254843 * (x * y * sh[:, 4] - y * z * sh[:, 5] - x * z * sh[:, 7])
    expected = expected + 0.31539157 * (2 * z * z - x * x - y * y) * sh[:, 6] + 0.54627422 * (x * x - y * y) * sh[:, 8]
    torch.testing.assert_close(harmonic_colours(sh, directions), expected.clamp(min=0))


def test_wrong_inputs_are_named():
    means, axes, opacities, colours = cloud(4)
    with pytest.raises(ValueError, match="axes must have shape"):
        splat(means, axes[:3], opacities, colours, camera())
    with pytest.raises(ValueError, match="colours must be float32"):
        splat(means, axes, opacities, colours.double(), camera())
    batch = Camera.looking_at(torch.tensor([[0.1, 0.0, 0.6]]), (0, 0, 0), (0, 1, 0), 0.3, SIDES)
    with pytest.raises(ValueError, match="one camera"):
        splat(means, axes, opacities, colours, batch)
    with pytest.raises(ValueError, match="backend must be"):
        splat(means, axes, opacities, colours, camera(), backend="opengl")


def test_over_its_own_colour_an_image_is_of_that_colour() -> None:
    means, axes, opacities, _ = cloud()
    colour = torch.tensor([0.2, 0.5, 0.9])
    drawn = splat(means, axes, opacities, colour.expand(len(means), 3).contiguous(), camera())
    assert 0 < drawn.alpha.mean() < 1
    torch.testing.assert_close(drawn.over(colour.expand(*SIDES, 3)), colour.expand(*SIDES, 3))


@pytest.mark.gpu
def test_cuda_equals_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    results = []
    for device in ("cpu", "cuda"):
        parameters = [values.to(device).requires_grad_() for values in cloud(seed=7)]
        drawn = splat(*parameters, camera(device))
        weighed([d.cpu() for d in drawn]).backward()
        results.append([*drawn, *(p.grad for p in parameters)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(theirs.cpu(), ours, atol=1e-4 * float(ours.detach().abs().max()), rtol=1e-3)


@pytest.mark.gpu
def test_gsplat_agrees():
    try:
        load_splatter("gsplat")
    except ImportError as error:
        pytest.skip(str(error))
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    results = []
    for backend in ("warp", "gsplat"):
        parameters = [values.cuda().requires_grad_() for values in cloud(seed=8)]
        drawn = splat(*parameters, camera("cuda"), backend=backend)
        weighed([d.cpu() for d in drawn]).backward()
        results.append([*drawn, *(p.grad for p in parameters)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-2 * float(ours.detach().abs().max()), rtol=1e-2)


def test_a_missing_gsplat_is_named():
    if importlib.util.find_spec("gsplat") is not None:
        pytest.skip("gsplat is installed")
    with pytest.raises(ImportError, match="needs the package gsplat"):
        splat(*cloud(2), camera(), backend="gsplat")
