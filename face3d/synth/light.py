"""Light, and how skin, hair and things return it."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from face3d.synth.anatomy import from_afar
from renderers import rasterize, spherical_harmonics_basis, spherical_harmonics_shade

SHADOW_SIZE = 256
SHADOW_BIAS = 0.004
"""Metres by which a surface may lie behind what the lamp sees first and still be lit."""
SHADOW_TAPS = 3
SCATTERING = (0.32, 0.14, 0.09)
"""How far light of each colour wraps around skin beyond the terminator, as scattering below the surface lets it."""
HAIR_WRAP = 0.35


@dataclass(frozen=True, eq=False)
class Lamp:
    """Parallel light from a unit direction; radiance is what a white surface that faces it returns."""

    towards: Float[Tensor, "3"]
    radiance: Float[Tensor, "3"]
    softness: float


@dataclass(frozen=True, eq=False)
class Lighting:
    """The sky, and lamps of which the first casts shadows.

    Attributes:
        sky: spherical harmonics of the radiance from all around, as `renderers.EnvironmentLight` has them.
        exposure: what a face's mean luminance becomes, linear.
    """

    sky: Float[Tensor, "9 3"]
    lamps: tuple[Lamp, ...]
    exposure: float


def lighting(random: np.random.Generator, ahead: Float[np.ndarray, "3"]) -> Lighting:
    """A sky of a few soft sources, and up to two lamps, mostly on the camera's side, which is `ahead` of the head."""
    sky = torch.zeros(9, 3)
    sky[0] = torch.from_numpy(_tinted(random, 1.0))
    for _ in range(random.integers(1, 5)):
        towards = random.normal(size=3) + 0.6 * ahead + np.array([0.0, 0.5, 0.0])
        towards = torch.from_numpy(towards / np.linalg.norm(towards)).float()
        sky += spherical_harmonics_basis(towards)[:, None] * torch.from_numpy(_tinted(random, random.uniform(0.1, 1.3)))
    lamps = []
    for _ in range(random.choice(3, p=(0.3, 0.5, 0.2))):
        towards = random.normal(0, (0.8, 0.5, 0.8)) + ahead * random.uniform(0.2, 1.2) + np.array([0.0, 0.45, 0.0])
        towards = torch.from_numpy(towards / np.linalg.norm(towards)).float()
        radiance = torch.from_numpy(_tinted(random, np.exp(random.normal(-0.6, 0.8))))
        lamps.append(Lamp(towards, radiance, float(random.uniform(0.0, 0.02))))
    return Lighting(sky, tuple(lamps), float(np.exp(random.normal(np.log(0.25), 0.55))))


def shadow(
    random: np.random.Generator,
    lamp: Lamp,
    vertices: Float[Tensor, "vertex 3"],
    triangles: Float[Tensor, "triangle 3"],
    points: Float[Tensor, "point 3"],
) -> Float[Tensor, " point"]:
    """Share of the lamp's light that reaches the points, from 0 to 1: a shadow map, looked up about each point."""
    camera = from_afar(lamp.towards.numpy(), SHADOW_SIZE)
    depth = rasterize(camera.clip(vertices[None]), triangles, camera.resolution).depth[0].flatten()
    place = camera.project(points)
    limit = camera.view(points)[:, 2] - SHADOW_BIAS
    spread = (0.6 + lamp.softness * SHADOW_SIZE) * torch.from_numpy(
        random.standard_normal((SHADOW_TAPS, len(points), 2), dtype=np.float32)
    )
    cell = (place + spread).long().clamp_(0, SHADOW_SIZE - 1)
    nearest = depth[cell[..., 1] * SHADOW_SIZE + cell[..., 0]]
    return ((nearest == 0) | (nearest > limit)).float().mean(0)


def skin_radiance(
    light: Lighting,
    albedo: Float[Tensor, "point 3"],
    gloss: Float[Tensor, " point"],
    normals: Float[Tensor, "point 3"],
    openness: Float[Tensor, " point"],
    towards_eye: Float[Tensor, "point 3"],
    lit: Float[Tensor, " point"],
) -> Float[Tensor, "point 3"]:
    """Radiance of skin and things: a diffuse part that wraps, and Blinn-Phong highlights with Schlick's Fresnel term."""
    open_ = openness[:, None]
    radiance = albedo * spherical_harmonics_shade(normals, light.sky) * open_ ** (1.2 - 0.5 * albedo)
    wrap = torch.tensor(SCATTERING)
    facing = (normals * towards_eye).sum(-1)
    grazing = (1 - facing.clamp(0, 1)) ** 5
    for index, lamp in enumerate(light.lamps):
        reach = lit if index == 0 else open_[:, 0]
        cosine = normals @ lamp.towards
        diffuse = ((cosine[:, None] + wrap) / (1 + wrap)).clamp(min=0) * (0.15 + 0.85 * open_)
        half = torch.nn.functional.normalize(towards_eye + lamp.towards, dim=-1)
        angle = (normals * half).sum(-1).clamp(min=1e-4)
        highlight = gloss * (0.10 * angle**18 + 0.22 * angle**70) * (1 + 3 * grazing) * (cosine > 0)
        radiance = radiance + lamp.radiance * (albedo * diffuse + highlight[:, None]) * reach[:, None]
    mirrored = 2 * facing[:, None] * normals - towards_eye
    sheen = (gloss * (0.03 + 0.25 * grazing) * openness)[:, None]
    return radiance + sheen * spherical_harmonics_shade(mirrored, light.sky).clamp(min=0)


def fibre_radiance(
    light: Lighting,
    albedo: Float[Tensor, "point 3"],
    tangents: Float[Tensor, "point 3"],
    outwards: Float[Tensor, "point 3"],
    openness: Float[Tensor, " point"],
    towards_eye: Float[Tensor, "point 3"],
    lit: Float[Tensor, " point"],
    shine: float,
) -> Float[Tensor, "point 3"]:
    """Radiance of hair (Kajiya & Kay 1989), shaded besides by the direction in which the head's side of it looks."""
    open_ = openness[:, None]
    radiance = albedo * spherical_harmonics_shade(outwards, light.sky).clamp(min=0) * open_
    for index, lamp in enumerate(light.lamps):
        reach = lit if index == 0 else openness
        along = tangents @ lamp.towards
        side = ((outwards @ lamp.towards + HAIR_WRAP) / (1 + HAIR_WRAP)).clamp(0, 1)
        diffuse = (1 - along**2).clamp(min=0).sqrt() * side * openness
        half = torch.nn.functional.normalize(towards_eye + lamp.towards, dim=-1)
        across = (1 - (tangents * half).sum(-1) ** 2).clamp(min=1e-4).sqrt()
        glint = across**60 * side * openness
        colour = albedo * (0.35 + 2.0 * glint[:, None] * shine) + 0.06 * shine * glint[:, None]
        radiance = radiance + lamp.radiance * (albedo * diffuse[:, None] * 0.8 + colour * glint[:, None]) * reach[:, None]
    return radiance


def exposed(
    radiance: Float[Tensor, "height width 3"],
    behind: Float[Tensor, "height width 3"],
    face: Bool[Tensor, "height width"],
    exposure: float,
) -> Float[Tensor, "height width 3"]:
    """The picture so that its face's mean luminance is what the exposure says, with film's soft shoulder; what is
    behind is added as it is."""
    luminance = radiance[face].mean() if face.any() else radiance.mean()
    scaled = radiance * (exposure / luminance.clamp(min=1e-4)) + behind
    return torch.where(scaled < 0.6, scaled, 0.6 + 0.4 * (1 - torch.exp((0.6 - scaled) / 0.4)))


def _tinted(random: np.random.Generator, strength: float) -> Float[np.ndarray, "3"]:
    """Between warm and cool."""
    warmth = random.normal(0, 0.13)
    return (strength * np.array([1 + warmth, 1 + 0.2 * random.normal(0, 0.1), 1 - warmth])).clip(0).astype(np.float32)
