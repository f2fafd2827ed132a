"""Heads drawn plainly: what the detector is shown of an estimate, and the picture of a fit."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avatars.painting import Paint, draw_head, to_srgb8
from morphable import MorphableModel
from renderers import Camera, DirectionalLight, EnvironmentLight, Light

BACKGROUND = 0.3
"""Linear grey."""
AMBIENT, HEADLIGHT = 2.2, 0.5
"""Radiance from everywhere, as the first spherical harmonic's coefficient, and irradiance from beside the camera."""


def plain_picture(
    camera: Camera, vertices: Float[Tensor, "vertex 3"], model: MorphableModel, painted: Paint
) -> UInt8[np.ndarray, "height width 3"]:
    """The posed head under a headlight, in the colours given, before plain grey; sRGB."""
    ambient = torch.zeros(9, 3)
    ambient[0] = AMBIENT
    from_camera = -(camera.rotation.T @ torch.tensor([-0.3, -0.4, -1.0]))
    lights: list[Light] = [EnvironmentLight(ambient), DirectionalLight(from_camera, torch.full((3,), HEADLIGHT))]
    supersample = 2 if max(camera.resolution) <= 1024 else 1
    result = draw_head(camera, vertices, model, painted, lights=lights, background=BACKGROUND, supersample=supersample)
    return to_srgb8(result.colour)[0]
