"""Pictures made by a network: any size, tokens, what it can learn, and gradients to the mesh that was drawn."""

import pytest
import torch

from renderers import Camera, render_mesh
from renderers.neural import UNet

WIDTHS = (8, 16)


def network(inputs: int, outputs: int, tokens: int = 0) -> UNet:
    torch.manual_seed(0)
    return UNet(inputs, outputs, WIDTHS, tokens)


def woken(net: UNet) -> UNet:
    """With a last layer that puts something out."""
    torch.nn.init.normal_(net.last.weight)
    return net


def taught(net: UNet, seen: torch.Tensor, wanted: torch.Tensor, tokens: torch.Tensor | None = None) -> float:
    """Mean absolute difference over that of the fresh network, after 150 steps."""
    adam = torch.optim.Adam(net.parameters(), lr=0.005)
    errors = []
    for _ in range(150):
        adam.zero_grad()
        error = (net(seen, tokens) - wanted).abs().mean()
        error.backward()
        adam.step()
        errors.append(float(error.detach()))
    return errors[-1] / errors[0]


@pytest.mark.parametrize("size", [(24, 24), (17, 30), (5, 9)])
def test_pictures_keep_their_size_and_a_fresh_network_puts_out_zeros(size: tuple[int, int]) -> None:
    made = network(3, 4)(torch.rand(2, *size, 3))
    assert made.shape == (2, *size, 4)
    assert not made.any()


def test_pixels_depend_on_what_is_near_alone() -> None:
    net = woken(network(1, 1))
    picture = torch.rand(1, 64, 64, 1)
    changed = picture.clone()
    changed[0, 10, 10] += 1
    difference = (net(picture) - net(changed))[0, ..., 0].abs()
    assert float(difference[:20, :20].detach().max()) > 1e-3
    assert not difference[32:].any()
    assert not difference[:, 32:].any()


def test_pictures_that_move_by_whole_cells_are_made_alike() -> None:
    net = woken(network(1, 1))
    picture = torch.zeros(1, 64, 64, 1)
    picture[0, 24:32, 24:32] = torch.rand(8, 8, 1)
    moved = picture.roll((6, 2), (1, 2))
    torch.testing.assert_close(net(picture).roll((6, 2), (1, 2))[:, 16:48, 16:48], net(moved)[:, 16:48, 16:48])


def test_tokens_tell_one_picture_from_another() -> None:
    """The same is drawn for both; only tokens say which is wanted."""
    seen = torch.linspace(0, 1, 192).view(1, 8, 8, 3).expand(2, -1, -1, -1)
    wanted = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(-1, 8, 8, 3)
    assert taught(network(3, 3, tokens=2), seen, wanted, torch.eye(2)) < 0.2
    assert taught(network(3, 3), seen, wanted) > 0.55


def test_what_lies_about_a_mesh_is_learned_and_moves_it() -> None:
    """A mesh's pictures come out one pixel wider and in another colour, and the wanted picture moves its vertices."""
    camera = Camera.looking_at((0, 0, 1.0), (0, 0, 0), (0, 1, 0), 0.8, (32, 32))
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    square = torch.tensor([[-1.0, -1.0, 0.0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])

    def drawn(across: torch.Tensor) -> torch.Tensor:
        vertices = 0.12 * square + torch.stack([across, 0 * across, 0 * across], -1)[:, None]
        return render_mesh(camera, vertices, triangles).alpha[..., None]

    def wanted(alpha: torch.Tensor) -> torch.Tensor:
        wide = torch.nn.functional.max_pool2d(alpha.permute(0, 3, 1, 2), 3, stride=1, padding=1).permute(0, 2, 3, 1)
        return wide * torch.tensor([0.2, 0.5, 0.9])

    places = drawn(torch.linspace(-0.15, 0.15, 7))
    net = network(1, 3)
    assert taught(net, places, wanted(places)) < 0.15
    across = torch.zeros(1, requires_grad=True)
    (net(drawn(across)) - wanted(drawn(torch.tensor([0.02])))).square().mean().backward()
    assert across.grad is not None
    assert float(across.grad) < 0
