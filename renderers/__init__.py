"""Differentiable rendering of triangle meshes and 3D Gaussians on CPU and CUDA: tensors in, tensors out.

Four primitives (`rasterize`, `interpolate`, `texture`, `antialias`) from which `render_mesh` is composed, a `Camera`,
lights and colour conversions; `splat` draws Gaussians; `march` and `quadrature` see volumes, and `hash_encoding` tells
what is in them. World: metres, right-handed, y up. Camera: OpenCV axes. Images: batch, height, width, channel, row 0 at
the top, linear light.
"""

import os

# OpenMP, under torch's operations, keeps its threads spinning for milliseconds after each of them, on the cores that
# the kernels here need; on two cores that takes away the second. It reads this when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from .antialiasing import antialias
from .camera import Camera
from .colour import linear_to_srgb, srgb_to_linear
from .encoding import growing_resolutions, hash_encoding
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
from .volume import OccupancyGrid, Rays, Samples, Seen, camera_rays, march, quadrature, stratified
from .volume_sdf import error_bounded_samples, laplace_density

__all__ = [
    "Camera",
    "DirectionalLight",
    "EnvironmentLight",
    "Fragments",
    "Light",
    "OccupancyGrid",
    "PointLight",
    "Pyramid",
    "Rays",
    "RenderResult",
    "Samples",
    "Seen",
    "Splatted",
    "antialias",
    "camera_rays",
    "error_bounded_samples",
    "growing_resolutions",
    "harmonic_colours",
    "hash_encoding",
    "interpolate",
    "laplace_density",
    "linear_to_srgb",
    "march",
    "mipmaps",
    "pyramid",
    "quadrature",
    "rasterize",
    "render_mesh",
    "spherical_harmonics_basis",
    "spherical_harmonics_irradiance",
    "spherical_harmonics_shade",
    "splat",
    "srgb_to_linear",
    "stratified",
    "texture",
    "uv_footprint",
    "vertex_normals",
]
