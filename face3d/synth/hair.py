"""Hair and beards: locks that grow from the skin as ribbons towards the camera."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from face3d.synth.anatomy import CENTRE, LATITUDES, LONGITUDES, TEXELS, anatomy
from face3d.synth.people import Person
from face3d.synth.pieces import Piece, unit

FEWEST, BEARD_LOCKS = 50, 1300
"""Places for fewer locks than this carry none; locks of a beard."""
ROOTS = 16000
"""Places on the whole skin from which locks may grow, evenly spread."""
STEPS = {"buzz": 2, "short": 5, "side": 6, "back": 7, "long": 10, "afro": 6}
"""Segments of a lock."""
STYLES = {"none": 0.07, "buzz": 0.12, "short": 0.3, "side": 0.13, "back": 0.1, "long": 0.2, "afro": 0.08}
"""Shares of people."""


@dataclass(frozen=True)
class Haircut:
    """How hair is worn.

    Attributes:
        style: one of STYLES.
        edge: how far inside of the scalp hair begins, as `Anatomy.hairline` has it; inf where there is none.
        length: of locks, metres.
        locks: how many.
        curl: amplitude of curls, metres.
        volume: how thick the hair lies on the head, metres.
        parting: where it falls to both sides, metres to the person's left.
        fringe: whether it may fall before the forehead.
        lift: how far it stands up at the roots.
    """

    style: str
    edge: float
    length: float
    locks: int
    curl: float
    volume: float
    parting: float
    fringe: bool
    lift: float


def haircut(random: np.random.Generator) -> Haircut:
    style = str(random.choice(list(STYLES), p=list(STYLES.values())))
    length = {
        "none": 0.0,
        "buzz": random.uniform(0.004, 0.012),
        "short": random.uniform(0.025, 0.07),
        "side": random.uniform(0.05, 0.11),
        "back": random.uniform(0.06, 0.14),
        "long": random.uniform(0.16, 0.42),
        "afro": random.uniform(0.02, 0.12),
    }[style]
    curl = random.uniform(0.003, 0.012) if random.uniform() < 0.3 else random.uniform(0, 0.0015)
    return Haircut(
        style=style,
        edge=np.inf if style == "none" else random.normal(-0.03, 0.018),
        length=length,
        locks=int(random.uniform(0.75, 1.0) * (2800 if style in ("buzz", "afro") else 1750)),
        curl=random.uniform(0.004, 0.012) if style == "afro" else min(curl, 0.15 * length),
        volume=random.uniform(0.004, 0.028) if length > 0.03 else random.uniform(0.001, 0.005),
        parting=random.choice([0.0, 0.03, -0.03]) + random.normal(0, 0.008),
        fringe=bool(random.uniform() < 0.35),
        lift=random.uniform(0.0, 0.3) if random.uniform() < 0.8 else random.uniform(0.3, 1.0),
    )


def hair(
    random: np.random.Generator,
    cut: Haircut,
    colour: Float[np.ndarray, "3"],
    who: Person,
    eye: Float[np.ndarray, "3"],
    below: float = np.inf,
) -> Piece | None:
    """Someone's hair, seen from `eye`; only what grows below a height (metres, of the head at rest), if given."""
    if cut.style == "none":
        return None
    vertices, places = who.at_rest(who.vertices), skin_places()
    x, y, z = places.average.T
    temples = 0.02 * random.uniform(-0.3, 1.0) * np.clip(np.abs(x) / 0.05 - 0.4, 0, 1) * (z > 0.03)
    ragged = random.normal(0, 0.006, len(temples))
    growing = np.nonzero((places.hairline - temples + ragged > cut.edge) & (y < below))[0]
    if len(growing) < FEWEST:
        return None
    chosen = random.permutation(growing)[: cut.locks]
    roots, normals = _roots(vertices, chosen)
    weight = who.rotation.T @ np.array([0.0, -1.6, 0.0])
    paths = who.posed(_grown(random, cut, roots, normals, _Skull(vertices), weight))
    width = random.uniform(0.0027, 0.004) if cut.style != "buzz" else 0.0013
    return _ribbons(random, paths, width, colour, eye, "hair")


def beard(
    random: np.random.Generator,
    fullness: float,
    colour: Float[np.ndarray, "3"],
    vertices: Float[np.ndarray, "vertex 3"],
    eye: Float[np.ndarray, "3"],
) -> Piece | None:
    """A beard, a moustache or both; None for the little that stubble shows."""
    if fullness < 0.55:
        return None
    places = skin_places()
    kind = random.choice(3, p=(0.6, 0.2, 0.2))
    share = places.beard * (kind != 1) + places.moustache * (kind != 2)
    growing = np.nonzero(random.uniform(0.25, 0.8, len(share)) < share)[0]
    chosen = random.permutation(growing)[:BEARD_LOCKS]
    roots, normals = _roots(vertices, chosen)
    length = random.uniform(0.005, 0.012) if fullness < 0.85 else random.uniform(0.012, 0.05)
    reach = length * random.uniform(0.6, 1.1, len(roots))[:, None] / 4
    reach = reach * np.where(places.moustache[chosen] > 0.5, min(1.0, 0.011 / length), 1.0)[:, None]
    way = np.array([0.0, -1.0, 0.15]) + np.sign(roots[:, :1]) * np.array([0.25, 0.0, 0.0])
    curl = random.uniform(0.1, 0.5)
    path = [roots]
    for step in range(4):
        bend = 0.9 - 0.16 * step
        path.append(path[-1] + reach * unit(bend * normals + way + curl * random.normal(0, 1, roots.shape)))
    shade = colour * random.uniform(0.7, 1.1)
    return _ribbons(random, np.stack(path, 1), random.uniform(0.0009, 0.0018), shade, eye, "beard")


@dataclass(frozen=True, eq=False)
class _Places:
    """Places on the skin, spread evenly over the average head, where they are at `average`."""

    triangle: Int[np.ndarray, "place 3"]
    barycentric: Float[np.ndarray, "place 3"]
    hairline: Float[np.ndarray, " place"]
    beard: Float[np.ndarray, " place"]
    moustache: Float[np.ndarray, " place"]
    average: Float[np.ndarray, "place 3"]


@cache
def skin_places() -> _Places:
    known = anatomy()
    model = known.model
    random = np.random.default_rng(1)
    span = model.parts["head"].triangles
    triangles = model.triangles[span].numpy()
    inner = (model.regions["inner_mouth"] | model.regions["eye_socket"] | model.regions["ears"]).numpy()
    corners = model.mean.numpy()[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    area[inner[triangles].all(1)] = 0
    chosen = np.sort(random.choice(len(area), ROOTS, p=area / area.sum()))
    a, b = np.sqrt(random.uniform(size=ROOTS)), random.uniform(size=ROOTS)
    barycentric = np.stack([1 - a, a * (1 - b), a * b], 1).astype(np.float32)
    uv = (model.uv.numpy()[model.uv_triangles[span].numpy()[chosen]] * barycentric[..., None]).sum(1)
    x, y = np.clip(uv * TEXELS, 0, TEXELS - 1).astype(int).T
    at = {name: known.masks[name][y, x] for name in ("beard", "moustache")}
    average = (corners[chosen] * barycentric[..., None]).sum(1)
    return _Places(triangles[chosen], barycentric, known.hairline[y, x], at["beard"], at["moustache"], average)


def _roots(vertices: np.ndarray, chosen: Int[np.ndarray, " lock"]) -> tuple[np.ndarray, np.ndarray]:
    """Places on a head, and outward normals."""
    places = skin_places()
    a, b, c = (vertices[places.triangle[chosen, k]] for k in range(3))
    weights = places.barycentric[chosen]
    place = a * weights[:, :1] + b * weights[:, 1:2] + c * weights[:, 2:]
    return place.astype(np.float32), unit(np.cross(b - a, c - a)).astype(np.float32)


class _Skull:
    """How far out the head reaches in each direction from its middle."""

    def __init__(self, vertices: np.ndarray) -> None:
        self.centre = CENTRE
        self.reach = np.linalg.norm(vertices[anatomy().outline] - CENTRE, axis=-1).astype(np.float32)

    def radius(self, offset: Float[np.ndarray, "*shape 3"], distance: Float[np.ndarray, "*shape"]) -> np.ndarray:
        """Of the skin in the direction of offsets from the centre, whose lengths these are; bilinear."""
        latitude = np.arccos(np.clip(offset[..., 1] / distance, -1, 1)) * (LATITUDES / np.pi) - 0.5
        longitude = np.arctan2(offset[..., 0], offset[..., 2]) * (LONGITUDES / 2 / np.pi) - 0.5
        i, j = np.floor(latitude).astype(int), np.floor(longitude).astype(int)
        u, v = latitude - i, longitude - j
        low, high = np.clip(i, 0, LATITUDES - 1), np.clip(i + 1, 0, LATITUDES - 1)
        left, right = j % LONGITUDES, (j + 1) % LONGITUDES
        upper = self.reach[low, left] * (1 - v) + self.reach[low, right] * v
        lower = self.reach[high, left] * (1 - v) + self.reach[high, right] * v
        return upper * (1 - u) + lower * u


def _grown(
    random: np.random.Generator,
    cut: Haircut,
    roots: np.ndarray,
    normals: np.ndarray,
    skull: _Skull,
    weight: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "lock point 3"]:
    """Locks step by step: out of the skin, along the comb, down with their weight, and around the head."""
    count, steps = len(roots), STEPS[cut.style]
    roots, normals = roots.astype(np.float32), normals.astype(np.float32)
    length = cut.length * random.uniform(0.75, 1.1, count).astype(np.float32)
    layer = cut.volume * random.uniform(0.1, 1.0, count).astype(np.float32) ** 0.7
    comb = _combed(random, cut, roots - skull.centre).astype(np.float32)
    if cut.style not in ("afro", "buzz"):
        comb = unit(comb - (comb * normals).sum(1, keepdims=True) * normals)
    stray = _clumped(random, roots, 0.2) + 0.1 * random.standard_normal((count, 3), dtype=np.float32)
    phase, turns = random.uniform(0, 2 * np.pi, count).astype(np.float32), random.uniform(1.5, 3)
    aside = unit(np.cross(normals, comb + stray) + 1e-6)
    curtain = (random.uniform(0.75, 1.15) + 0.18 * random.standard_normal(count)).astype(np.float32)
    heavy = 0.0 if cut.style in ("afro", "buzz") else min(cut.length / 0.08, 1.5)
    reach, weight = (length / steps)[:, None], weight.astype(np.float32)
    path, place = [roots], roots
    for step in range(steps):
        share = step / steps
        way = (0.05 + cut.lift * (1 - share) ** 2) * normals + comb + stray * (0.5 + share) + heavy * share * weight
        place = place + reach * unit(way)
        offset = place - skull.centre
        if cut.style == "long" or not cut.fringe:
            offset = _parted(offset, curtain, cut.style == "long")
        distance = np.sqrt((offset * offset).sum(1))
        rise = skull.radius(offset, distance) + layer * min(1.0, 2.5 * (share + 0.15))
        lying = cut.style not in ("afro", "buzz") and cut.lift < 0.3
        most = np.where(offset[:, 1] > -0.06, rise + 0.006, np.inf) if lying else np.inf
        offset = offset * (np.clip(distance, rise, most) / distance)[:, None]
        place = skull.centre + offset
        swing = np.float32(cut.curl * min(1.0, 3 * share))
        around = np.sin(phase + turns * step)[:, None] * aside + np.cos(phase + turns * step)[:, None] * normals
        path.append(place + swing * around)
    return np.stack(path, 1)


def _clumped(random: np.random.Generator, roots: np.ndarray, strength: float) -> np.ndarray:
    """Directions that neighbours share: waves over the head."""
    waves = random.normal(0, 45, (3, 3)).astype(np.float32)
    return strength * np.sin(roots @ waves + random.uniform(0, 6, 3).astype(np.float32))


def _combed(random: np.random.Generator, cut: Haircut, offset: np.ndarray) -> np.ndarray:
    """The direction in which the hair at each root is combed."""
    outwards = unit(offset)
    crown = np.array([0.0, 0.75, -0.65])
    from_crown = unit(outwards - crown * (outwards @ crown)[:, None])
    falling = np.sign(offset[:, 0] - cut.parting)[:, None] * np.array([1.0, 0.0, 0.0])
    if cut.style == "afro":
        return 1.2 * outwards + 0.5 * random.normal(0, 1, offset.shape)
    if cut.style == "buzz":
        return 0.5 * from_crown + 0.8 * outwards
    if cut.style == "back":
        return np.array([0.0, 0.15, -1.0]) + 0.3 * outwards
    if cut.style == "side":
        way = np.sign(cut.parting) * np.array([-1.0, 0.0, 0.0])
        top = np.clip(outwards[:, 1:2] * 2 - 0.6, 0, 1)
        return top * (way + 0.2 * outwards + np.array([0.0, 0.0, 0.3])) + (1 - top) * from_crown
    if cut.style == "long":
        return falling * 0.9 + np.array([0.0, -0.2, -0.45])
    return from_crown + np.array([0.0, 0.0, 0.2 if cut.fringe else -0.3])


def _parted(offset: np.ndarray, curtain: np.ndarray, everywhere: bool) -> np.ndarray:
    """Keeps locks that hang before the face to its sides: turned about the vertical to at least the curtain's angle."""
    angle = np.arctan2(offset[:, 0], offset[:, 2])
    level = np.clip((0.085 - offset[:, 1]) / 0.06, 0, 1)
    least = curtain * level * (1.0 if everywhere else 0.9)
    turned = np.where(np.abs(angle) < least, np.where(angle < 0, -least, least), angle)
    across = np.hypot(offset[:, 0], offset[:, 2])
    return np.stack([across * np.sin(turned), offset[:, 1], across * np.cos(turned)], 1)


def _ribbons(
    random: np.random.Generator,
    paths: Float[np.ndarray, "lock point 3"],
    width: float,
    colour: Float[np.ndarray, "3"],
    eye: Float[np.ndarray, "3"],
    name: str,
) -> Piece:
    """Locks as ribbons that face the eye, thinner at their ends, each with edges of its own shades."""
    count, points = paths.shape[:2]
    tangent = np.diff(paths, axis=1, append=2 * paths[:, -1:] - paths[:, -2:-1])
    tangent /= np.sqrt((tangent * tangent).sum(-1, keepdims=True)) + 1e-9
    across = unit(np.cross(tangent, eye - paths).astype(np.float32))
    share = np.linspace(0, 1, points, dtype=np.float32)
    half = (
        0.5 * width * (1 - 0.85 * share**2)[None, :, None] * random.uniform(0.6, 1.3, (count, 1, 1)).astype(np.float32)
    )
    vertices = np.stack([paths - half * across, paths + half * across], 2).reshape(-1, 3).astype(np.float32)
    at = np.arange(count * points).reshape(count, points) * 2
    a, b = at[:, :-1], at[:, 1:]
    triangles = np.stack([a, a + 1, b, a + 1, b + 1, b], -1).reshape(-1, 3).astype(np.int32)
    normal = random.standard_normal((count, 1, 3), dtype=np.float32)
    lightness = np.exp(0.22 * normal[..., :1] + 0.18 * normal[..., 1:])
    ends = 1 + random.uniform(-0.1, 0.5) * share[None, :, None]
    shades = (lightness * ends).reshape(-1, 1) * colour
    rooted = np.clip(0.35 + 1.4 * share, 0, 1) if name == "hair" else np.clip(0.6 + share, 0, 1)
    openness = np.repeat(np.broadcast_to(rooted, (count, points)).ravel(), 2).astype(np.float32)
    tangents = np.repeat(tangent.reshape(-1, 3), 2, 0).astype(np.float32)
    return Piece(vertices, triangles, tangents, shades.astype(np.float32), name, 0.5, openness, strip=2 * (points - 1))
