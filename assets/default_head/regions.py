"""Regions of the skin: a label for every texel of its texture, and masks over its vertices."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw

from morphable import LandmarkEmbedding

SIZE = 1024
IRISES = 468
"""From this one on, MediaPipe's points lie on the eyeballs."""
BROWS = {
    "brow_right": (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    "brow_left": (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
}
"""MediaPipe's points around the brows."""
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""MediaPipe's points around the face."""
NAMES = (
    *("outside", "skin", "face", "brow_right", "brow_left", "lip_upper", "lip_lower", "inner_mouth", "eye_socket"),
    *("ears", "scalp", "neck", "nostrils"),
)
PLAIN = {
    "brow_right": (0.03, 0.02, 0.015),
    "brow_left": (0.03, 0.02, 0.015),
    "lip_upper": (0.30, 0.09, 0.08),
    "lip_lower": (0.30, 0.09, 0.08),
    "inner_mouth": (0.10, 0.02, 0.02),
    "eye_socket": (0.30, 0.10, 0.08),
    "nostrils": (0.08, 0.03, 0.02),
}
SKIN = (0.45, 0.26, 0.19)
IRIS = 0.118
"""Radius of the iris in the eyeball's texture."""
NOSTRIL_RAYS, NOSTRIL_SKY = 48, 0.37
"""Directions in which vertices of the nose look, and the share of free sight below which they lie in a nostril."""


@dataclass(frozen=True)
class Skin:
    """The skin of the mean head; metres, the origin behind the eyes.

    Attributes:
        inner_mouth, eye_socket: vertices that line them, their edges included.
        lips, ears: how much of each vertex MakeHuman's masks cover.
        upper: how much nearer, over the skin, vertices lie to the upper edge of the mouth than to the lower; metres.
        mouth: the middle of the mouth.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    uv: Float[np.ndarray, "corner 2"]
    uv_triangles: Int[np.ndarray, "triangle 3"]
    inner_mouth: Bool[np.ndarray, " vertex"]
    eye_socket: Bool[np.ndarray, " vertex"]
    lips: Float[np.ndarray, " vertex"]
    ears: Float[np.ndarray, " vertex"]
    upper: Float[np.ndarray, " vertex"]
    mouth: Float[np.ndarray, "3"]
    eyes: Float[np.ndarray, "3"]


def draw_region_map(skin: Skin, landmarks: LandmarkEmbedding) -> UInt8[np.ndarray, "height width"]:
    """Indices into NAMES over the skin's texture. Outlines of lips and ears run through triangles where MakeHuman's
    masks, interpolated, fall to one half; brows and the face's oval are the landmarks' polygons."""
    triangle, barycentric = _texels(skin)
    corners = skin.triangles[triangle]

    def at_texels(field: np.ndarray) -> np.ndarray:
        return (field[corners] * barycentric).sum(-1)

    fields = vertex_fields(skin)
    labels = np.full((SIZE, SIZE), NAMES.index("skin"), np.uint8)
    triangles, barycentric_of = (tensor[:IRISES].numpy() for tensor in (landmarks.triangles, landmarks.barycentric))
    points = (skin.uv[skin.uv_triangles[triangles]] * barycentric_of[:, :, None]).sum(1) * SIZE
    for name in ("neck", "scalp"):
        labels[at_texels(fields[name]) > 0] = NAMES.index(name)
    labels[_polygon(points[list(FACE_OVAL)])] = NAMES.index("face")
    labels[at_texels(skin.ears) > 0.5] = NAMES.index("ears")
    for name, contour in BROWS.items():
        labels[_polygon(_rounded(points[list(contour)]))] = NAMES.index(name)
    labels[at_texels(fields["nostrils"]) > 0] = NAMES.index("nostrils")
    lips, above = at_texels(skin.lips) > 0.5, at_texels(skin.upper) > 0
    labels[lips & above] = NAMES.index("lip_upper")
    labels[lips & ~above] = NAMES.index("lip_lower")
    for name in ("inner_mouth", "eye_socket"):
        labels[getattr(skin, name)[corners].all(-1)] = NAMES.index(name)
    return labels


def vertex_fields(skin: Skin) -> dict[str, Float[np.ndarray, " vertex"]]:
    """Fields over the vertices that are positive inside a region; metres where they are distances."""
    _, y, z = (skin.vertices - skin.eyes).T
    chin = float(skin.mouth[1] - skin.eyes[1]) - 0.045
    jaw = chin + 0.55 * np.clip(-0.012 - z, 0, 0.07)
    return {
        "neck": jaw - y,
        "scalp": y - 0.065 - 0.85 * (z + 0.01),
        "nostrils": NOSTRIL_SKY - _free_sight(skin),
    }


def vertex_regions(
    skin: Skin, region_map: UInt8[np.ndarray, "height width"], count: int
) -> dict[str, Bool[np.ndarray, " vertex"]]:
    """Masks over all of the model's vertices, of which the skin's come first."""
    label = np.zeros(len(skin.vertices), int)
    texel = np.clip((skin.uv[skin.uv_triangles] * SIZE).astype(int), 0, SIZE - 1)
    label[skin.triangles] = region_map[texel[..., 1], texel[..., 0]]
    found = {name: label == index for index, name in enumerate(NAMES) if index}
    found["lips"] = (skin.lips > 0.5) & ~skin.inner_mouth
    found["lip_upper"], found["lip_lower"] = (found["lips"] & (side * skin.upper > 0) for side in (1, -1))
    found["brows"] = found["brow_left"] | found["brow_right"]
    found["skin"] = ~skin.inner_mouth & ~skin.eye_socket
    found["face"] = (found["face"] | found["lips"] | found["brows"] | found["nostrils"]) & found["skin"]
    x, y, z = (skin.vertices - skin.eyes).T
    mouth = float(skin.mouth[1] - skin.eyes[1])
    half_nose = np.interp(y, (-0.05, -0.032, 0.0), (0.020, 0.019, 0.009))
    found["nose"] = found["face"] & (np.abs(x) < half_nose) & (y < 0.003) & (y > 0.72 * mouth) & (z > 0.012)
    eye_away = np.hypot((np.abs(x) - 0.0315) / 0.020, (y - 0.001) / 0.013)
    found["eyelids"] = found["skin"] & (eye_away < 1) & (z > -0.02)
    plain = found["face"] & ~found["lips"] & ~found["brows"] & ~found["nose"] & ~found["eyelids"]
    found["forehead"] = plain & (y > 0.012)
    found["chin"] = plain & (y < mouth - 0.012) & (np.abs(x) < 0.025)
    found["cheeks"] = plain & ~found["forehead"] & ~found["chin"] & (np.abs(x) > 0.02)
    return {name: np.concatenate([mask, np.zeros(count - len(mask), bool)]) for name, mask in found.items()}


def paint(region_map: UInt8[np.ndarray, "height width"], skin_corners: int, uv: np.ndarray, uv_triangles: np.ndarray):
    """Arguments of `render_mesh` that show the head in plain colours: one texture, the skin's on the left half."""
    colours = np.array([PLAIN.get(name, SKIN) for name in NAMES], dtype=np.float32)
    other = np.full((SIZE, SIZE, 3), 0.6, np.float32)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    radius = np.hypot(columns, rows)
    other[radius < IRIS] = (0.12, 0.08, 0.05)
    other[radius < 0.4 * IRIS] = 0.01
    sheet = torch.as_tensor(np.concatenate([colours[region_map], other], 1))[None]
    own = np.arange(len(uv))[:, None] < skin_corners
    placed = uv * (0.5, 1.0) + np.where(own, (0.0, 0.0), (0.5, 0.0))
    return {
        "texture": sheet,
        "uv": torch.as_tensor(placed, dtype=torch.float32),
        "uv_triangles": torch.as_tensor(uv_triangles),
    }


def _texels(skin: Skin) -> tuple[Int[np.ndarray, "height width"], Float[np.ndarray, "height width 3"]]:
    """The triangle that covers each texel's centre, and the centre's barycentric coordinates in it."""
    image = Image.new("I", (SIZE, SIZE))
    draw = ImageDraw.Draw(image)
    places = skin.uv[skin.uv_triangles] * SIZE - 0.5
    for index, place in enumerate(places):
        draw.polygon([tuple(point) for point in place], fill=index)
    triangle = np.array(image)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    a, b, c = (places[triangle][..., k, :] for k in range(3))

    def doubled(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        return (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0])

    here = np.stack([columns, rows], -1).astype(float)
    parts = np.stack([doubled(here, b, c), doubled(a, here, c), doubled(a, b, here)], -1)
    return triangle, parts / doubled(a, b, c)[..., None]


def _polygon(points: np.ndarray) -> Bool[np.ndarray, "height width"]:
    image = Image.new("1", (SIZE, SIZE))
    ImageDraw.Draw(image).polygon([tuple(point) for point in points], fill=1)
    return np.array(image)


def _rounded(polygon: np.ndarray) -> np.ndarray:
    """A closed polygon with its corners cut three times (Chaikin 1974)."""
    for _ in range(3):
        following = np.roll(polygon, -1, 0)
        polygon = np.stack([0.75 * polygon + 0.25 * following, 0.25 * polygon + 0.75 * following], 1).reshape(-1, 2)
    return polygon


def _free_sight(skin: Skin) -> Float[np.ndarray, " vertex"]:
    """The share of directions outwards in which vertices of the nose's underside see no nose; 1 for all others."""
    x, y, z = (skin.vertices - skin.eyes).T
    mouth = skin.mouth[1] - skin.eyes[1]
    near = (np.abs(x) < 0.02) & (y < 0.4 * mouth) & (y > 0.9 * mouth) & (z > 0.0) & ~skin.inner_mouth
    faces = skin.triangles[near[skin.triangles].all(1)]
    a, b, c = (skin.vertices[faces[:, k]] for k in range(3))
    normals = np.zeros_like(skin.vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], np.cross(b - a, c - a))
    turn = np.arange(NOSTRIL_RAYS) * np.pi * (3 - np.sqrt(5))
    height = 1 - 2 * (np.arange(NOSTRIL_RAYS) + 0.5) / NOSTRIL_RAYS
    directions = np.stack([np.sqrt(1 - height**2) * np.cos(turn), height, np.sqrt(1 - height**2) * np.sin(turn)], 1)
    share = np.ones(len(skin.vertices))
    for vertex in np.flatnonzero(near):
        outwards = directions[directions @ normals[vertex] > 0]
        if len(outwards):
            origin = skin.vertices[vertex] + 1e-4 * normals[vertex] / np.linalg.norm(normals[vertex])
            share[vertex] = 1 - _hits(origin, outwards, a, b, c).mean()
    return share


def _hits(origin: np.ndarray, directions: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Which rays meet a triangle (Möller and Trumbore 1997)."""
    one, other = b - a, c - a
    across = np.cross(directions[:, None], other[None])
    determinant = (across * one).sum(-1)
    determinant = np.where(np.abs(determinant) < 1e-18, 1e-18, determinant)
    away = origin - a
    u = (across * away).sum(-1) / determinant
    turned = np.cross(away, one)
    v = (directions @ turned.T) / determinant
    distance = (turned * other).sum(-1) / determinant
    return ((u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 1e-5)).any(1)
