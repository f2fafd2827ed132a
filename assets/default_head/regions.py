"""Regions of the face: drawn over the skin's texture from landmark contours, and read off for each vertex."""

import numpy as np
import torch
from PIL import Image, ImageDraw

from assets.default_head.geometry import Part
from assets.default_head.makehuman import BaseMesh
from morphable import LandmarkEmbedding

SIZE = 1024
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
BROWS = {
    "brow_right": (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    "brow_left": (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
}
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
NAMES = ("outside", "skin", "face", "brow_right", "brow_left", "lip_upper", "lip_lower", "inner_mouth", "eye_socket")
PLAIN = {
    "brow_right": (0.03, 0.02, 0.015),
    "brow_left": (0.03, 0.02, 0.015),
    "lip_upper": (0.30, 0.09, 0.08),
    "lip_lower": (0.30, 0.09, 0.08),
    "inner_mouth": (0.10, 0.02, 0.02),
    "eye_socket": (0.30, 0.10, 0.08),
}
SKIN = (0.45, 0.26, 0.19)


def draw_region_map(
    landmarks: LandmarkEmbedding, triangles, uv, uv_triangles, base: BaseMesh, parts: dict[str, Part], ranges
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(SIZE, SIZE) uint8 indices into NAMES over the texture of the part `head`."""
    image = Image.new("L", (SIZE, SIZE), NAMES.index("outside"))
    draw = ImageDraw.Draw(image)
    skin = uv[uv_triangles[slice(*ranges["head"][1])]] * SIZE
    labels = _triangle_labels(skin / SIZE)
    for corners, label in zip(skin, labels, strict=True):
        draw.polygon([tuple(corner) for corner in corners], fill=NAMES.index(label))
    points = (uv[uv_triangles[landmarks.triangles]] * landmarks.barycentric.numpy()[:, :, None]).sum(1) * SIZE
    face = Image.new("1", (SIZE, SIZE))
    ImageDraw.Draw(face).polygon([tuple(points[i]) for i in FACE_OVAL], fill=1)
    pixels = np.array(image)
    pixels[np.array(face) & (pixels == NAMES.index("skin"))] = NAMES.index("face")
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for name, contour in BROWS.items():
        draw.polygon([tuple(points[i]) for i in contour], fill=NAMES.index(name))
    half = len(LIPS_OUTER) // 2
    lower = [*LIPS_OUTER[: half + 1], *reversed(LIPS_INNER[: half + 1])]
    upper = [*LIPS_OUTER[half:], LIPS_OUTER[0], LIPS_INNER[0], *reversed(LIPS_INNER[half:])]
    for name, contour in (("lip_lower", lower), ("lip_upper", upper)):
        draw.polygon([tuple(points[i]) for i in contour], fill=NAMES.index(name))
    return np.array(image), NAMES


def _triangle_labels(corners: np.ndarray) -> list[str]:
    """By their place in the sheet: eye sockets in the upper corners, the mouth cavity between the lobes, skin below."""
    centre = corners.mean(1)
    labels = []
    for u, v in centre:
        if v < 0.155 and (u < 0.135 or u > 0.835):
            labels.append("eye_socket" if u < 0.16 or u > 0.83 else "skin")
        elif v < 0.125 and 0.44 < u < 0.56:
            labels.append("inner_mouth")
        else:
            labels.append("skin")
    return labels


def paint(region_map: np.ndarray, names, ranges, uv, uv_triangles) -> dict[str, torch.Tensor]:
    """Arguments of `render_mesh` that show the head in plain colours: one texture, the skin's on the left half."""
    colours = np.array([PLAIN.get(name, SKIN) for name in names], dtype=np.float32)
    skin = colours[region_map]
    other = np.full_like(skin, 0.6)
    yy, xx = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    radius = np.hypot(xx, yy)
    other[radius < 0.225] = (0.12, 0.08, 0.05)
    other[radius < 0.09] = 0.01
    sheet = torch.as_tensor(np.concatenate([skin, other], 1))[None]
    own = np.zeros(len(uv), bool)
    own[np.unique(uv_triangles[slice(*ranges["head"][1])])] = True
    placed = uv * (0.5, 1.0) + np.where(own[:, None], (0.0, 0.0), (0.5, 0.0))
    return {
        "texture": sheet,
        "uv": torch.as_tensor(placed, dtype=torch.float32),
        "uv_triangles": torch.as_tensor(uv_triangles),
    }


def vertex_regions(region_map, names, ranges, triangles, uv, uv_triangles, vertices) -> dict[str, np.ndarray]:
    """name → (vertex,) bool."""
    first, last = ranges["head"][1]
    texel = np.clip((uv[uv_triangles[first:last]] * SIZE).astype(int), 0, SIZE - 1)
    label = np.zeros(len(vertices), int)
    label[triangles[first:last]] = region_map[texel[..., 1], texel[..., 0]]
    regions = {name: label == index for index, name in enumerate(names) if index}
    inside = np.zeros(len(vertices), bool)
    inside[slice(*ranges["head"][0])] = True
    outer = inside & ~regions["inner_mouth"] & ~regions["eye_socket"]
    chin = vertices[regions["face"] | regions["lip_lower"], 1].min()
    regions["lips"] = regions["lip_upper"] | regions["lip_lower"]
    regions["brows"] = regions["brow_left"] | regions["brow_right"]
    regions["face"] = regions["face"] | regions["lips"] | regions["brows"]
    regions["skin"] = outer
    regions["neck"] = outer & (vertices[:, 1] < chin + 0.01) & ~regions["face"] & (vertices[:, 2] < 0.09)
    regions["ears"] = outer & (np.abs(vertices[:, 0]) > 0.068) & (vertices[:, 2] < 0.02) & (vertices[:, 1] < 0.02)
    hairline = vertices[:, 1] + 0.6 * (vertices[:, 2] - 0.09)
    regions["scalp"] = outer & ~regions["face"] & ~regions["neck"] & ~regions["ears"] & (hairline > -0.02)
    return regions
