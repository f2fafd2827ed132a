"""Shoulders and chest, of which no head model tells: a sheet where the clip shows the person."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avatars.capture import Capture
from avatars.neural.driving import Cloth
from morphable.playing import NECK
from renderers import Camera, camera_rays

SPACING = 0.006
"""Metres between points of the cloth."""
ROUNDNESS = 1.2
"""How far the sheet bends back, per metre: depth over squared distance from the middle."""
CLING = 0.05
"""Metres from the neck at which cloth follows it by 1/e."""


def cloth_below(capture: Capture, learned: Int[np.ndarray, " some"]) -> Cloth:
    """A sheet at the neck's depth wherever the person is seen below the chin, bent back to the sides."""
    head, camera = capture.head, capture.camera
    neck = torch.as_tensor(head.joints[NECK])
    skull = torch.as_tensor(np.asarray(head.layout.skinning_weights)[:, NECK] < 0.5)
    chin = float(torch.as_tensor(head.neutral)[skull][:, 1].min())
    corners = _on_plane(camera, float(neck[2]))
    low, high = corners.amin(0), corners.amax(0)
    high[1] = min(float(high[1]), chin)
    margin = 8 * SPACING
    columns = max(2, int((high[0] - low[0] + 2 * margin) / SPACING))
    rows = max(2, int((high[1] - low[1] + margin) / SPACING))
    x = low[0] - margin + SPACING * torch.arange(columns)
    y = high[1] - SPACING * torch.arange(rows)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    depth = neck[2] - ROUNDNESS * (grid_x - neck[0]).square()
    vertices = torch.stack([grid_x, grid_y, depth], -1).reshape(-1, 3)
    index = torch.arange(rows * columns).view(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    quads = torch.stack([torch.stack([a, c, b], -1), torch.stack([b, c, d], -1)], -2)
    seen = _person(capture, learned, vertices).view(rows, columns) > 0.5
    kept = seen[:-1, :-1] | seen[:-1, 1:] | seen[1:, :-1] | seen[1:, 1:]
    triangles = quads[kept].reshape(-1, 3)
    rim = (vertices[:, :2] - neck[:2]).norm(dim=-1) - 0.5 * float(np.ptp(head.neutral[:, 0])) * 0.6
    below = (vertices[:, 1] - neck[1]).clamp(max=0).abs()
    clinging = torch.exp(-(rim.clamp(min=0) + below) / CLING)
    used, triangles = torch.unique(triangles, return_inverse=True)
    return Cloth(vertices[used], triangles, clinging[used])


def _on_plane(camera: Camera, z: float) -> Float[Tensor, "4 3"]:
    """Where the corners of the image are seen on the plane of that z."""
    height, width = camera.resolution
    pixels = torch.tensor([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]])
    origins, directions = camera_rays(camera, pixels)
    return origins + directions * ((z - origins[:, 2:]) / directions[:, 2:])


def _person(
    capture: Capture, learned: Int[np.ndarray, " some"], points: Float[Tensor, "point 3"]
) -> Float[Tensor, " point"]:
    """Largest opacity of the person at points of the world, over the clip; beyond the image, that at its edge."""
    most = torch.as_tensor(capture.masks[learned].max(0)).float() / 255
    return sampled(most[..., None], capture.camera.project(points))[:, 0]


def sampled(image: Float[Tensor, "height width channel"], points: Float[Tensor, "point 2"]) -> Float[Tensor, "point c"]:
    """Bilinear, held at the edges."""
    height, width = image.shape[:2]
    grid = 2 * points / torch.tensor([width, height]) - 1
    found = torch.nn.functional.grid_sample(
        image.permute(2, 0, 1)[None], grid[None, None], padding_mode="border", align_corners=False
    )
    return found[0, :, 0].T
