"""Scans as files: triangle meshes of any unit and pose, with or without colours."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image

from face3d.errors import Face3DError
from renderers import srgb_to_linear

SUFFIXES = (".ply", ".obj", ".glb", ".gltf", ".stl", ".off")
VIEWS_SUFFIX = ".json"
UNITS = {"metres": 1.0, "centimetres": 1e-2, "millimetres": 1e-3, "inches": 0.0254}
UNIT_TOLERANCE = 1.3
"""Heads differ less in size than this factor, units more."""
MAX_TRIANGLES = 10_000_000


@dataclass(frozen=True)
class Paintwork:
    """The colours of some of a scan's triangles.

    Attributes:
        triangles: which of the scan's.
        colours: of their corners, sRGB in [0, 1]; None where an image has them.
        uv: their corners in the image, (0, 0) at the bottom left.
        image: sRGB.
    """

    triangles: slice
    colours: Float[np.ndarray, "triangle 3 3"] | None = None
    uv: Float[np.ndarray, "triangle 3 2"] | None = None
    image: UInt8[np.ndarray, "height width 3"] | None = None


@dataclass(frozen=True)
class Scan:
    """A mesh in its own frame and unit. Vertices at one place are one vertex, so that no seam tears the surface."""

    name: str
    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    paintwork: tuple[Paintwork, ...]

    @property
    def coloured(self) -> bool:
        return bool(self.paintwork)

    def colours_at(
        self, triangles: Int[np.ndarray, " point"], barycentric: Float[np.ndarray, "point 3"]
    ) -> Float[np.ndarray, "point 3"]:
        """Linear colours of points on the surface; NaN where there is no paint."""
        found = np.full((len(triangles), 3), np.nan)
        for paint in self.paintwork:
            here = (triangles >= paint.triangles.start) & (triangles < paint.triangles.stop)
            local, weights = triangles[here] - paint.triangles.start, barycentric[here][..., None]
            if paint.colours is not None:
                found[here] = (paint.colours[local] * weights).sum(1)
            elif paint.uv is not None and paint.image is not None:
                found[here] = _texels(paint.image, (paint.uv[local] * weights).sum(1))
        return _linear(found)

    def vertex_colours(self) -> Float[np.ndarray, "vertex 3"] | None:
        """Linear; each the colour of one of the corners there."""
        if not self.coloured:
            return None
        owner = np.zeros(len(self.vertices), int)
        owner[self.triangles.ravel()] = np.arange(self.triangles.size)
        return np.nan_to_num(self.colours_at(owner // 3, np.eye(3)[owner % 3]), nan=0.4)


def is_scan(path: str | Path) -> bool:
    """Whether a file's name says that it holds a mesh."""
    return Path(path).suffix.lower() in SUFFIXES


def is_views(path: str | Path) -> bool:
    """Whether a file's name says that it holds cameras of pictures: see `face3d.views`."""
    return Path(path).suffix.lower() == VIEWS_SUFFIX


def load_scan(path: str | Path) -> Scan:
    """Reads a mesh file.

    Raises:
        Face3DError: the file is missing, damaged, of an unknown format, or holds no surface.
    """
    path = Path(path)
    if not path.is_file():
        raise Face3DError(f"{path} is not a file.")
    if not is_scan(path):
        raise Face3DError(f"{path.name} is no scan: give a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file.")
    try:
        meshes = trimesh.load_scene(path, process=False).dump(concatenate=False)
    except Exception as error:  # readers of damaged files fail in every way there is
        raise Face3DError(f"{path.name} is damaged or not a mesh: {error}") from error
    surfaces = [mesh for mesh in meshes if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
    if not surfaces:
        raise Face3DError(f"{path.name} holds points without triangles between them; make a mesh of it first.")
    triangles = np.concatenate(list(_with_offsets(surfaces)))
    vertices = np.concatenate([mesh.vertices for mesh in surfaces])
    _check(path.name, vertices, triangles)
    places, welded = np.unique(vertices, axis=0, return_inverse=True)
    return Scan(path.name, places, welded.reshape(-1)[triangles], tuple(_paintwork(surfaces)))


def guess_unit(metres: float) -> tuple[str, float] | None:
    """The unit in which a head is as large as heads are, and how many metres it has; None if there is none.

    Args:
        metres: that one of the file's units would have, were the head of average size.
    """
    name = min(UNITS, key=lambda each: abs(math.log(metres / UNITS[each])))
    fits = abs(math.log(metres / UNITS[name])) < math.log(UNIT_TOLERANCE)
    return (name, UNITS[name]) if fits else None


def _with_offsets(meshes: list[Any]) -> Iterator[Int[np.ndarray, "triangle 3"]]:
    start = 0
    for mesh in meshes:
        yield np.asarray(mesh.faces) + start
        start += len(mesh.vertices)


def _check(name: str, vertices: np.ndarray, triangles: np.ndarray) -> None:
    if not np.isfinite(vertices).all():
        raise Face3DError(f"{name} is damaged: some of its vertices are not finite.")
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise Face3DError(f"{name} is damaged: its triangles name vertices that it does not have.")
    if not np.ptp(vertices, axis=0).max() > 0:
        raise Face3DError(f"{name} holds no surface: all of its vertices lie at one point.")
    if len(triangles) > MAX_TRIANGLES:
        raise Face3DError(f"{name} has {len(triangles):,} triangles; reduce it to {MAX_TRIANGLES:,} or fewer.")


def _paintwork(meshes: list[Any]) -> Iterator[Paintwork]:
    start = 0
    for mesh in meshes:
        span = slice(start, start + len(mesh.faces))
        start = span.stop
        visual = mesh.visual
        image = _image(visual)
        if image is not None and getattr(visual, "uv", None) is not None:
            yield Paintwork(span, uv=np.asarray(visual.uv, float)[mesh.faces], image=image)
        elif visual.kind == "vertex":
            yield Paintwork(span, colours=visual.vertex_colors[:, :3][mesh.faces] / 255)
        elif visual.kind == "face":
            yield Paintwork(span, colours=np.repeat(visual.face_colors[:, None, :3] / 255, 3, 1))


def _image(visual: Any) -> UInt8[np.ndarray, "height width 3"] | None:
    material = getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    return np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else None


def _texels(image: UInt8[np.ndarray, "height width 3"], uv: Float[np.ndarray, "point 2"]) -> np.ndarray:
    height, width = image.shape[:2]
    column = (np.nan_to_num(uv[:, 0]) % 1 * width).astype(int).clip(0, width - 1)
    row = ((1 - np.nan_to_num(uv[:, 1])) % 1 * height).astype(int).clip(0, height - 1)
    return image[row, column] / 255


def _linear(srgb: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    import torch

    return srgb_to_linear(torch.as_tensor(srgb)).numpy()
