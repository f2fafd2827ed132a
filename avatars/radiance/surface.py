"""The surface of a still head in pictures from known cameras: signed distances whose volume rendering agrees with them
(Yariv et al., "Volume Rendering of Neural Implicit Surfaces" (VolSDF), 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int, UInt8
from scipy.spatial import cKDTree
from torch import Tensor

from renderers import (
    Camera,
    Rays,
    Samples,
    camera_rays,
    error_bounded_samples,
    growing_resolutions,
    hash_encoding,
    laplace_density,
    quadrature,
    rasterize,
)
from renderers.volume import box_span
from renderers.volume_sdf import by_weight

ROOM = 0.03
"""Metres about the start in which the surface is looked for."""
COARSE = 0.006
"""Metres between points at which distances from the start are kept."""
FINE = 0.002
"""Metres between points from which triangles are made."""
SAMPLES = 60_000
"""Points of the start's surface from which distances are taken."""
AROUND = 512
"""Pixels a side of the pictures that tell the start's inside from its outside."""
SHAPE, LOOKS = growing_resolutions(8, 64, 5), growing_resolutions(8, 128, 6)
"""Cells of the hashed grids along the box, of those that move the surface and of those that colour it."""
ENTRIES, FEATURES = 2**15, 4
"""Of their tables, and of an entry for colours."""
UNIT = 0.25
"""Cells of its level that an entry of 1 moves the surface by: fine levels move it less."""
SIGHT = 0.2
"""How much the direction of sight counts in colours."""
HIDDEN = 32
SOFTNESS = (0.002, 0.00006)
"""Scale of the density at first and at last, metres. Rays along the surface see it some scales too far out."""
STEPS, RAYS = 500, 512
PLACES, MORE, ROUNDS, SEEN = 32, 16, 4, 24
"""Of each ray: to begin with, added in a round, rounds, and those that are looked at."""
LAST = 10.0
"""Scales of the density that the last one stands for: opaque inside, next to nothing outside."""
ERROR = 0.1
"""Of opacities."""
RATES = {"moves": 0.005, "looks": 0.02, "hidden": 0.003, "hidden_bias": 0.003, "shown": 0.003, "shown_bias": 0.003}
LAST_RATE = 0.1
"""Step sizes of Adam at the start, and those at the end over them."""
MASK, EIKONAL, CALM = 0.5, 0.03, 1e-3
"""Weights of opacities, of slopes other than 1, and of leaving the start, against absolute difference in colour."""
NEAR = 0.01
"""Metres from the surface at which slopes are looked at."""
DIFFERENCE = 0.003
"""Metres over which slopes are taken."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Views:
    """Pictures of one still head.

    Attributes:
        pictures: sRGB.
        masks: opacity of the person, 255 where nothing else is seen.
        cameras: one for each, in one world, metres.
    """

    pictures: Sequence[UInt8[np.ndarray, "height width 3"]]
    masks: Sequence[UInt8[np.ndarray, "height width"]]
    cameras: Sequence[Camera]

    def __post_init__(self) -> None:
        if not len(self.pictures) == len(self.masks) == len(self.cameras) > 1:
            raise ValueError("a surface is found from two pictures or more, a mask and a camera for each")
        for picture, mask, camera in zip(self.pictures, self.masks, self.cameras, strict=True):
            if picture.shape != (*camera.resolution, 3) or mask.shape != camera.resolution:
                raise ValueError(f"a camera sees {camera.resolution} pixels, its picture has {picture.shape}")


class Mesh(NamedTuple):
    """A coloured surface; metres, encoded sRGB in [0, 1]."""

    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    colours: Float[np.ndarray, "vertex 3"]


def surface_of(
    views: Views,
    start_vertices: Float[np.ndarray, "vertex 3"],
    start_triangles: Int[np.ndarray, "triangle 3"],
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> Mesh:
    """The surface that pictures show.

    Args:
        views: what is known.
        start_vertices, start_triangles: a head not far from the one to be found, in the world of the cameras; metres,
            y up. It may be open below.
        steps: of Adam, each on RAYS rays of all pictures.
        progress: told of steps done, and of how many.

    Raises:
        ImportError: scikit-image is not installed.
    """
    _skimage()
    field = DistanceField.about(start_vertices, start_triangles)
    rays, colours, opacities = _pixels(views, field)
    random = torch.Generator().manual_seed(0)
    groups = [{"params": [getattr(field, name).requires_grad_()], "lr": rate} for name, rate in RATES.items()]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)
    for step in range(steps):
        share = step / steps
        for group, rate in zip(adam.param_groups, RATES.values(), strict=True):
            group["lr"] = rate * LAST_RATE**share
        beta = SOFTNESS[0] ** (1 - share) * SOFTNESS[1] ** share
        chosen = torch.randint(len(opacities), (RAYS,), generator=random)
        some = Rays(*(values.index_select(0, chosen) for values in rays))
        loss = _loss(field, some, colours[chosen], opacities[chosen], beta, random)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        if progress:
            progress(step + 1, steps)
    return field.mesh()


@dataclass
class DistanceField:
    """Signed distances about a start, metres, and colours.

    Attributes:
        low: least corner of the box that is described.
        shape: points along its axes at which `start` is kept.
        start: signed distances from the start.
        moves: tables of what is added to those, in UNIT.
        looks: tables of features that tell colours.
        hidden, hidden_bias, shown, shown_bias: features and the direction of sight → colour.
    """

    low: Float[Tensor, 3]
    shape: tuple[int, int, int]
    start: Float[Tensor, "1 1 x y z"]
    moves: Float[Tensor, "level entry 1"]
    looks: Float[Tensor, "level entry feature"]
    hidden: Float[Tensor, "wide feature"]
    hidden_bias: Float[Tensor, " wide"]
    shown: Float[Tensor, "3 wide"]
    shown_bias: Float[Tensor, " 3"]

    @classmethod
    def about(cls, vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]) -> DistanceField:
        """Of a start, from which nothing differs yet."""
        random = torch.Generator().manual_seed(0)
        low, start = start_distances(vertices, triangles)
        wide = len(LOOKS) * FEATURES + 3
        return cls(
            low=torch.as_tensor(low).float(),
            shape=start.shape,
            start=torch.as_tensor(start).float()[None, None],
            moves=torch.zeros(len(SHAPE), ENTRIES, 1),
            looks=1e-2 * (2 * torch.rand(len(LOOKS), ENTRIES, FEATURES, generator=random) - 1),
            hidden=torch.randn(HIDDEN, wide, generator=random) * (2 / wide) ** 0.5,
            hidden_bias=torch.zeros(HIDDEN),
            shown=torch.randn(3, HIDDEN, generator=random) * (2 / HIDDEN) ** 0.5,
            shown_bias=torch.zeros(3),
        )

    @property
    def extent(self) -> Float[Tensor, 3]:
        """Of the box, metres."""
        return COARSE * (torch.tensor(self.shape) - 1)

    def distances(self, points: Float[Tensor, "point 3"]) -> Float[Tensor, " point"]:
        """Signed distances, metres."""
        # grid_sample's axes run the other way: x is along the last one.
        grid = (2 * (points - self.low) / self.extent - 1).flip(-1)[None, None, None]
        start = torch.nn.functional.grid_sample(self.start, grid, align_corners=True, padding_mode="border").flatten()
        units = UNIT * self.extent.max() / torch.tensor(SHAPE)
        return start + hash_encoding(self._inside(points), self.moves, SHAPE) @ units

    def colours(
        self, points: Float[Tensor, "point 3"], directions: Float[Tensor, "point 3"]
    ) -> Float[Tensor, "point 3"]:
        """Encoded sRGB along directions of sight."""
        seen = torch.cat([hash_encoding(self._inside(points), self.looks, LOOKS), SIGHT * directions], 1)
        inner = torch.nn.functional.linear(seen, self.hidden, self.hidden_bias).relu()
        return torch.nn.functional.linear(inner, self.shown, self.shown_bias).sigmoid()

    def _inside(self, points: Float[Tensor, "point 3"]) -> Float[Tensor, "point 3"]:
        """Places in the cube of the hashed grids."""
        return (points - self.low) / self.extent.max()

    @torch.no_grad()
    def mesh(self) -> Mesh:
        """Marching cubes (Lewiner et al. 2003) on the distances; the largest piece, seen along its normals."""
        shape = (self.extent / FINE).long().tolist()
        axes = [torch.arange(count) * FINE + float(low) for count, low in zip(shape, self.low, strict=True)]
        planes = [self.distances(torch.cartesian_prod(x[None], *axes[1:])).view(shape[1:]) for x in axes[0]]
        vertices, triangles, _, _ = _skimage().measure.marching_cubes(
            torch.stack(planes).numpy(), 0.0, spacing=(FINE,) * 3
        )
        whole = trimesh.Trimesh(vertices + self.low.numpy(), triangles, process=False)
        largest = max(whole.split(only_watertight=False), key=lambda piece: len(piece.vertices))
        points = torch.as_tensor(largest.vertices).float()
        sight = -torch.as_tensor(np.array(largest.vertex_normals)).float()
        colours = self.colours(points, sight)
        return Mesh(np.array(largest.vertices), np.array(largest.faces), colours.numpy())


def start_distances(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]
) -> tuple[Float[np.ndarray, 3], Float[np.ndarray, "x y z"]]:
    """Least corner of a box about a mesh, and signed distances at points COARSE apart, metres.

    Inside is what is behind the mesh from all sides but below, where heads are open.
    """
    low = vertices.min(0) - ROOM
    shape = np.ceil((vertices.max(0) + ROOM - low) / COARSE).astype(int) + 1
    grid = np.stack(np.meshgrid(*(np.arange(count) for count in shape), indexing="ij"), -1)
    points = (low + COARSE * grid).reshape(-1, 3)
    places, mesh = torch.as_tensor(points).float(), torch.as_tensor(vertices).float()
    inside, shown = torch.ones(len(places), dtype=torch.bool), torch.zeros(len(triangles), dtype=torch.bool)
    centre = torch.as_tensor((vertices.max(0) + vertices.min(0)) / 2).float()
    reach = float((mesh - centre).norm(dim=-1).max()) + 2 * ROOM
    for direction in product((-1, 0, 1), (0, 1), (-1, 0, 1)):
        if any(direction):
            towards = torch.nn.functional.normalize(torch.tensor(direction).float(), dim=0)
            up = (0.0, 0.0, 1.0) if direction == (0, 1, 0) else (0.0, 1.0, 0.0)
            camera = Camera.looking_at(centre + 8 * reach * towards, centre, up, 0.25, (AROUND, AROUND))
            seen = rasterize(camera.clip(mesh[None]), torch.as_tensor(triangles.astype(np.int32)), camera.resolution)
            front = torch.where(seen.triangle[0] >= 0, seen.depth[0], torch.inf)
            column, row = camera.project(places).long().clamp(0, AROUND - 1).unbind(-1)
            inside &= camera.view(places)[:, 2] > front[row, column]
            shown[seen.triangle[seen.triangle >= 0].long()] = True
    outer = trimesh.Trimesh(vertices, triangles[shown.numpy()], process=False)
    away = cKDTree(trimesh.sample.sample_surface(outer, SAMPLES, seed=0)[0]).query(points)[0]
    return low, np.where(inside.numpy(), -away, away).reshape(shape)


def _pixels(views: Views, field: DistanceField) -> tuple[Rays, Float[Tensor, "ray 3"], Float[Tensor, " ray"]]:
    """Rays of all pixels that may see the box, their colours (encoded sRGB) and the person's opacities."""
    origins, directions, colours, opacities = [], [], [], []
    for picture, mask, camera in zip(views.pictures, views.masks, views.cameras, strict=True):
        height, width = camera.resolution
        index = torch.arange(height * width)
        rays = camera_rays(camera, torch.stack([index % width, index // width], -1) + 0.5)
        near, far = box_span(rays, field.low, field.low + field.extent)
        seen = (far > near).nonzero()[:, 0]
        origins.append(rays.origins[seen])
        directions.append(rays.directions[seen])
        colours.append(torch.as_tensor(picture).view(-1, 3)[seen].float() / 255)
        opacities.append(torch.as_tensor(mask).flatten()[seen].float() / 255)
    return Rays(torch.cat(origins), torch.cat(directions)), torch.cat(colours), torch.cat(opacities)


def _loss(
    field: DistanceField,
    rays: Rays,
    colours: Float[Tensor, "ray 3"],
    opacities: Float[Tensor, " ray"],
    beta: float,
    random: torch.Generator,
) -> Float[Tensor, ""]:
    samples = _sampled(field, rays, beta, random)
    points = rays.at(samples.ray, samples.distance)
    distance = field.distances(points)
    painted = field.colours(points, rays.directions.index_select(0, samples.ray))
    seen = quadrature(samples, laplace_density(distance, beta), painted, len(opacities))
    unlike = (seen.features - opacities[:, None] * colours).abs().mean()
    loss = unlike + MASK * (seen.opacity - opacities).square().mean()
    near = points[distance.detach().abs() < NEAR]
    near = near[torch.randint(len(near), (min(len(near), RAYS),), generator=random)]
    slopes = torch.stack([field.distances(near + step) for step in DIFFERENCE * torch.eye(3)], -1)
    slopes = (slopes - field.distances(near)[:, None]) / DIFFERENCE
    return loss + EIKONAL * (slopes.norm(dim=-1) - 1).square().mean() + CALM * field.moves.square().mean()


@torch.no_grad()
def _sampled(field: DistanceField, rays: Rays, beta: float, random: torch.Generator) -> Samples:
    """Where rays are looked at: as their opacity grows (VolSDF's section 3.4)."""
    near, far = box_span(rays, field.low, field.low + field.extent)
    share = torch.linspace(0, 1, PLACES)
    places = near[:, None] + (far - near)[:, None] * share

    def distances(places: Float[Tensor, "ray sample"]) -> Float[Tensor, "ray sample"]:
        ray = torch.arange(len(places)).repeat_interleave(places.shape[1])
        return field.distances(rays.at(ray, places.flatten())).view_as(places)

    places, distance, softest = error_bounded_samples(places, distances, beta, error=ERROR, rounds=ROUNDS, more=MORE)
    depth = laplace_density(distance, softest)[:, :-1] * places.diff(dim=-1)
    weights = torch.exp(-(depth.cumsum(-1) - depth)) * -torch.expm1(-depth)
    chosen = by_weight(places, weights, SEEN, random)
    ends = torch.cat([chosen, chosen[:, -1:] + LAST * beta], 1)
    ray = torch.arange(len(chosen)).repeat_interleave(SEEN)
    return Samples(ray, chosen.flatten(), ends.diff(dim=-1).flatten())


def _skimage() -> ModuleType:
    try:
        import skimage
    except ModuleNotFoundError as error:
        raise ImportError("a surface needs the package scikit-image: pip install 'face3d[views]'") from error
    module: ModuleType = skimage
    return module
