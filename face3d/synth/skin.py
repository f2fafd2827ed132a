"""Skin, lips, brows, eyes and teeth: colours on the head's texture sheet.

The skin's colour follows from how much melanin and haemoglobin light passes: albedo = base · exp(-m·a - h·b). Melanin
absorbs as λ^-3.33 (Jacques 1998), haemoglobin most in the green and the blue.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from face3d.synth.anatomy import CLASS_TEXELS, SMALL, TEXELS, anatomy
from face3d.synth.classes import INDEX

BASE = np.array([0.80, 0.68, 0.60], np.float32)
"""Linear albedo of skin without either."""
MELANIN = np.array([0.41, 0.60, 1.0], np.float32)
HAEMOGLOBIN = np.array([0.12, 1.0, 0.75], np.float32)
TONES = ((0.35, 0.15), (0.7, 0.25), (1.3, 0.35), (2.2, 0.4))
"""Mean and deviation of melanin of a few kinds of people, from fair to dark."""
NOISES, NOISE_SIZE = (6, 14, 40, 100, 260), 640
"""Cells a side of the noise bank's maps, and their texels."""
BROWS = (
    ((46, 53, 52, 65, 55), (70, 63, 105, 66, 107)),
    ((276, 283, 282, 295, 285), (300, 293, 334, 296, 336)),
)
"""MediaPipe's points under and over the right and the left brow, from the temple to the nose."""
WRINKLES = {
    "forehead": ((54, 68, 104, 69, 108, 151, 337, 299, 333, 298, 284), (71, 63, 105, 66, 9, 296, 334, 293, 301)),
    "fold": ((129, 203, 206, 216), (358, 423, 426, 436)),
    "frown": ((107, 9), (336, 9)),
    "bag": ((226, 31, 228, 229, 230, 231), (446, 261, 448, 449, 450, 451)),
    "crow": ((130, 143, 156), (130, 34, 127), (359, 372, 383), (359, 264, 356)),
}
"""Lines along MediaPipe's points."""
LINE_MARGIN = 8
"""Texels about a line into which it may blur."""
PUPIL = 0.045
"""Radius in texture coordinates of an eyeball's pupil."""
LID_MARGINS = (
    ((33, 246, 161, 160, 159, 158, 157, 173), (263, 466, 388, 387, 386, 385, 384, 398)),
    ((33, 7, 163, 144, 145, 153, 154), (263, 249, 390, 373, 374, 380, 381)),
)
"""MediaPipe's points along the upper and the lower lids."""
HAIR_COLOURS = np.array(
    [
        (0.012, 0.009, 0.008),
        (0.03, 0.018, 0.012),
        (0.075, 0.042, 0.024),
        (0.14, 0.085, 0.045),
        (0.32, 0.21, 0.11),
        (0.5, 0.38, 0.22),
        (0.2, 0.06, 0.02),
        (0.3, 0.29, 0.28),
        (0.65, 0.63, 0.6),
    ],
    np.float32,
)
"""Linear: black, browns, blonds, red, grey, white."""
IRISES = (
    (0.05, 0.025, 0.012),
    (0.1, 0.055, 0.025),
    (0.13, 0.1, 0.045),
    (0.08, 0.11, 0.06),
    (0.11, 0.16, 0.21),
    (0.2, 0.24, 0.26),
)


@dataclass(frozen=True, eq=False)
class Complexion:
    """The colours of one head.

    Attributes:
        sheet: linear albedo of skin, eyes, teeth and tongue, and how much each texel shines.
        classes: of the skin's texture.
        skin, hair: linear colours, for neck, hands and hair.
        bearded: how much beard there is, from 0 (none) over stubble to 1.
    """

    sheet: Float[np.ndarray, "height width 4"]
    classes: UInt8[np.ndarray, "texel texel"]
    skin: Float[np.ndarray, "3"]
    hair: Float[np.ndarray, "3"]
    bearded: float


def complexion(random: np.random.Generator, scalp: float) -> Complexion:
    """Colours of a head. `scalp`: how far the hair that covers it reaches, as `Anatomy.hairline` has it; inf: none."""
    known = anatomy()
    masks = known.masks
    kind = random.choice(len(TONES), p=(0.34, 0.28, 0.2, 0.18))
    level = max(random.normal(*TONES[kind]), 0.05)
    redness = random.uniform(0.12, 0.5)
    male = random.uniform() < 0.5
    hair = _hair_colour(random, kind)
    melanin, haemoglobin = _pigments(random, level, redness)
    albedo = absorbed(melanin, haemoglobin)
    skin = absorbed(np.full(1, level, np.float32), np.full(1, redness, np.float32))[0]
    _wrinkle(random, albedo)
    _lashes(random, albedo)
    if not male or random.uniform() < 0.1:
        _make_up(random, albedo)
    bearded = 0.0
    if male and random.uniform() < 0.65:
        bearded = random.uniform(0, 1)
        _stubble(random, albedo, hair, bearded)
    if np.isfinite(scalp):
        _mix(albedo, _soft_step(known.hairline - scalp, 0.012) * np.float32(0.9), 0.6 * hair + 0.1 * skin * hair.mean())
    flesh = np.array([0.42, 0.13, 0.10], np.float32) * random.uniform(0.8, 1.1)
    _mix(albedo, masks["socket"], flesh)
    _mix(albedo, masks["mouth"], flesh * 0.28)
    _mix(albedo, 0.85 * masks["nostrils"], skin * (0.25, 0.15, 0.12))
    classes = known.class_map.copy()
    _brows(random, albedo, classes, hair if random.uniform() < 0.75 else _hair_colour(random, kind), skin)
    if np.isfinite(scalp):
        classes[(known.fine_hairline > scalp) & (classes == INDEX["skin"])] = INDEX["hair"]
    shine = 0.6 + 0.5 * (masks["nose"] + 0.5 * masks["forehead"] + 0.3 * masks["cheeks"]) + 0.12 * noise(random, 4)
    shine = random.uniform(0.1, 1.0) * shine + masks["lips"] * random.uniform(0, 1.2) + 1.5 * masks["socket"]
    sheet = np.empty((TEXELS, TEXELS + SMALL, 4), np.float32)
    sheet[:, :TEXELS, :3] = albedo.clip(0.003, 0.95)
    sheet[:, :TEXELS, 3] = shine.clip(0, 3)
    sheet[:, TEXELS:, :3] = _other_parts(random)
    sheet[:, TEXELS:, 3] = 1.0
    sheet[:SMALL, TEXELS:, 3] = 1.2
    return Complexion(sheet, classes, skin, hair, bearded)


def absorbed(
    melanin: Float[np.ndarray, "*shape"], haemoglobin: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape 3"]:
    """Linear albedo of skin with these amounts."""
    albedo = np.empty((*melanin.shape, 3), np.float32)
    for channel in range(3):
        albedo[..., channel] = BASE[channel] * np.exp(-MELANIN[channel] * melanin - HAEMOGLOBIN[channel] * haemoglobin)
    return albedo


def noise(random: np.random.Generator, scale: int, size: int = TEXELS) -> Float[np.ndarray, "texel texel"]:
    """A piece of the noise bank of about unit variance, turned and mirrored at random; larger scales are finer."""
    bank = _noise_bank()[scale]
    y, x = random.integers(0, NOISE_SIZE - size, 2)
    piece = bank[y : y + size, x : x + size]
    return piece[:: random.choice([-1, 1]), :: random.choice([-1, 1])]


@cache
def _noise_bank() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    maps = []
    for cells in NOISES:
        coarse = random.standard_normal((cells, cells)).astype(np.float32)
        fine = cv2.resize(coarse, (NOISE_SIZE, NOISE_SIZE), interpolation=cv2.INTER_CUBIC)
        maps.append(fine / fine.std())
    return maps


def _pigments(random: np.random.Generator, level: float, redness: float) -> tuple[np.ndarray, np.ndarray]:
    masks = anatomy().masks
    uneven = random.uniform(0.2, 1.0)
    melanin = level * (1 + uneven * (0.08 * noise(random, 0) + 0.05 * noise(random, 2) + 0.05 * noise(random, 4)))
    melanin += 0.08 * uneven * noise(random, 1)
    melanin += random.uniform(0, 0.35) * masks["under_eyes"] + random.uniform(0, 0.2) * masks["lids"]
    haemoglobin = redness * (1 + uneven * (0.16 * noise(random, 1) + 0.14 * noise(random, 3) + 0.1 * noise(random, 4)))
    blush = random.uniform(0.0, 0.32, 4)
    for name, amount in zip(("cheeks", "nose", "chin", "ears"), blush, strict=True):
        haemoglobin += amount * masks[name] * (1 + 0.3 * noise(random, 2))
    haemoglobin += random.uniform(0, 0.3) * masks["under_eyes"] + random.uniform(0.3, 1.1) * masks["lips"]
    melanin += random.uniform(0.0, 0.5) * masks["lips"]
    if random.uniform() < 0.2:
        spots = np.clip(noise(random, 3) - random.uniform(0.9, 1.6), 0, 1)
        melanin += random.uniform(0.5, 2.0) * spots * masks["freckled"]
    if random.uniform() < 0.25:
        haemoglobin += random.uniform(0.2, 0.8) * np.clip(noise(random, 2) - 2.2, 0, 1)
    for _ in range(random.poisson(2)):
        x, y = (int(c) for c in random.uniform(0.2, 0.8, 2) * TEXELS)
        cv2.circle(melanin, (x, y), int(random.integers(1, 3)), level + random.uniform(0.5, 1.5), -1, cv2.LINE_AA)
    return np.maximum(melanin, 0.02), np.maximum(haemoglobin, 0.02)


def _hair_colour(random: np.random.Generator, kind: int) -> np.ndarray:
    share = (
        (2, 4, 5, 4, 4, 3, 2, 2, 2),
        (4, 5, 4, 2, 1, 0.5, 0.5, 1.5, 1),
        (8, 5, 2, 0.5, 0.3, 0.2, 0.2, 1, 1),
        (9, 4, 1, 0.2, 0.1, 0.2, 0.2, 1, 0.6),
    )
    chance = np.array(share[kind])
    first, second = HAIR_COLOURS[random.choice(len(HAIR_COLOURS), 2, p=chance / chance.sum())]
    blend = random.uniform(0, 0.35)
    colour = (1 - blend) * first + blend * second
    if random.uniform() < 0.03:
        colour = random.uniform(0.02, 0.5, 3).astype(np.float32)
    return colour * np.float32(random.uniform(0.75, 1.25))


def _make_up(random: np.random.Generator, albedo: np.ndarray) -> None:
    masks = anatomy().masks
    if random.uniform() < 0.5:
        red = np.array([random.uniform(0.15, 0.6), random.uniform(0.01, 0.12), random.uniform(0.02, 0.16)], np.float32)
        _mix(albedo, random.uniform(0.2, 0.9) * masks["lips"], red)
    if random.uniform() < 0.35:
        shadow = random.uniform(0.02, 0.4, 3).astype(np.float32)
        _mix(albedo, random.uniform(0.1, 0.7) * masks["lids"], shadow)
    if random.uniform() < 0.3:
        _mix(albedo, random.uniform(0.05, 0.3) * masks["cheeks"], np.array([0.6, 0.15, 0.15], np.float32))


def _stubble(random: np.random.Generator, albedo: np.ndarray, hair: np.ndarray, bearded: float) -> None:
    masks = anatomy().masks
    area = masks["beard"] * random.uniform(0.5, 1) + masks["moustache"] * random.uniform(0.5, 1)
    grain = np.clip(0.65 + 0.45 * noise(random, 4), 0, 1)
    _mix(albedo, np.clip(area, 0, 1) * grain * min(1.2 * bearded, 0.75), hair)


def _brows(
    random: np.random.Generator, albedo: np.ndarray, classes: np.ndarray, colour: np.ndarray, skin: np.ndarray
) -> None:
    """Short strokes between two curves over each eye."""
    points = anatomy().points
    thick, density = random.uniform(0.55, 1.35), random.uniform(0.35, 1.0)
    lift, arch = random.uniform(-0.15, 0.25), random.normal(0, 0.12)
    strength = random.uniform(0.45, 0.95)
    tint = np.minimum(colour * random.uniform(0.7, 1.1), 0.85 * skin)
    strokes = np.zeros((TEXELS, TEXELS), np.float32)
    for name, (under, over) in zip(("brow_right", "brow_left"), BROWS, strict=True):
        share = np.linspace(0, 1, 24)
        low, high = (
            np.stack([np.interp(share * 4, np.arange(5), points[list(c), k]) for k in (0, 1)], 1) for c in (under, over)
        )
        middle, half = (low + high) / 2, (high - low) / 2
        middle = middle + half * (2 * lift + 2 * arch * np.sin(np.pi * share)[:, None])
        taper = np.clip(np.minimum(share / 0.35, (1 - share) / 0.06 + 0.45), 0.15, 1)[:, None]
        half = half * thick * taper
        outline = np.concatenate([middle - half, (middle + half)[::-1]])
        cv2.fillPoly(strokes, [(outline * TEXELS * 16).astype(np.int32)], 0.45 * density, shift=4)
        mask = np.zeros_like(classes)
        cv2.fillPoly(mask, [(outline * CLASS_TEXELS * 16).astype(np.int32)], 1, shift=4)
        classes[(mask > 0) & (classes == INDEX["skin"])] = INDEX[name]
        count = int(260 * density)
        where, across = random.uniform(0, 23, count), random.uniform(-1, 1, count)[:, None]
        step = where.astype(int)
        along = middle[np.minimum(step + 1, 23)] - middle[np.maximum(step - 1, 0)]
        along = -along / np.linalg.norm(along, axis=1, keepdims=True)
        start = middle[step] + across * half[step]
        rise = np.array([0.0, -1.0]) * random.uniform(0.0, 0.9, count)[:, None] * (where / 23)[:, None] ** 2
        end = (
            start + (along + rise - 0.5 * across * np.array([0.0, -0.6])) * random.uniform(0.008, 0.02, count)[:, None]
        )
        lines = (np.stack([start, end], 1) * TEXELS * 16).astype(np.int32)
        cv2.polylines(strokes, list(lines), False, float(0.6 + 0.4 * density), 1, cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(strokes, (0, 0), random.uniform(0.5, 1.0))
    _mix(albedo, soft * strength, tint)


def _wrinkle(random: np.random.Generator, albedo: np.ndarray) -> None:
    """Lines of age, darker than the skin about them."""
    age = random.uniform(0, 1) ** 1.5
    for lines in WRINKLES.values():
        if random.uniform() < 0.3 + 0.6 * age:
            for line in lines:
                _line(albedo, line, 0.45, (0.1 + 0.5 * age) * random.uniform(0.3, 1), int(random.integers(1, 4)))


def _lashes(random: np.random.Generator, albedo: np.ndarray) -> None:
    """Dark lines along the margins of the lids: lashes as small photos show them, and what is painted there."""
    for lines, least, most in zip(LID_MARGINS, (0.2, 0.0), (0.9, 0.5), strict=True):
        strength = random.uniform(least, most)
        for line in lines:
            _line(albedo, line, 0.1, strength, 1)


def _line(albedo: np.ndarray, line: tuple[int, ...], kept: float, strength: float, width: int) -> None:
    """A soft line along MediaPipe's points, which leaves a share of the light at full strength."""
    (y, x), mask = _soft_line(line, width)
    albedo[y : y + mask.shape[0], x : x + mask.shape[1]] *= 1 - np.float32(strength * (1 - kept)) * mask[..., None]


@cache
def _soft_line(line: tuple[int, ...], width: int) -> tuple[tuple[int, int], Float[np.ndarray, "row column"]]:
    """First row and column of a patch of the skin's texture, and how far a line of that many texels covers it."""
    path = anatomy().points[list(line)] * TEXELS
    low, high = path.min(0).astype(int) - LINE_MARGIN, path.max(0).astype(int) + LINE_MARGIN + 1
    mask = np.zeros((high - low)[::-1], np.float32)
    cv2.polylines(mask, [((path - low) * 16).astype(np.int32)], False, 1.0, width, cv2.LINE_AA, shift=4)
    return (int(low[1]), int(low[0])), cv2.GaussianBlur(mask, (0, 0), 0.6 + 0.4 * width)


def _other_parts(random: np.random.Generator) -> Float[np.ndarray, "height width 3"]:
    known = anatomy()
    column = known.sheet[:, TEXELS:].copy()
    iris = np.array(IRISES[random.choice(len(IRISES), p=(0.34, 0.22, 0.14, 0.1, 0.14, 0.06))]) * random.uniform(
        0.6, 1.5
    )
    column[:SMALL] += known.iris[..., None] * iris
    column[:SMALL] *= random.uniform(0.6, 1.0) * np.array([1, random.uniform(0.88, 1), random.uniform(0.82, 1)])
    column[:SMALL] *= _around_pupil(random.uniform(0.7, 1.4) * PUPIL)[..., None]
    column[SMALL:] *= random.uniform(0.6, 1.15) * np.array([1, random.uniform(0.85, 1), random.uniform(0.7, 1)])
    return column


def _around_pupil(radius: float) -> Float[np.ndarray, "texel texel"]:
    """0 within a pupil of that radius (texture coordinates) on the eyeball's texture, 1 outside."""
    at = (np.arange(SMALL, dtype=np.float32) + 0.5) / SMALL - 0.5
    return np.clip((np.hypot(at[:, None], at[None]) - radius) * SMALL + 0.5, 0.03, 1)


def _soft_step(distance: np.ndarray, softness: float) -> np.ndarray:
    return np.clip(0.5 + distance / softness, 0, 1)


def _mix(albedo: np.ndarray, share: np.ndarray, colour: np.ndarray) -> None:
    """Towards a colour by shares, where there are any."""
    rows, columns = (np.flatnonzero(share.any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    here = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    albedo[here] += share[here][..., None] * (np.asarray(colour, np.float32) - albedo[here])
