"""The silhouette term: where the face's outline lies in front of something else, the photo shows an edge."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from torch import Tensor

REACH = 0.05
"""How far from the outline an edge is looked for, relative to the distance between the outer eye corners."""
STEPS = 21
SIGMA = 0.02
"""Expected distance of the outline from its edge, on the same scale."""
BLUR = 0.008
"""Standard deviation of the blur under which edges are seen, on the same scale."""
FARTHEST_BLUR = 4.0
"""Standard deviations that the blur reaches."""
CLEAR_EDGE = 1.5
"""An edge counts if it is this much stronger than the average along its line of search."""


def outline_vertices(
    facing: Float[Tensor, " vertex"], edges: Int[Tensor, "edge 2"], allowed: Float[Tensor, " vertex"]
) -> Int[Tensor, " outline"]:
    """Vertices on the occluding contour: ends of edges across which the surface turns away from the camera."""
    ends = facing[edges]
    crossing = (ends[:, 0] > 0) != (ends[:, 1] > 0)
    nearer = torch.where(ends[:, 0].abs() <= ends[:, 1].abs(), edges[:, 0], edges[:, 1])
    chosen = torch.unique(nearer[crossing])
    return chosen[allowed[chosen]]


def nearest_edges(
    luminance: Float[np.ndarray, "height width"],
    points: Float[np.ndarray, "point 2"],
    normals: Float[np.ndarray, "point 2"],
    eye_distance: float,
) -> tuple[Float[np.ndarray, "point 2"], np.ndarray]:
    """The clearest edge along the outward normal of each outline point, and whether there is a clear one.

    Args:
        points, normals: in pixels, the centre of the first pixel at 0.5; normals have unit length.
        eye_distance: between the outer eye corners, pixels.
    """
    sigma = max(BLUR * eye_distance, 0.6)
    offsets = np.linspace(-REACH, REACH, STEPS) * eye_distance
    where = points[:, None] + offsets[None, :, None] * normals[:, None] - 0.5
    margin, size = int(FARTHEST_BLUR * sigma) + 2, np.array(luminance.shape[::-1])
    x0, y0 = np.clip(np.floor(where.min((0, 1))).astype(int) - margin, 0, size - 1)
    x1, y1 = np.clip(np.ceil(where.max((0, 1))).astype(int) + margin, (x0 + 1, y0 + 1), size)
    blurred = ndimage.gaussian_filter(luminance[y0:y1, x0:x1], sigma, truncate=FARTHEST_BLUR)
    profile = ndimage.map_coordinates(blurred, [where[..., 1] - y0, where[..., 0] - x0], order=1, mode="nearest")
    strength = np.abs(np.gradient(profile, axis=1))
    near = np.exp(-0.5 * (offsets / (0.6 * REACH * eye_distance)) ** 2)
    best = (strength * near).argmax(1)
    rows = np.arange(len(points))
    clear = (strength[rows, best] > CLEAR_EDGE * strength.mean(1)) & (best > 0) & (best < STEPS - 1)
    height, width = luminance.shape
    inside = ((where > 0) & (where < [width - 1, height - 1])).all((1, 2))
    return points + offsets[best][:, None] * normals, clear & inside
