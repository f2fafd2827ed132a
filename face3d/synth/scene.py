"""A head and what it wears before a camera: what each sample sees, and how bright it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import warp as wp
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from face3d.synth import shading
from face3d.synth.anatomy import CENTRE, SMALL, TEXELS, anatomy, from_afar
from face3d.synth.classes import INDEX
from face3d.synth.light import Lighting
from face3d.synth.pieces import Piece
from face3d.synth.skin import Complexion
from renderers import Camera, interpolate, rasterize, vertex_normals
from renderers.lighting import COSINE_LOBE

SHADOW_SIZE, SHADOW_LOCKS = 192, 4
"""Cells a side of the shadow map; of locks, one in so many casts a shadow."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What each sample of a picture sees.

    Attributes:
        radiance: linear, 0 on the background.
        covered: whether there is anything.
        depth: camera z, 0 on the background.
        normals: unit normals in the world, 0 on the background and on hair.
        classes: of CLASSES.
    """

    radiance: Float[np.ndarray, "height width 3"]
    covered: Bool[np.ndarray, "height width"]
    depth: Float[np.ndarray, "height width"]
    normals: Float[np.ndarray, "height width 3"]
    classes: UInt8[np.ndarray, "height width"]


def drawn(
    head: Float[np.ndarray, "vertex 3"],
    colours: Complexion,
    pieces: Sequence[Piece],
    lens: Piece | None,
    light: Lighting,
    camera: Camera,
    seed: int,
) -> Samples:
    """A head in its colours, with pieces about it and a lens before it. The seed is that of the shadows' grain."""
    known = anatomy()
    lists = [known.triangles] + [p.triangles for p in pieces]
    meshes = [head[known.corner_vertices]] + [p.vertices for p in pieces]
    starts = np.cumsum([0] + [len(m) for m in meshes[:-1]])
    shifted = [each.astype(np.int32) + np.int32(start) for each, start in zip(lists, starts, strict=True)]
    triangles = torch.from_numpy(np.concatenate(shifted))
    vertices = torch.from_numpy(np.concatenate(meshes, dtype=np.float32))[None]
    fragments = rasterize(camera.clip(vertices), triangles, camera.resolution)
    values = interpolate(torch.from_numpy(_attributes(head, pieces)), fragments, triangles)
    lit = _light(light, vertices, torch.from_numpy(np.concatenate(list(_casting(shifted, pieces)))), seed)
    eye = _eye(camera)
    height, width = camera.resolution
    radiance, normals = torch.empty(height, width, 3), torch.empty(height, width, 3)
    classes = torch.empty(height, width, dtype=torch.uint8)
    seen = [wp.from_torch(fragments.triangle[0]), wp.from_torch(fragments.depth[0])]
    result = [wp.from_torch(radiance, wp.vec3), wp.from_torch(normals, wp.vec3), wp.from_torch(classes)]
    surface = _surface(colours, pieces)
    inputs = [*seen, wp.from_torch(values[0]), surface, lit, eye, wp.vec3(*CENTRE.tolist()), *result]
    wp.launch(shading.shade, height, inputs, device="cpu")
    if lens is not None:
        _put_before(lens, camera, seen[1], lit, eye, result)
    depth = fragments.depth[0].numpy()
    return Samples(radiance.numpy(), depth > 0, depth, normals.numpy(), classes.numpy())


def _put_before(lens: Piece, camera: Camera, behind: Any, lit: Any, eye: Any, result: list[Any]) -> None:
    triangles = torch.from_numpy(lens.triangles.astype(np.int32))
    fragments = rasterize(camera.clip(torch.from_numpy(lens.vertices)[None]), triangles, camera.resolution)
    normals = interpolate(torch.from_numpy(lens.normals), fragments, triangles)
    seen = [wp.from_torch(fragments.triangle[0]), wp.from_torch(fragments.depth[0]), wp.from_torch(normals[0]), behind]
    glass = [wp.vec3(*lens.colour[0].tolist()), lens.gloss, lens.opacity, lens.index]
    inputs = [*seen, *glass, lit, eye, *result]
    wp.launch(shading.shade_lens, camera.resolution, inputs, device="cpu")


def _surface(colours: Complexion, pieces: Sequence[Piece]) -> Any:
    known = anatomy()
    counts = [len(known.triangles)] + [len(p.triangles) for p in pieces]
    gloss = np.repeat([0.0] + [p.gloss for p in pieces], counts).astype(np.float32)
    classes = np.concatenate([known.part_classes, np.repeat([p.index for p in pieces], counts[1:])]).astype(np.uint8)
    surface = shading.Surface()
    surface.classes, surface.gloss = _array(classes), _array(gloss)
    surface.skin, surface.head = int((known.part_classes == 0).sum()), counts[0]
    surface.sheet, surface.class_map = _array(colours.sheet), _array(colours.classes)
    surface.sheet_to_map = (TEXELS + SMALL) / TEXELS
    surface.first_fibre, surface.last_fibre = INDEX["hair"], INDEX["beard"]
    return surface


def _casting(lists: Sequence[np.ndarray], pieces: Sequence[Piece]) -> Iterator[np.ndarray]:
    """The triangles that cast shadows: of locks of hair, few."""
    yield lists[0]
    for piece, triangles in zip(pieces, lists[1:], strict=True):
        yield triangles.reshape(-1, piece.strip, 3)[::SHADOW_LOCKS].reshape(-1, 3) if piece.strip else triangles


def _light(
    light: Lighting, vertices: Float[Tensor, "1 vertex 3"], triangles: Int[Tensor, "triangle 3"], seed: int
) -> Any:
    """The light for the kernel, with the shadow map of its first lamp."""
    a0, a1, a2 = COSINE_LOBE
    lobe = torch.tensor([a0] + [a1] * 3 + [a2] * 5)[:, None] / torch.pi
    lit = shading.Light()
    lit.sky = _array((light.sky * lobe).numpy(), wp.vec3)
    lit.towards = _array(np.array([lamp.towards.numpy() for lamp in light.lamps], np.float32).reshape(-1, 3), wp.vec3)
    lit.radiance = _array(np.array([lamp.radiance.numpy() for lamp in light.lamps], np.float32).reshape(-1, 3), wp.vec3)
    lit.seed = seed
    if not light.lamps:
        lit.shadow = wp.zeros((0, 0), dtype=wp.float32, device="cpu")
        return lit
    camera = from_afar(light.lamps[0].towards.numpy(), SHADOW_SIZE)
    lit.shadow = wp.from_torch(rasterize(camera.clip(vertices), triangles, camera.resolution).depth[0])
    lit.shadow_rotation = wp.mat33(*camera.rotation.flatten().tolist())
    lit.shadow_translation = wp.vec3(*camera.translation.tolist())
    lit.shadow_focal = float(camera.focal[0])
    lit.spread = 2.0 + 3.4 * light.lamps[0].softness * SHADOW_SIZE
    return lit


def _eye(camera: Camera) -> Any:
    eye = shading.Eye()
    eye.rotation = wp.mat33(*camera.rotation.flatten().tolist())
    eye.translation = wp.vec3(*camera.translation.tolist())
    eye.place = wp.vec3(*camera.position.tolist())
    eye.focal = wp.vec2(*camera.focal.tolist())
    eye.principal = wp.vec2(*camera.principal.tolist())
    return eye


def _array(values: np.ndarray, dtype: Any = None) -> Any:
    return wp.from_torch(torch.from_numpy(np.ascontiguousarray(values)), dtype)


def _attributes(head: Float[np.ndarray, "vertex 3"], pieces: Sequence[Piece]) -> Float[np.ndarray, "any 7"]:
    """Normals, colours and openness; of the head, places on the sheet (and a zero) for colours."""
    known = anatomy()
    at = known.corner_vertices
    starts = np.cumsum([len(at)] + [len(p.vertices) for p in pieces])
    values = np.zeros((starts[-1], 7), np.float32)
    values[: starts[0], :3] = vertex_normals(torch.from_numpy(head), known.model.triangles).numpy()[at]
    values[: starts[0], 3:5], values[: starts[0], 6] = known.uv, known.occlusion[at]
    for piece, start, end in zip(pieces, starts, starts[1:], strict=False):
        values[start:end, :3], values[start:end, 3:6] = piece.normals, piece.colour
        values[start:end, 6] = 1.0 if piece.openness is None else piece.openness
    return values
