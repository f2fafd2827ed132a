"""Light, skin, eyes and texture: what was put into a picture comes out of it."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from avatars.painting import draw_head, paint, to_srgb8
from face3d.appearance.completion import Surface, strands
from face3d.appearance.iris import HAZEL, iris_colour
from face3d.appearance.light import separate_skin_and_light, shading, skin_colour
from face3d.appearance.unwrap import PhotoView, spread, unwrap
from morphable import ARKIT_NAMES, MorphableModel
from morphable.appearance import default_textures
from renderers import Camera, EnvironmentLight, Light, linear_to_srgb, rasterize, srgb_to_linear, vertex_normals


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
    view = PhotoView(photo, torch.ones(photo.shape[:2]), camera, vertices, side_light(), 200.0)
    found = unwrap([view], model, base, size=512)
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
    view = PhotoView(photo, torch.ones(photo.shape[:2]), camera, vertices, ambient, 130.0)
    found = unwrap([view], model, base, size=256).astype(float)
    cheeks = found[140:165, 95:110].mean(), found[140:165, 146:161].mean()
    expected = dark["head"][140:165, 95:110].mean()
    assert cheeks == pytest.approx((expected, expected), rel=0.15)


def test_photos_from_both_sides_give_each_its_own(model: MorphableModel, vertices: torch.Tensor) -> None:
    """Either cheek comes from the photo that shows it, in the first photo's colours though the other is darker."""
    textures = default_textures(model, resolution=256)
    row, column = np.mgrid[0:256, 0:256]
    spots = np.where((row // 8 + column // 8) % 2, 1.0, np.where(column < 128, 0.75, 0.9))[..., None]
    marked = textures | {"head": (textures["head"] * spots).astype(np.uint8)}
    views = []
    for x, brightness in ((0.7, 3.0), (-0.7, 1.5)):
        camera = Camera.looking_at([x, 0.0, 0.7], [0.0, -0.02, 0.0], [0.0, 1.0, 0.0], 0.35, (512, 512))
        ambient, told = torch.zeros(9, 3), torch.zeros(9, 3)
        ambient[0], told[0] = brightness, 3.0
        lit = draw_head(camera, vertices, model, paint(model, marked, 256), lights=[EnvironmentLight(ambient)])
        photo = linear_to_srgb(lit.colour[0].clamp(0, 1))
        views.append(PhotoView(photo, torch.ones(512, 512), camera, vertices, told, 130.0))
    both = unwrap(views, model, textures["head"], size=256).astype(float)
    for cheek in (np.s_[140:165, 90:112], np.s_[140:165, 144:166]):
        assert np.abs(both[cheek] - marked["head"][cheek]).mean() < 6
    alone = unwrap(views[:1], model, textures["head"], size=256).astype(float)
    hidden = np.s_[140:165, 90:112]
    assert np.abs(alone[hidden] - marked["head"][hidden]).mean() > 8


def unwrapped(
    model: MorphableModel,
    vertices: torch.Tensor,
    base: np.ndarray,
    truth: np.ndarray,
    eye: tuple[float, float, float],
    *,
    background: tuple[float, float, float] = (0.1, 0.1, 0.1),
    slip: float = 0.0,
    size: int = 512,
) -> np.ndarray:
    """The texture found in a picture of a head with the skin `truth`, drawn from `eye`; the fit is off by `slip` m."""
    painted = paint(model, default_textures(model, resolution=size) | {"head": truth}, size)
    camera = Camera.looking_at(eye, [0.0, -0.02, 0.0], [0.0, 1.0, 0.0], 0.3, (768, 768))
    behind = torch.tensor(background).expand(768, 768, 3)
    lights: list[Light] = [EnvironmentLight(side_light())]
    lit = draw_head(camera, vertices, model, painted, lights=lights, background=behind, supersample=1)
    photo = linear_to_srgb(lit.colour[0].clamp(0, 1))
    everywhere = torch.ones(photo.shape[:2])
    fitted = vertices + torch.tensor([slip, slip, 0.0])
    return unwrap([PhotoView(photo, everywhere, camera, fitted, side_light(), 230.0)], model, base, size)


def texels(model: MorphableModel, wanted: torch.Tensor, size: int) -> np.ndarray:
    """Texels at the centres of the skin's triangles all of whose corners are among the wanted vertices."""
    span = model.parts["head"].triangles
    inside = wanted[model.triangles[span].long()].all(1)
    centres = model.uv[model.uv_triangles[span][inside].long()].mean(1)
    found = np.zeros((size, size), bool)
    column, row = (centres.numpy().T * size).astype(int).clip(0, size - 1)
    found[row, column] = True
    return found


@pytest.mark.parametrize("slip", [0.0, 0.0012])
def test_closed_lids_are_skin_though_the_photo_shows_open_eyes(
    model: MorphableModel, vertices: torch.Tensor, slip: float
) -> None:
    """Skin that a blink unfolds gets the skin's colour; eyes and lashes stay off it, even if the fit is a bit off."""
    base = default_textures(model, resolution=512)["head"]
    truth = (base * 0.7).astype(np.uint8)
    found = unwrapped(model, vertices, base, truth, (0.0, 0.0, 1.0), slip=slip).astype(float)
    blink = torch.zeros(1, 52)
    blink[0, [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]] = 1.0
    closed = model(torch.zeros(1, model.identities), blink, torch.zeros(1, 4, 3))[0][0]
    lids = texels(model, ((closed - vertices).norm(dim=1) > 0.002) & ~model.regions["eye_socket"], 512)
    assert lids.sum() > 100
    error = np.abs(found - truth)[lids].max(1)
    assert np.median(error) < 5
    assert np.percentile(error, 98) < 12


def test_what_smears_the_badly_seen_cheek_gives_way_to_the_other_cheek(
    model: MorphableModel, vertices: torch.Tensor
) -> None:
    """In three-quarter view, red on the far cheek where it turns away (as behind a nose, or in hard light)."""
    eye = torch.tensor([0.5, 0.0, 0.9])
    base = default_textures(model, resolution=512)["head"]
    facing = vertex_normals(vertices, model.triangles) @ torch.nn.functional.normalize(eye, dim=0)
    turned = texels(model, model.regions["cheeks"] & (vertices[:, 0] < 0) & (facing > 0.3) & (facing < 0.5), 512)
    smeared = base.copy()
    smeared[ndimage.binary_dilation(turned, iterations=5)] = (150, 80, 70)
    found = unwrapped(model, vertices, base, smeared, tuple(eye.tolist()))
    redness = [(skin[turned].astype(float) @ [1, -0.5, -0.5]).mean() for skin in (base, smeared, found)]
    assert turned.sum() > 50
    assert redness[2] - redness[0] < 0.05 * (redness[1] - redness[0])


def test_unseen_scalp_has_the_hair_that_is_seen_and_stays_bald_without(
    model: MorphableModel, vertices: torch.Tensor
) -> None:
    """Seen from below the chin, which shows little of the crown."""
    base = default_textures(model, skin_colour=(0.5, 0.3, 0.22), resolution=512)["head"]
    scalp = model.regions["scalp"]
    crown = scalp | (model.regions["skin"] & ~model.regions["face"] & (vertices[:, 1] > 0.06))
    rows, columns = np.nonzero(texels(model, crown, 512))
    brown = srgb_of((0.06, 0.03, 0.015))
    haired = base.copy()
    for row, column in zip(rows, columns, strict=True):
        haired[max(0, row - 16) : row + 16, max(0, column - 16) : column + 16] = brown
    back = texels(model, scalp & (vertices[:, 2] < -0.03), 512)
    tone = [unwrapped(model, vertices, base, skin, (0.0, -0.25, 1.0))[back].mean(0) for skin in (haired, base)]
    assert tone[0] == pytest.approx(brown.astype(float), abs=25)
    assert tone[1] == pytest.approx(base[back].mean(0), abs=15)


def srgb_of(linear: tuple[float, float, float]) -> np.ndarray:
    return to_srgb8(torch.tensor(linear))


def test_fields_spread_over_the_surface_know_no_seam(model: MorphableModel, vertices: torch.Tensor) -> None:
    """Known on the person's left half only, the field is the same on both sides of the texture's cut at the back."""
    span = model.parts["head"].triangles
    x, y = 2 * model.uv[:, 0] - 1, 1 - 2 * model.uv[:, 1]
    flat = torch.stack([x, y, torch.zeros_like(x), torch.ones_like(x)], 1)[None]
    fragments = rasterize(flat, model.uv_triangles[span], (256, 256))
    surface = Surface.of(vertices[: model.parts["head"].vertices.stop], model.triangles[span], fragments)
    weight = torch.zeros(256, 256)
    weight[:, 160:] = 1.0
    values = torch.linspace(0, 1, 256)[None, :, None].expand(256, 256, 1)
    field = surface.fill(values, weight, torch.zeros(1, 1), 1e-4)[..., 0]
    covered = fragments.triangle[0] >= 0
    assert float((field - values[..., 0])[(weight > 0) & covered].abs().mean()) < 0.02
    rows = torch.arange(60, 200)
    assert float((field[rows, 0] - field[rows, -1]).abs().max()) < 0.03


def test_strands_meet_at_the_back() -> None:
    pattern = strands(256)
    assert torch.equal(pattern, pattern.flip(1))
    assert float(pattern.std()) == pytest.approx(1.0, abs=1e-3)
    along, across = (pattern.diff(dim=k)[20:100, 118:138].abs().mean() for k in (0, 1))
    assert along < 0.5 * across


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
