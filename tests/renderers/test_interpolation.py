import pytest
import torch

from renderers import interpolate, rasterize


def twin(attributes, triangle, barycentric, triangles):
    corners = triangles[triangle.clamp(min=0).long()]
    values = torch.stack([attributes[b][corners[b]] for b in range(len(triangle))])
    return torch.where((triangle >= 0)[..., None], (values * barycentric[..., None]).sum(-2), 0)


@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize("shared", [False, True])
def test_equals_its_twin_forward_and_backward(soup, channels, shared):
    clip, triangles = soup(seed=1)
    fragments = rasterize(clip, triangles, (24, 20))
    attributes = torch.randn(*((18,) if shared else (2, 18)), channels, generator=torch.Generator().manual_seed(0))
    results = []
    for kind in (torch.float32, torch.float64):
        values = attributes.to(kind, copy=True).requires_grad_()
        weights = fragments.barycentric.detach().to(kind, copy=True).requires_grad_()
        if kind == torch.float32:
            output = interpolate(values, fragments._replace(barycentric=weights), triangles)
        else:
            output = twin(values.expand(2, 18, channels), fragments.triangle, weights, triangles)
        output.sin().sum().backward()
        results.append((output.detach(), values.grad, weights.grad))
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), exact, atol=2e-5, rtol=1e-5)


def test_triangles_may_index_other_corners(soup):
    clip, triangles = soup(batch=1, seed=2)
    fragments = rasterize(clip, triangles, (24, 20))
    split = torch.arange(3 * len(triangles)).view(-1, 3)
    values = torch.randn(18, 2)
    torch.testing.assert_close(
        interpolate(values[triangles.flatten()], fragments, split), interpolate(values, fragments, triangles)
    )


def test_same_bits_twice(soup):
    clip, triangles = soup(seed=3)
    fragments = rasterize(clip, triangles, (64, 64))
    gradients = []
    for _ in range(3):
        values = torch.ones(2, 18, 5, requires_grad=True)
        (interpolate(values, fragments, triangles) * fragments.depth[..., None]).sum().backward()
        gradients.append(values.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_wrong_inputs_are_named(soup):
    clip, triangles = soup(seed=3)
    fragments = rasterize(clip, triangles, (8, 8))
    with pytest.raises(ValueError, match="attributes must have shape"):
        interpolate(torch.zeros(3, 18, 1), fragments, triangles)
    with pytest.raises(ValueError, match="float32"):
        interpolate(torch.zeros(18, 1).double(), fragments, triangles)
    with pytest.raises(ValueError, match="index vertex"):
        interpolate(torch.zeros(5, 1), fragments, triangles)
