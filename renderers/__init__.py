"""Differentiable rendering of triangle meshes and 3D Gaussians on CPU and CUDA: tensors in, tensors out.

Four primitives (`rasterize`, `interpolate`, `texture`, `antialias`) from which `render_mesh` is composed, a `Camera`,
lights and colour conversions; `splat` draws Gaussians. World: metres, right-handed, y up. Camera: OpenCV axes. Images:
batch, height, width, channel, row 0 at the top, linear light.
"""

import os

# OpenMP, under torch's operations, keeps its threads spinning for milliseconds after each of them, on the cores that
# the kernels here need; on two cores that takes away the second. It reads this when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from .antialiasing import antialias
from .camera import Camera
from .colour import linear_to_srgb, srgb_to_linear
from .gaussians import Splatted, harmonic_colours, splat
from .interpolation import interpolate
from .lighting import (
    DirectionalLight,
    EnvironmentLight,
    Light,
    PointLight,
    spherical_harmonics_basis,
    spherical_harmonics_irradiance,
    spherical_harmonics_shade,
)
from .mesh import RenderResult, render_mesh, vertex_normals
from .rasterization import Fragments, rasterize
from .texturing import Pyramid, mipmaps, pyramid, texture, uv_footprint

__all__ = [
    "Camera",
    "DirectionalLight",
    "EnvironmentLight",
    "Fragments",
    "Light",
    "PointLight",
    "Pyramid",
    "RenderResult",
    "Splatted",
    "antialias",
    "harmonic_colours",
    "interpolate",
    "linear_to_srgb",
    "mipmaps",
    "pyramid",
    "rasterize",
    "render_mesh",
    "spherical_harmonics_basis",
    "spherical_harmonics_irradiance",
    "spherical_harmonics_shade",
    "splat",
    "srgb_to_linear",
    "texture",
    "uv_footprint",
    "vertex_normals",
]
