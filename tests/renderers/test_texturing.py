import pytest
import torch

from renderers import Camera, interpolate, mipmaps, pyramid, rasterize, texture, uv_footprint


def bilinear(image, uv, wrap):
    """One image, any number of coordinates."""
    height, width, _ = image.shape
    s, t = uv[..., 0] * width - 0.5, uv[..., 1] * height - 0.5
    left, top = s.detach().floor().long(), t.detach().floor().long()
    result = 0
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = left + dx, top + dy
            x, y = (x % width, y % height) if wrap == "repeat" else (x.clamp(0, width - 1), y.clamp(0, height - 1))
            weight = (1 - (s - left - dx).abs()) * (1 - (t - top - dy).abs())
            result = result + weight[..., None] * image[y, x]
    return result


def twin(image, uv, footprint, wrap):
    if footprint is None:
        return torch.stack([bilinear(image[b % len(image)], uv[b], wrap) for b in range(len(uv))])
    levels = [image]
    while levels[-1].shape[1] % 2 == 0 and levels[-1].shape[2] % 2 == 0:
        last = levels[-1]
        levels.append((last[:, ::2, ::2] + last[:, 1::2, ::2] + last[:, ::2, 1::2] + last[:, 1::2, 1::2]) / 4)
    size = torch.tensor([image.shape[2], image.shape[2], image.shape[1], image.shape[1]])
    scaled = footprint * size
    longest = torch.maximum(scaled[..., [0, 2]].norm(dim=-1), scaled[..., [1, 3]].norm(dim=-1))
    level = longest.log2().clamp(0, len(levels) - 1)
    samples = torch.stack([twin(one, uv, None, wrap) for one in levels], dim=-1)
    weight = (1 - (level[..., None] - torch.arange(len(levels))).abs()).clamp(min=0)
    return (samples * weight[..., None, :]).sum(-1)


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
@pytest.mark.parametrize("mipmapped", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_equals_its_twin_forward_and_backward(wrap, mipmapped, shared):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1 if shared else 2, 12, 8, 3, generator=generator)
    uv = 1.6 * torch.rand(2, 9, 11, 2, generator=generator) - 0.3
    footprint = 0.5 * torch.rand(2, 9, 11, 4, generator=generator) ** 3 if mipmapped else None
    results = []
    for kind, function in ((torch.float32, texture), (torch.float64, twin)):
        texels, where = image.to(kind, copy=True).requires_grad_(), uv.to(kind, copy=True).requires_grad_()
        output = function(texels, where, None if footprint is None else footprint.to(kind), wrap=wrap)
        output.sin().sum().backward()
        results.append((output.detach(), texels.grad, where.grad))
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), exact, atol=2e-4, rtol=1e-4)


def test_top_left_is_the_origin():
    image = torch.arange(12.0).view(1, 3, 4, 1)
    corners = torch.tensor([[[[0.125, 1 / 6], [0.875, 1 / 6]], [[0.125, 5 / 6], [0.875, 5 / 6]]]])
    torch.testing.assert_close(texture(image, corners).flatten(), torch.tensor([0.0, 3, 8, 11]))


def test_mipmaps_are_area_averages():
    image = torch.rand(1, 16, 8, 2)
    levels = mipmaps(image)
    assert [level.shape[1:3] for level in levels] == [(16, 8), (8, 4), (4, 2), (2, 1)]
    torch.testing.assert_close(levels[2], image.view(1, 4, 4, 2, 4, 2).mean((2, 4)))


def test_a_minified_texture_is_the_average_of_what_a_pixel_covers():
    """A checkerboard seen from afar is grey with its footprint, and aliases without."""
    board = ((torch.arange(64)[:, None] + torch.arange(64)) % 2).float()[None, ..., None]
    camera = Camera.looking_at((0.0, 0, 3), (0, 0, 0), (0, 1, 0), 0.6, (16, 16))
    square = torch.tensor([[-1.0, 1, 0], [1, 1, 0], [-1, -1, 0], [1, -1, 0]])
    uv = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    triangles = torch.tensor([[0, 2, 1], [1, 2, 3]])
    clip = camera.clip(square[None])
    fragments = rasterize(clip, triangles, camera.resolution)
    footprint = uv_footprint(uv, triangles, fragments, clip, triangles)
    where = interpolate(uv, fragments, triangles)
    torch.testing.assert_close(texture(board, where, footprint), torch.full((1, 16, 16, 1), 0.5), atol=0.02, rtol=0)
    assert texture(board, where).std() > 0.1


def test_the_footprint_is_the_difference_between_neighbours():
    camera = Camera.looking_at((0.3, 0.4, 1), (0, 0, 0), (0, 1, 0), 0.6, (64, 48))
    square = torch.tensor([[-2.0, 2, 0], [2, 2, 0.5], [-2, -2, 0], [2, -2, 0.5]])
    uv = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    triangles = torch.tensor([[0, 2, 1], [1, 2, 3]])
    clip = camera.clip(square[None])
    fragments = rasterize(clip, triangles, camera.resolution)
    footprint = uv_footprint(uv, triangles, fragments, clip, triangles)[0]
    where = interpolate(uv, fragments, triangles)[0]
    whole = fragments.triangle[0]
    same = (whole[1:-1, 1:-1] == whole[1:-1, 2:]) & (whole[1:-1, 1:-1] == whole[1:-1, :-2])
    same &= (whole[1:-1, 1:-1] == whole[2:, 1:-1]) & (whole[1:-1, 1:-1] == whole[:-2, 1:-1]) & (whole[1:-1, 1:-1] >= 0)
    along_x = (where[1:-1, 2:] - where[1:-1, :-2]) / 2
    along_y = (where[2:, 1:-1] - where[:-2, 1:-1]) / 2
    central = torch.stack([along_x[..., 0], along_y[..., 0], along_x[..., 1], along_y[..., 1]], -1)
    torch.testing.assert_close(footprint[1:-1, 1:-1][same], central[same], atol=2e-6, rtol=1e-3)


def test_same_bits_for_any_number_of_threads():
    uv = torch.rand(1, 40, 40, 2, generator=torch.Generator().manual_seed(1))
    gradients = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            image = torch.ones(1, 8, 8, 3, requires_grad=True)
            (texture(image, uv) * uv[..., :1]).sum().backward()
            gradients.append(image.grad)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="image must have shape"):
        texture(torch.zeros(4, 4, 3), torch.zeros(1, 2, 2, 2))
    with pytest.raises(ValueError, match="float32"):
        texture(torch.zeros(1, 4, 4, 3).double(), torch.zeros(1, 2, 2, 2))
    with pytest.raises(ValueError, match="wrap"):
        texture(torch.zeros(1, 4, 4, 3), torch.zeros(1, 2, 2, 2), wrap="mirror")


def test_a_pyramid_made_before_gives_the_same_pixels() -> None:
    image, uv = torch.rand(1, 8, 16, 3), torch.rand(2, 5, 7, 2)
    footprint = 0.2 * torch.rand(2, 5, 7, 4)
    assert torch.equal(texture(pyramid(image), uv, footprint), texture(image, uv, footprint))
    assert torch.equal(texture(pyramid(image), uv), texture(image, uv))
