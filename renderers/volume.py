"""Volume rendering along rays: where they are sampled, and what they see (Max, "Optical Models for Direct Volume
Rendering", 1995; Mildenhall et al., "NeRF", 2020).

Samples of all rays lie in one row after the other, so that rays on which little is to be seen cost little.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .camera import Camera


class Rays(NamedTuple):
    """Half lines in the world, metres.

    Attributes:
        origins: where they start.
        directions: of length 1.
    """

    origins: Float[Tensor, "ray 3"]
    directions: Float[Tensor, "ray 3"]

    def at(self, ray: Int[Tensor, " sample"], distance: Float[Tensor, " sample"]) -> Float[Tensor, "sample 3"]:
        """Points that far along some of them."""
        return self.origins.index_select(0, ray) + distance[:, None] * self.directions.index_select(0, ray)


class Samples(NamedTuple):
    """Points on rays, by ray, then by distance.

    Attributes:
        ray: which one.
        distance: from the ray's origin, metres.
        length: of the piece of the ray that the sample stands for, metres.
    """

    ray: Int[Tensor, " sample"]
    distance: Float[Tensor, " sample"]
    length: Float[Tensor, " sample"]


class Seen(NamedTuple):
    """What rays see, nothing behind it.

    Attributes:
        features: colours, or what else was given, times opacity; what is behind adds (1 - opacity) of its own.
        opacity: from 0 to 1.
        depth: distance along the ray in metres, times opacity.
    """

    features: Float[Tensor, "ray feature"]
    opacity: Float[Tensor, " ray"]
    depth: Float[Tensor, " ray"]


@dataclass(frozen=True)
class OccupancyGrid:
    """Which cells of a box are not empty.

    Attributes:
        low: the box's least corner, metres.
        cell: side of its cells, metres.
        occupied: of the cells along x, y, z.
    """

    low: Float[Tensor, "3"]
    cell: float
    occupied: Bool[Tensor, "x y z"]

    def at(self, points: Float[Tensor, "point 3"]) -> Bool[Tensor, " point"]:
        """Whether points are in an occupied cell."""
        cells, inside = self.cells(points)
        return inside & self.occupied.flatten().index_select(0, cells)

    def cells(self, points: Float[Tensor, "point 3"]) -> tuple[Int[Tensor, " point"], Bool[Tensor, " point"]]:
        """Indices of the cells that points are in, and whether they are in the box; those beyond get cell 0."""
        x, y, z = ((points - self.low) / self.cell).floor().long().unbind(-1)
        depth, height, width = self.occupied.shape
        inside = (x >= 0) & (x < depth) & (y >= 0) & (y < height) & (z >= 0) & (z < width)
        return torch.where(inside, (x * height + y) * width + z, 0), inside

    def middles(self, cells: Int[Tensor, " cell"]) -> Float[Tensor, "cell 3"]:
        """Of cells given by their indices."""
        place = torch.stack(torch.unravel_index(cells, self.occupied.shape), -1)
        return self.low + self.cell * (place + 0.5)

    def span(self, rays: Rays) -> tuple[Float[Tensor, " ray"], Float[Tensor, " ray"]]:
        """Distances between which rays are in the box; no distance apart if they miss it."""
        high = self.low + self.cell * self.low.new_tensor(self.occupied.shape)
        return box_span(rays, self.low, high)


def camera_rays(camera: Camera, pixels: Float[Tensor, "ray 2"]) -> Rays:
    """The rays through points of a camera's image, x and y in pixels; a pixel's centre is at (i + 0.5, j + 0.5)."""
    plane = (pixels - camera.principal) / camera.focal
    directions = torch.nn.functional.pad(plane, (0, 1), value=1.0) @ camera.rotation
    return Rays(camera.position.expand(len(pixels), 3), torch.nn.functional.normalize(directions, dim=-1))


def box_span(
    rays: Rays, low: Float[Tensor, "3"], high: Float[Tensor, "3"]
) -> tuple[Float[Tensor, " ray"], Float[Tensor, " ray"]]:
    """Distances between which rays are in a box; no distance apart if they miss it."""
    slope = torch.where(rays.directions.abs() < 1e-9, 1e-9, rays.directions)
    ends = torch.stack([(low - rays.origins) / slope, (high - rays.origins) / slope])
    near = ends.amin(0).amax(-1).clamp(min=0)
    return near, torch.maximum(near, ends.amax(0).amin(-1))


def stratified(
    near: Float[Tensor, " ray"],
    far: Float[Tensor, " ray"],
    step: float,
    random: torch.Generator | None = None,
) -> Samples:
    """One sample in each of the pieces, about as long as `step`, into which [near, far] is cut evenly (Mildenhall et
    al. 2020, equation 2).

    Args:
        near, far: metres; a ray with far ≤ near gets no sample.
        step: metres.
        random: for places within the pieces; without it their middles.
    """
    counts = ((far - near) / step).ceil().clamp(min=0).long()
    ray = torch.repeat_interleave(torch.arange(len(near), device=near.device), counts)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(ray), device=near.device) - first.index_select(0, ray)
    length = ((far - near) / counts.clamp(min=1)).index_select(0, ray)
    within = 0.5 if random is None else torch.rand(len(ray), generator=random, dtype=near.dtype, device=near.device)
    return Samples(ray, near.index_select(0, ray) + (place + within) * length, length)


def march(rays: Rays, grid: OccupancyGrid, step: float, random: torch.Generator | None = None) -> Samples:
    """The samples of `stratified` that are in occupied cells: if others have no density, what is seen is the same."""
    samples = stratified(*grid.span(rays), step, random)
    return kept(samples, grid.at(rays.at(samples.ray, samples.distance)))


def kept(samples: Samples, which: Bool[Tensor, " sample"]) -> Samples:
    """Some of the samples."""
    index = which.nonzero()[:, 0]
    return Samples(*(values.index_select(0, index) for values in samples))


def quadrature(
    samples: Samples, density: Float[Tensor, " sample"], features: Float[Tensor, "sample feature"], rays: int
) -> Seen:
    """What rays see (Mildenhall et al. 2020, equation 3), with gradients to density, features, distances and lengths.

    Args:
        density: per metre, at the samples and along the pieces that they stand for.
        features: of any kind, colours for one.
        rays: how many there are.
    """
    weights = sample_weights(samples, density)
    told = torch.cat([features, torch.ones_like(weights)[:, None], samples.distance[:, None]], 1) * weights[:, None]
    seen = torch.zeros(rays, told.shape[1], dtype=told.dtype, device=told.device).index_add(0, samples.ray, told)
    return Seen(seen[:, :-2], seen[:, -2], seen[:, -1])


def sample_weights(samples: Samples, density: Float[Tensor, " sample"]) -> Float[Tensor, " sample"]:
    """Share of what a ray sees that is seen at each sample: its opacity times the transmittance up to it."""
    thickness = density * samples.length
    # Sums run over all rays and are taken off again: in double precision nothing is lost by that.
    before = thickness.double().cumsum(0) - thickness
    first = torch.searchsorted(samples.ray, samples.ray)
    transmittance = torch.exp(before.index_select(0, first) - before).to(density.dtype)
    return transmittance * -torch.expm1(-thickness)
