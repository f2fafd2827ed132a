"""Light, skin, eyes and texture: what was put into a picture comes out of it."""

import numpy as np
import pytest
import torch

import morphable
from face3d.appearance.iris import HAZEL, iris_colour
from face3d.appearance.light import separate_skin_and_light, shading, skin_colour
from face3d.appearance.painting import draw_head, paint, to_srgb8
from face3d.appearance.unwrap import spread, unwrap
from morphable import MorphableModel
from morphable.appearance import default_textures
from renderers import Camera, EnvironmentLight, linear_to_srgb, srgb_to_linear


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return morphable.load()


@pytest.fixture(scope="module")
def vertices(model: MorphableModel) -> torch.Tensor:
    return model(torch.zeros(1, model.identities), torch.zeros(1, 52), torch.zeros(1, 4, 3))[0][0]


def side_light() -> torch.Tensor:
    light = torch.zeros(9, 3)
    light[0] = torch.tensor([2.2, 2.0, 1.8])
    light[3] = 0.8
    light[1] = 0.3
    return light


def frontal_normals(count: int = 4000) -> torch.Tensor:
    normals = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    normals[:, 2] = normals[:, 2].abs()
    return torch.nn.functional.normalize(normals, dim=1)


def test_light_explains_shading_in_spite_of_outliers() -> None:
    normals = frontal_normals()
    radiance = torch.tensor([0.4, 0.26, 0.2]) * shading(normals, side_light())
    radiance[::9] = 0.01
    skin, light = separate_skin_and_light(radiance, normals, greyscale=False)
    explained = skin * shading(normals, light)
    clean = torch.arange(len(normals)) % 9 != 0
    error = ((explained - radiance).abs() / radiance.mean(0))[clean]
    assert float(error.mean()) < 0.03


def test_skin_is_skin_coloured_and_grey_photos_stay_grey() -> None:
    warm = skin_colour(torch.tensor([0.5, 0.3, 0.2]), greyscale=False)
    assert warm[0] > warm[1] > warm[2]
    dark, light = (skin_colour(torch.tensor([0.5, 0.35, 0.28]) * scale, greyscale=False) for scale in (0.1, 1.0))
    assert dark.sum() < light.sum()
    assert torch.equal(
        skin_colour(torch.full((3,), 0.3), greyscale=True).unique(),
        skin_colour(torch.full((3,), 0.3), greyscale=True)[:1],
    )


def test_shading_can_be_divided_by() -> None:
    harsh = torch.zeros(9, 3)
    harsh[0], harsh[3] = 1.0, 5.0
    assert float(shading(frontal_normals(), harsh).min()) > 0


def test_spread_keeps_what_is_known_and_fills_the_rest_between() -> None:
    values, weight = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    values[..., :8], values[..., -8:] = 1.0, 3.0
    weight[..., :8], weight[..., -8:] = 1.0, 1.0
    filled = spread(torch.cat([values * weight, weight], 1))
    assert torch.allclose(filled[..., :8], torch.ones(()), atol=1e-5)
    assert 1.0 <= float(filled.min()) <= float(filled.max()) <= 3.0 + 1e-5
    assert float(filled[..., 20].mean()) < float(filled[..., 44].mean())


def test_unwrapping_a_rendered_head_gives_its_texture_back(model: MorphableModel, vertices: torch.Tensor) -> None:
    """A head with a checkered skin under coloured light from one side, seen from the front."""
    textures = default_textures(model, resolution=512)
    base = textures["head"]
    row, column = np.mgrid[0:512, 0:512] // 16
    tint = np.where((row + column) % 2, 1.0, 0.8)[..., None]
    painted = paint(model, textures | {"head": (base * tint).astype(np.uint8)}, 512)
    camera = Camera.looking_at([0.0, 0.0, 1.0], [0.0, -0.02, 0.0], [0.0, 1.0, 0.0], 0.35, (768, 768))
    lit = draw_head(camera, vertices, model, painted, lights=[EnvironmentLight(side_light())], supersample=2)
    photo = linear_to_srgb(lit.colour[0].clamp(0, 1))
    found = unwrap(
        photo,
        torch.ones(photo.shape[:2]).bool(),
        camera,
        vertices,
        model,
        side_light(),
        base,
        eye_distance=200.0,
        size=512,
    )
    middle = np.s_[200:330, 215:297]
    error = np.abs(found[middle].astype(float) - (base * tint)[middle])
    assert np.median(error) < 5
    correlation = np.corrcoef(found[middle].mean(2).ravel(), (base * tint)[middle].mean(2).ravel())[0, 1]
    assert correlation > 0.8


def test_the_unseen_half_is_completed_from_the_seen_one(model: MorphableModel, vertices: torch.Tensor) -> None:
    """Seen from its left only, a head with darker skin gets darker skin on its right as well."""
    textures = default_textures(model, resolution=256)
    base = textures["head"]
    dark = textures | {"head": (base * 0.6).astype(np.uint8)}
    camera = Camera.looking_at([0.85, 0.0, 0.5], [0.0, -0.02, 0.0], [0.0, 1.0, 0.0], 0.35, (512, 512))
    ambient = torch.zeros(9, 3)
    ambient[0] = 3.0
    lit = draw_head(camera, vertices, model, paint(model, dark, 256), lights=[EnvironmentLight(ambient)])
    photo = linear_to_srgb(lit.colour[0].clamp(0, 1))
    found = unwrap(
        photo, torch.ones(photo.shape[:2]).bool(), camera, vertices, model, ambient, base, eye_distance=130.0, size=256
    ).astype(float)
    cheeks = found[140:165, 95:110].mean(), found[140:165, 146:161].mean()
    expected = dark["head"][140:165, 95:110].mean()
    assert cheeks == pytest.approx((expected, expected), rel=0.15)


def test_iris_takes_the_colour_of_its_ring() -> None:
    photo = np.full((60, 120, 3), 0.85)
    landmarks = np.zeros((478, 2))
    y, x = np.mgrid[0:60, 0:120] + 0.5
    blue = torch.tensor([0.08, 0.14, 0.22])
    for first, centre in ((468, 30.0), (473, 90.0)):
        distance = np.hypot(x - centre, y - 30)
        photo[distance < 12] = linear_to_srgb(blue * 0.8).numpy()
        photo[distance < 4] = 0.02
        landmarks[first : first + 5] = [[centre, 30], [centre + 12, 30], [centre, 18], [centre - 12, 30], [centre, 42]]
    found = iris_colour(photo, landmarks, torch.full((3,), 0.8), openness=1.0)
    assert torch.allclose(found, blue, atol=0.02)
    assert torch.allclose(iris_colour(photo, landmarks, torch.ones(3), openness=0.0), torch.tensor(HAZEL))


def test_srgb_round_trip() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    assert np.array_equal(to_srgb8(srgb_to_linear(torch.as_tensor(levels).float() / 255)), levels)
