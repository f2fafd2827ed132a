"""Painted textures for a head of the default model: what its parts look like where nobody has photographed them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from morphable.model import MorphableModel

Colour = Sequence[float]
"""Linear red, green, blue in [0, 1]."""
Sheet = UInt8[np.ndarray, "height width channel"]

SKIN: Colour = (0.45, 0.26, 0.19)
BROWN: Colour = (0.10, 0.045, 0.02)
FLESH: Colour = (0.42, 0.13, 0.10)
SCLERA: Colour = (0.72, 0.68, 0.64)
IVORY: Colour = (0.72, 0.62, 0.46)
LASH: Colour = (0.015, 0.010, 0.008)
IRIS_DIAMETER = 0.0117
"""Metres: the visible iris is 11.7 ± 0.5 mm wide in adults (Rüfer et al. 2005)."""
PUPIL = 0.36
"""The pupil's share of the iris' diameter."""
TEETH, GUMS = 14, 0.24
"""The teeth's texture: this many crowns side by side, below gums as high as this."""
BLUR = 1.5
"""Pixels: soft edges are worked out at a size at which they are this wide."""
CHEEKS, NOSE, CHIN = (50, 280), (4, 48, 278), (199,)
"""MediaPipe's points around which skin is redder."""
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
"""MediaPipe's points along the margins of the lids."""


def default_textures(
    model: MorphableModel,
    *,
    skin_colour: Colour = SKIN,
    lip_colour: Colour | None = None,
    brow_colour: Colour | None = None,
    iris_colour: Colour = BROWN,
    iris_share: float | None = None,
    resolution: int = 1024,
) -> dict[str, Sheet]:
    """sRGB textures of the parts `head`, `eyes`, `teeth`, `tongue` (RGB) and `lashes` (RGBA), always the same ones.

    Args:
        model: whose layout the textures follow.
        skin_colour, lip_colour, brow_colour, iris_colour: linear; lips and brows follow from the skin where not given.
        iris_share: the visible iris' diameter over the eyeball's; the average head's if not given.
        resolution: pixels a side of the skin; the other parts get half of it.
    """
    small = resolution // 2
    iris = _iris_angle(model) if iris_share is None else float(np.arcsin(iris_share))
    lips = _lips_of(skin_colour) if lip_colour is None else lip_colour
    brows = _hair_of(skin_colour) if brow_colour is None else brow_colour
    return {
        "head": _skin(model, skin_colour, lips, brows, resolution),
        "eyes": _eyes(iris, iris_colour, small),
        "teeth": _teeth(small),
        "tongue": _tongue(small),
        "lashes": _lashes(small),
    }


def plain_textures(
    model: MorphableModel,
    *,
    skin_colour: Colour = SKIN,
    lip_colour: Colour | None = None,
    brow_colour: Colour | None = None,
    iris_colour: Colour = BROWN,
    resolution: int = 1024,
) -> dict[str, Sheet]:
    """As `default_textures`, in flat colours: skin, lips, brows and irises, which show where the geometry is."""
    lips = _lips_of(skin_colour) if lip_colour is None else lip_colour
    brows = _hair_of(skin_colour) if brow_colour is None else brow_colour
    sheet = _filled(skin_colour, resolution)
    for names, colour in ((("inner_mouth", "eye_socket"), FLESH), (("lip",), lips), (("brow",), brows)):
        sheet.paste(_encoded(colour), mask=_region(model, names, resolution, 0.002))
    angle = _gaze_angle(resolution // 2)
    iris = _iris_angle(model)
    eyes = np.array(_encoded(SCLERA), np.uint8) * np.ones((*angle.shape, 1), np.uint8)
    eyes[angle < iris] = _encoded(iris_colour)
    eyes[angle < PUPIL * iris] = 3
    lashes = np.zeros((*angle.shape, 4), np.uint8)
    small = resolution // 2
    plain = {"teeth": _plain(IVORY, small), "tongue": _plain(FLESH, small), "lashes": lashes}
    return {"head": np.asarray(sheet), "eyes": eyes, **plain}


def _skin(model: MorphableModel, skin: Colour, lips: Colour, brows: Colour, size: int) -> Sheet:
    """Layers of paint over the skin's own colour, from the broadest to the finest."""
    points = _landmarks_in_texture(model) * size
    sheet = _filled(skin, size)
    blush = _tinted(skin, (1.0, 0.74, 0.70))
    sheet.paste(_encoded(blush), mask=_blobs(points[[*CHEEKS, *NOSE, *CHIN]], size, 0.035, 0.55))
    sheet.paste(_encoded(blush), mask=_region(model, ("ears",), size, 0.02, 0.5))
    sheet.paste(_encoded(brows), mask=_region(model, ("scalp",), size, 0.02, 0.12))
    sheet.paste(_encoded(_tinted(skin, (0.8, 0.55, 0.5))), mask=_lid_margins(points, size))
    sheet.paste(_encoded(FLESH), mask=_region(model, ("eye_socket",), size, 0.002))
    sheet.paste(_encoded(_tinted(FLESH, (0.3, 0.18, 0.18))), mask=_region(model, ("inner_mouth",), size, 0.002))
    sheet.paste(_encoded(_tinted(skin, (0.25, 0.15, 0.12))), mask=_region(model, ("nostrils",), size, 0.004, 0.8))
    sheet.paste(_encoded(lips), mask=_region(model, ("lip",), size, 0.003, 0.85))
    sheet.paste(_encoded(brows), mask=_brow_hairs(model, size))
    mottling = 1 + 0.03 * _noise(size, 24, 1) + 0.025 * _noise(size, size // 4, 2) + 0.02 * _noise(size, size // 2, 3)
    return np.clip(np.asarray(sheet) * mottling[..., None], 0, 255).astype(np.uint8)


def _brow_hairs(model: MorphableModel, size: int) -> Image.Image:
    """Short strokes that fan out from the nose's side, over a soft shadow of the brow."""
    brow = _region(model, ("brow",), size, 0.004)
    rows, columns = np.nonzero(np.asarray(brow) > 110)
    if not len(rows):
        return brow
    strokes = Image.new("L", (size, size))
    draw = ImageDraw.Draw(strokes)
    generator = np.random.default_rng(4)
    length, low, high = 0.012 * size, rows.min(), rows.max()
    for i in generator.integers(0, len(rows), 900):
        x, y = columns[i], rows[i]
        outwards = np.sign(x - size / 2)
        inner = np.abs(x - size / 2) / np.abs(columns - size / 2).max()
        lift = (
            np.clip(1.6 - 1.9 * inner, -0.25, 0.9)
            + 0.25 * generator.standard_normal()
            + 0.3 * (y - (low + high) / 2) / (high - low)
        )
        dx, dy = outwards * length * np.cos(lift), -length * np.sin(lift)
        draw.line(
            (x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2),
            fill=int(generator.integers(120, 230)),
            width=max(1, size // 900),
        )
    strokes = ImageChops.multiply(
        strokes.filter(ImageFilter.GaussianBlur(size / 2500)), brow.point(lambda v: min(255, 2 * v))
    )
    return ImageChops.lighter(strokes, brow.point(lambda v: int(0.42 * v)))


def _lid_margins(points: Float[np.ndarray, "landmark 2"], size: int) -> Image.Image:
    mask = Image.new("L", (size, size))
    for eye in EYES:
        ring = [tuple(points[i]) for i in (*eye, eye[0])]
        ImageDraw.Draw(mask).line(ring, fill=210, width=max(1, round(0.006 * size)))
    return mask.filter(ImageFilter.GaussianBlur(0.003 * size))


def _eyes(iris: float, iris_colour: Colour, size: int) -> Sheet:
    """An eyeball about its gaze axis: pupil, iris with radial fibres, limbal ring, sclera with faint veins."""
    angle, turn = _gaze_angle(size), _turn(size)
    fibres = _fibres(turn)
    depth = np.clip(angle / iris, 0, 1)
    shade = 0.75 + 0.5 * np.exp(-(((depth - 0.52) / 0.16) ** 2)) + 0.35 * fibres * (1 - depth)
    coloured = np.asarray(iris_colour, np.float32) * shade[..., None]
    back = np.clip((angle - iris) / (np.pi / 2 - iris), 0, 1)[..., None]
    veins = np.clip(_noise(size, 40, 6) * _noise(size, 90, 7) - 0.9, 0, 1)[..., None] * back
    pink = np.asarray((0.62, 0.30, 0.26), np.float32)
    white = np.asarray(SCLERA, np.float32) * (1 - 0.55 * back) + pink * 0.55 * back
    white = white * (1 - veins) + veins * (0.5, 0.12, 0.1)
    softness = 0.04 * iris
    ring = 1 - 0.75 * np.exp(-(((angle - 0.97 * iris) / (0.10 * iris)) ** 2))[..., None]
    inside = 1 / (1 + np.exp(np.clip((angle - iris) / softness, -30, 30)))[..., None]
    pupil = 1 / (1 + np.exp(np.clip((angle - PUPIL * iris) / (0.5 * softness), -30, 30)))[..., None]
    return _pixels((white * (1 - inside) + coloured * inside) * ring * (1 - 0.98 * pupil))


def _fibres(turn: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Streaks that depend on the direction from the pupil alone, in about [-1, 1]."""
    generator = np.random.default_rng(5)
    waves = [(generator.integers(9, 90), generator.uniform(0, 2 * np.pi)) for _ in range(8)]
    directions = np.linspace(-np.pi, np.pi, 2048)
    table = np.sum([np.sin(k * directions + phase) for k, phase in waves], 0) / 3
    return table[((turn + np.pi) / (2 * np.pi) * 2047).astype(np.int32)].astype(np.float32)


def _gaze_angle(size: int) -> Float[np.ndarray, "height width"]:
    """Angle from the gaze axis of each pixel of the eyeball's texture, as the eyeball's UV define it."""
    x, y = _centred(size)
    radius = np.minimum(np.hypot(x, y), 0.5)
    return np.pi * (1 - np.sqrt(1 - 2 * radius))


def _turn(size: int) -> Float[np.ndarray, "height width"]:
    x, y = _centred(size)
    return np.arctan2(y, x)


def _centred(size: int) -> tuple[Float[np.ndarray, "1 width"], Float[np.ndarray, "height 1"]]:
    at = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    return at[None, :], at[:, None]


def _iris_angle(model: MorphableModel) -> float:
    """Angle between the gaze axis and the limbus of the average head's eyeballs."""
    ball = model.mean[model.parts["eye_left"].vertices, 2]
    return float(np.arcsin(IRIS_DIAMETER / float(ball.max() - ball.min())))


def _teeth(size: int) -> Sheet:
    """Gums at the top; crowns below, a column each: yellower at the neck, darker between them, paler at the edge.

    Towards both ends of the row the cheeks and lips leave less and redder light.
    """
    x, y = (np.arange(size, dtype=np.float32) + 0.5) / size * TEETH, _centred(size)[1] + 0.5
    neck_to_edge = np.clip((y - GUMS) / (1 - GUMS), 0, 1)[..., None]
    between = np.abs(2 * (x % 1) - 1)[None, :, None] ** 12
    ivory = (
        np.asarray(IVORY, np.float32) * ((0.88, 0.82, 0.72) + neck_to_edge * (0.16, 0.2, 0.32)) * (1 - 0.35 * between)
    )
    gums = np.asarray(FLESH, np.float32) * (1 + 0.08 * _noise(size, 24, 11))[..., None]
    backwards = np.clip((np.abs(2 * x / TEETH - 1) - 0.15) / 0.7, 0, 1)[None, :, None]
    shade = 1 - backwards**0.7 * np.asarray((0.72, 0.84, 0.86), np.float32)
    return _pixels(np.where(y[..., None] < GUMS, gums, ivory) * shade)


def _tongue(size: int) -> Sheet:
    bumps = 1 + 0.06 * _noise(size, size // 6, 8) + 0.08 * _noise(size, 12, 9)
    return _pixels(np.asarray((0.50, 0.17, 0.15), np.float32) * bumps[..., None])


def _lashes(size: int) -> Sheet:
    """Hairs from their roots at the top to their tips, dense and opaque there, thin and leaning here."""
    alpha = Image.new("L", (size, size))
    draw = ImageDraw.Draw(alpha)
    generator = np.random.default_rng(10)
    for root in np.linspace(0, size, 90) + generator.normal(0, 0.004 * size, 90):
        tip, length = root + generator.normal(0, 0.025 * size), size * generator.uniform(0.55, 1.0)
        spread = 0.0035 * size
        draw.polygon([(root - spread, 0), (root + spread, 0), (tip, length)], fill=int(generator.integers(150, 240)))
    rgb = np.ones((size, size, 1), np.uint8) * np.array(_encoded(LASH), np.uint8)
    return np.concatenate([rgb, np.asarray(alpha)[..., None]], -1)


def _landmarks_in_texture(model: MorphableModel) -> Float[np.ndarray, "landmark 2"]:
    """MediaPipe's points in texture coordinates."""
    embedding = model.landmarks["mediapipe"]
    corners = model.uv[model.uv_triangles[embedding.triangles.long()].long()]
    return (corners * embedding.barycentric[..., None].to(corners)).sum(1).cpu().numpy()


def _region(
    model: MorphableModel, names: tuple[str, ...], size: int, softness: float, strength: float = 1.0
) -> Image.Image:
    """Mask of regions with softened edges; softness in texture coordinates."""
    wanted = np.array([name.startswith(names) for name in model.region_names])
    mask = Image.fromarray(np.where(wanted, round(255 * strength), 0).astype(np.uint8)[model.region_map.cpu().numpy()])
    worked = min(size, round(BLUR / softness))
    mask = mask.resize((worked, worked), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(softness * worked))
    return mask.resize((size, size), Image.Resampling.BILINEAR)


def _blobs(centres: Float[np.ndarray, "blob 2"], size: int, radius: float, strength: float) -> Image.Image:
    """Soft round spots; centres in pixels, radius in texture coordinates."""
    coarse = 128
    at = (np.arange(coarse) + 0.5) * size / coarse
    across, down = (np.exp(-(((at[:, None] - centres[:, k]) / (radius * size)) ** 2)) for k in (0, 1))
    spots = np.clip(down @ across.T, 0, 1) * strength * 255
    return Image.fromarray(spots.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)


def _noise(size: int, cells: int, seed: int) -> Float[np.ndarray, "height width"]:
    """Smooth noise of unit variance before interpolation, `cells` to a side."""
    coarse = np.random.default_rng(seed).standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def _lips_of(skin: Colour) -> Colour:
    return _tinted(skin, (0.72, 0.42, 0.45))


def _hair_of(skin: Colour) -> Colour:
    return _tinted(skin, (0.10, 0.09, 0.08))


def _tinted(colour: Colour, tint: Colour) -> Colour:
    return tuple(c * t for c, t in zip(colour, tint, strict=True))


def _filled(colour: Colour, size: int) -> Image.Image:
    return Image.new("RGB", (size, size), _encoded(colour))


def _plain(colour: Colour, size: int) -> Sheet:
    return np.asarray(_filled(colour, size))


def _encoded(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = _pixels(np.asarray(colour, np.float32)).tolist()
    return red, green, blue


def _pixels(linear: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """sRGB bytes of linear light (IEC 61966-2-1)."""
    return _SRGB[(np.clip(linear, 0, 1) * (len(_SRGB) - 1) + 0.5).astype(np.uint16)]


_LEVELS = np.linspace(0, 1, 4096)
_SRGB = np.round(255 * np.where(_LEVELS <= 0.0031308, 12.92 * _LEVELS, 1.055 * _LEVELS ** (1 / 2.4) - 0.055)).astype(
    np.uint8
)
