"""What hides the face is told from it by its colour, whatever the light."""

import numpy as np
import pytest
import torch
from torch import Tensor

from face3d.appearance.light import shading
from face3d.appearance.mask import shown
from face3d.subject import Window

SIDE = 128
SKIN = torch.tensor([0.42, 0.25, 0.18])
NONE = torch.zeros(SIDE, SIDE, dtype=torch.bool)


def ball() -> tuple[Tensor, Tensor]:
    """Normals of a ball that faces the camera, and where it is."""
    steps = (torch.arange(SIDE) + 0.5) / SIDE * 2.4 - 1.2
    y, x = torch.meshgrid(-steps, steps, indexing="ij")
    there = x.square() + y.square() < 0.95
    z = (1 - x.square() - y.square()).clamp(min=0).sqrt()
    return torch.stack([x, y, z], -1) * there[..., None], there


def side_light() -> Tensor:
    light = torch.zeros(9, 3)
    light[0], light[1], light[3] = 2.0, torch.tensor([0.3, 0.25, 0.2]), torch.tensor([0.8, 0.7, 0.6])
    return light


def picture(grey: bool) -> tuple[Tensor, Tensor, Tensor]:
    normals, there = ball()
    noise = 0.04 * torch.randn(SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))
    radiance = SKIN * shading(normals, side_light()) * noise.exp() * there[..., None]
    return (radiance.mean(-1, keepdim=True).expand(-1, -1, 3) if grey else radiance), normals, there


def middle(there: Tensor) -> Tensor:
    core = torch.zeros_like(there)
    core[40:70, 30:95] = True
    return core & there


@pytest.mark.parametrize("grey", [False, True])
def test_all_of_a_bare_face_is_shown(grey: bool) -> None:
    radiance, normals, there = picture(grey)
    assert (shown(radiance, normals, there, middle(there), NONE, NONE, grey)[there] > 0.5).float().mean() > 0.99


@pytest.mark.parametrize("colour", [(0.02, 0.02, 0.02), (0.02, 0.2, 0.16), (0.6, 0.6, 0.62)])
def test_a_thing_before_a_third_of_the_face_is_found(colour: tuple[float, float, float]) -> None:
    radiance, normals, there = picture(False)
    thing = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    thing[76:, 10:110] = True
    radiance[thing] = torch.tensor(colour)
    hidden = (shown(radiance, normals, there, middle(there), NONE, NONE, False) < 0.5) & there
    wanted = thing & there
    assert 0.2 < wanted.sum() / there.sum() < 0.45
    assert (hidden & wanted).sum() / (hidden | wanted).sum() > 0.85


@pytest.mark.parametrize("below", [0, 14])
def test_a_brow_below_a_fringe_is_shown_unless_the_fringe_goes_on_below_it(below: int) -> None:
    radiance, normals, there = picture(False)
    brow = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    brow[40:44, 35:60] = True
    radiance[: 40 + below, 25:70] = torch.tensor([0.03, 0.02, 0.015])
    radiance[brow] = torch.tensor([0.03, 0.02, 0.015])
    found = shown(radiance, normals, there & ~brow, middle(there), brow, NONE, False)[brow] > 0.5
    assert found.float().mean() == (0 if below else 1)


def test_what_is_beside_a_known_thing_goes_with_it() -> None:
    radiance, normals, there = picture(False)
    radiance[60:66, 60:80] = 0.02
    known = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    known[58:68, 64:80] = True
    found = shown(radiance, normals, there, middle(there), NONE, known, False)
    assert (found[known] == 0).all() and found[61:65, 60:64].mean() < 0.5
    far = shown(radiance, normals, there, middle(there), NONE, known.roll(40, 0), False)
    assert (far[60:66, 60:80] > 0.5).all()


def test_a_mole_is_skin() -> None:
    radiance, normals, there = picture(False)
    radiance[60:66, 60:66] = 0.02
    assert (shown(radiance, normals, there, middle(there), NONE, NONE, False) > 0.5).all()


def test_too_little_skin_says_nothing() -> None:
    radiance, normals, there = picture(False)
    few = torch.zeros_like(there)
    few[60:66, 60:66] = True
    assert (shown(radiance, normals, few, few, NONE, NONE, False) == 1).all()
    assert (shown(torch.zeros_like(radiance), normals, there, middle(there), NONE, NONE, False) == 1).all()


def test_an_image_over_one_square_as_another_sees_it() -> None:
    """Places keep theirs in the photo; beyond, there is nothing."""
    inner, outer = Window(20.0, 30.0, 40.0, 80), Window(0.0, 10.0, 80.0, 40)
    image = torch.arange(80.0).expand(80, 80) / 2 + 20.25  # the photo's x at each pixel
    seen = outer.of(inner, image).numpy()
    x = np.arange(40) * 2 + 1
    inside = (x > 21) & (x < 59)
    assert np.allclose(seen[20, inside], x[inside], atol=0.01)
    assert (seen[:, x < 19] == 0).all() and (seen[:9] == 0).all()
