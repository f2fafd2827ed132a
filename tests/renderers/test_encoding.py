"""Hash encodings: what they are at corners and between them, and their gradients."""

import pytest
import torch

from renderers import growing_resolutions, hash_encoding
from renderers.encoding import PRIMES, corner_entries

RESOLUTIONS = (4, 7, 23)


@pytest.fixture
def tables() -> torch.Tensor:
    """The first two levels have an entry for each corner, the last one a hash."""
    return torch.randn(3, 512, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_resolutions_grow_by_a_factor():
    assert growing_resolutions(16, 16, 1) == (16,)
    assert growing_resolutions(4, 32, 4) == (4, 8, 16, 32)


def test_a_corner_has_the_feature_of_its_entry(tables):
    corner = torch.tensor([[1, 2, 3]])
    for level, resolution in enumerate(RESOLUTIONS):
        side = resolution + 1
        hashed = 1 ^ (2 * PRIMES[1]) ^ (3 * PRIMES[2])
        entry = 1 * side**2 + 2 * side + 3 if side**3 <= 512 else hashed % 512
        found = hash_encoding(corner.double() / resolution, tables, RESOLUTIONS)[0].view(3, 2)[level]
        torch.testing.assert_close(found, tables[level, entry], atol=1e-12, rtol=0)


def test_between_corners_it_is_trilinear(tables):
    share = torch.tensor([0.2, 0.7, 0.4], dtype=torch.float64)
    for level, resolution in enumerate(RESOLUTIONS):
        corners = torch.cartesian_prod(*[torch.arange(2)] * 3)
        weights = torch.where(corners > 0, share, 1 - share).prod(1)
        at_corners = hash_encoding((corners + 2).double() / resolution, tables, RESOLUTIONS).view(8, 3, 2)[:, level]
        found = hash_encoding(((2 + share) / resolution)[None], tables, RESOLUTIONS).view(3, 2)[level]
        torch.testing.assert_close(found, weights @ at_corners, atol=1e-12, rtol=0)


def test_it_is_continuous_across_cells_and_held_beyond_the_edge(tables):
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points[:, 0] = 3 / 7
    step = torch.tensor([1e-9, 0, 0], dtype=torch.float64)
    jump = hash_encoding(points + step, tables, RESOLUTIONS) - hash_encoding(points - step, tables, RESOLUTIONS)
    assert float(jump.abs().max()) < 1e-6
    beyond = torch.tensor([[1.3, 0.5, -2.0]], dtype=torch.float64)
    edge = torch.tensor([[1.0, 0.5, 0.0]], dtype=torch.float64)
    assert torch.equal(hash_encoding(beyond, tables, RESOLUTIONS), hash_encoding(edge, tables, RESOLUTIONS))


def test_an_entry_for_each_corner_while_there_is_room():
    cells = torch.cartesian_prod(*[torch.arange(7)] * 3)
    rows = corner_entries(cells, 7, 512)
    assert len(rows.unique()) == 8**3
    assert int(corner_entries(cells, 23, 512).max()) < 512


def test_gradients_are_those_of_finite_differences(tables):
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(
        lambda p, t: hash_encoding(p, t, RESOLUTIONS),
        (points, tables.requires_grad_()),
        eps=1e-7,
        atol=1e-6,
        fast_mode=True,
    )


def test_gradients_are_the_same_with_any_number_of_threads(tables):
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(3))
    found, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        learned = tables.float().requires_grad_()
        hash_encoding(points, learned, RESOLUTIONS).square().sum().backward()
        found.append(learned.grad)
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_wrong_tables_are_named(tables):
    with pytest.raises(ValueError, match="power of 2 of entries, not 500"):
        hash_encoding(torch.zeros(1, 3), tables[:, :500], RESOLUTIONS)
    with pytest.raises(ValueError, match="3 tables cannot serve 2"):
        hash_encoding(torch.zeros(1, 3), tables, RESOLUTIONS[:2])
