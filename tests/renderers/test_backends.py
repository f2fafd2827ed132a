import importlib.util

import pytest
import torch

from renderers import Camera, rasterize
from renderers.backends import load

CASES = [("pytorch3d", "cpu"), ("pytorch3d", "cuda"), ("nvdiffrast", "cuda")]


def skip_without(package, device):
    try:
        load(package)
    except ImportError as error:
        pytest.skip(str(error))
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")


@pytest.mark.parametrize(("package", "device"), CASES)
def test_agrees_with_ours(make_ellipsoid, package, device):
    skip_without(package, device)
    vertices, triangles = (t.to(device) for t in make_ellipsoid(16, 10))
    camera = Camera.looking_at(torch.tensor([0.1, 0.05, 0.6], device=device), (0, 0, 0), (0, 1, 0), 0.45, (40, 56))
    results = []
    for backend in ("warp", package):
        clip = camera.clip(vertices[None]).detach().requires_grad_()
        fragments = rasterize(clip, triangles, camera.resolution, backend=backend)
        results.append((fragments, clip, fragments.triangle))
    same = results[0][2] == results[1][2]
    assert same.float().mean() > 0.99
    ours, theirs = results[0][0], results[1][0]
    torch.testing.assert_close(ours.depth[same], theirs.depth[same], atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.barycentric[same], theirs.barycentric[same], atol=2e-3, rtol=0)
    for fragments, _, _ in results:
        (fragments.barycentric[..., 0] * same).sum().backward()
    gradients = [clip.grad[..., [0, 1, 3]] for _, clip, _ in results]
    assert torch.nn.functional.cosine_similarity(*(g.flatten() for g in gradients), dim=0) > 0.999


@pytest.mark.parametrize("package", ["pytorch3d", "nvdiffrast"])
def test_a_missing_package_is_named(package):
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(ImportError, match=f"needs the package {package}"):
        rasterize(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]]), (4, 4), backend=package)


def test_unknown_backends_are_named():
    with pytest.raises(ValueError, match="backend must be"):
        load("opengl")
