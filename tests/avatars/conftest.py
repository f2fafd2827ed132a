"""A small made-up head with every part that a model may have, so that most tests here need no asset; and a drawn clip
of the default head, from which avatars are learned."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

import morphable
from avatars.capture import Capture, still_background
from avatars.mesh_performer import MeshPerformer
from avatars.painting import studio_lights
from morphable import ARKIT_NAMES, Head, Performance, Texture, catalogue
from morphable.editing import sampled
from renderers import Camera

CLIP_SIZE = 72


@dataclass
class Part:
    vertices: slice
    triangles: slice


@dataclass
class SphereModel:
    """Ellipsoids in place of the parts of a head, each with a seam down its back."""

    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    skinning_weights: np.ndarray
    neutral: np.ndarray
    parts: dict[str, Part] = field(default_factory=dict)


ELLIPSOIDS = {  # centre, radii (metres), joint
    "head": ((0, 0, 0), (0.075, 0.11, 0.095), 1),
    "eye_left": ((0.032, 0.03, 0.078), (0.012, 0.012, 0.012), 2),
    "eye_right": ((-0.032, 0.03, 0.078), (0.012, 0.012, 0.012), 3),
    "teeth_upper": ((0, -0.04, 0.06), (0.02, 0.005, 0.02), 1),
    "teeth_lower": ((0, -0.055, 0.06), (0.02, 0.005, 0.02), 1),
    "tongue": ((0, -0.05, 0.05), (0.01, 0.004, 0.02), 1),
    "lashes": ((0, 0.04, 0.09), (0.04, 0.001, 0.01), 1),
}


def _sphere(rings: int, sides: int):
    """A grid wrapped into a sphere: vertices, triangles, uv, uv_triangles; u runs once around, from the back."""
    v, u = np.mgrid[1 : rings + 1, 0:sides]
    polar, azimuth = v * np.pi / (rings + 1), u * 2 * np.pi / sides
    vertices = np.stack(
        [-np.sin(polar) * np.sin(azimuth), np.cos(polar), -np.sin(polar) * np.cos(azimuth)], axis=-1
    ).reshape(-1, 3)
    uv = np.stack(np.meshgrid(np.arange(sides + 1) / sides, np.arange(1, rings + 1) / (rings + 1)), axis=-1)

    def cells(columns: int, wrap: int) -> np.ndarray:
        row, column = np.mgrid[0 : rings - 1, 0:sides]
        here, right = row * columns + column, row * columns + (column + 1) % wrap
        quads = np.stack([here, here + columns, right + columns, here, right + columns, right], axis=-1)
        return quads.reshape(-1, 3)

    return vertices, cells(sides, sides), uv.reshape(-1, 2), cells(sides + 1, sides + 1)


def _sphere_model() -> SphereModel:
    pieces, offset, uv_offset, triangle_offset, parts = [], 0, 0, 0, {}
    for name, (centre, radii, joint) in ELLIPSOIDS.items():
        vertices, triangles, uv, uv_triangles = _sphere(*((30, 40) if name == "head" else (8, 12)))
        weights = np.zeros((len(vertices), 4))
        weights[:, joint] = 1
        if name == "head":
            weights[:, 0] = np.clip(-vertices[:, 1], 0, 1)
            weights[:, 1] -= weights[:, 0]
        pieces.append((vertices * radii + centre, triangles + offset, uv, uv_triangles + uv_offset, weights))
        parts[name] = Part(
            slice(offset, offset + len(vertices)), slice(triangle_offset, triangle_offset + len(triangles))
        )
        offset, uv_offset, triangle_offset = (
            offset + len(vertices),
            uv_offset + len(uv),
            triangle_offset + len(triangles),
        )
    vertices, triangles, uv, uv_triangles, weights = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return SphereModel(triangles, uv.astype("f4"), uv_triangles, weights.astype("f4"), vertices.astype("f4"), parts)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> SphereModel:
    spheres = _sphere_model()
    monkeypatch.setattr(catalogue, "load", lambda name: {"spheres": spheres}[name])
    return spheres


@pytest.fixture
def head(model: SphereModel) -> Head:
    random = np.random.default_rng(0)
    neutral = model.neutral
    expressions = np.zeros((52, len(neutral), 3), dtype=np.float32)
    for name, offsets in zip(ARKIT_NAMES, expressions, strict=True):
        centre, push = random.normal(size=3) * 0.08, random.normal(size=3) * 0.01
        near = np.linalg.norm(neutral - centre, axis=1) < 0.05
        near[model.parts["teeth_upper"].vertices] = False
        offsets[near] = (push * random.random((near.sum(), 1))).astype("f4")
        if name == "tongueOut":
            offsets[:] = 0

    def noise(channels: int) -> Texture:
        return Texture.encode(random.integers(0, 256, (64, 64, channels), dtype=np.uint8))

    return Head(
        model="spheres",
        identity=random.normal(size=20).astype("f4"),
        neutral=neutral,
        expressions=expressions,
        joints=np.array([(0, -0.1, 0), (0, -0.05, 0), (0.032, 0.03, 0.078), (-0.032, 0.03, 0.078)], dtype="f4"),
        textures={name: noise(4 if name == "lashes" else 3) for name in ("head", "eyes", "teeth", "tongue", "lashes")},
        provenance={"photo": "ä b.jpg", "warnings": [], "seed": None, "scale": 1 / 3, "nested": {"": ""}},
    )


@pytest.fixture(scope="session")
def person() -> Head:
    model = morphable.load()
    return Head.from_model(model, torch.zeros(model.identities), morphable.default_textures(model, resolution=128))


@pytest.fixture(scope="session")
def capture(person: Head) -> Capture:
    """Ten drawn frames: a head that turns and opens its mouth."""
    share = np.linspace(0, 1, 10)
    weights = np.zeros((10, 52))
    weights[:, ARKIT_NAMES.index("jawOpen")] = 0.6 * np.sin(3 * share) ** 2
    performance = Performance.of(share, weights, head=np.outer(np.sin(5 * share), [0.05, 0.2, 0.0]))
    camera = Camera.looking_at((0.0, 0.0, 0.75), (0, -0.02, 0), (0, 1, 0), 0.5, (CLIP_SIZE, CLIP_SIZE))
    performer = MeshPerformer(person, 256)
    drawn = np.stack(
        [performer.draw(sampled(performance, np.array([time])), camera, studio_lights()) for time in performance.times]
    )
    masks = drawn[..., 3]
    opacity = masks[..., None] / 255
    pictures = (drawn[..., :3] * opacity + 255 * (1 - opacity) + 0.5).astype(np.uint8)
    return Capture(pictures, masks, still_background(pictures, masks), camera, person, performance)
