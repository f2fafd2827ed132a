"""Shading as evidence: skin should be as bright and as coloured as the light makes it where it faces that way."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor

from face3d.fitting.gauss_newton import PointBasis, State, projected_with_slopes
from morphable import MorphableModel
from renderers import Camera, rasterize

SIGMA = 0.05
"""Least deviation of skin from one albedo under distant light, relative to the face's mean radiance."""
TYPICAL = 1.2
"""A photo's own deviation over its vertices' median one: stubble and shadows differ from photo to photo."""
ROBUST = 2.0
"""Sigmas beyond which a vertex begins to be taken for something else than skin: hair, shadow, a glint."""
LAMPS = 48
"""Directions from which light may come."""
LAMP_RIDGE = 1e-3
"""What energy in a lamp costs, relative to the mean of one vertex's error."""
DARKEST, BRIGHTEST = 0.01, 0.9
"""Radiance between which a pixel is exposed."""
LEAST_SEEN = 100
"""Exposed vertices of skin below which shading says nothing: in the dark, in glaring light."""
REWEIGHTINGS = 3
HIDDEN = 0.004
"""Metres behind the visible surface beyond which a vertex is hidden."""
WEIGHT = 0.3
"""Independent measurements that a vertex is worth: neighbours share what their albedo and light have of their own."""


@dataclass(frozen=True)
class Radiance:
    """A square of a photo in linear light, blurred to what vertices can resolve."""

    image: Float[Tensor, "size size 3"]
    corner: Float[Tensor, "2"]
    """Of the square, in the photo's pixels."""
    scale: float
    """Pixels of the image to one of the photo."""


@dataclass(frozen=True)
class ShadingTerm:
    """A photo's radiance at vertices of skin against what lamps all around, the best ones, would make there.

    The lamps are eliminated from each linearisation (variable projection, Golub & Pereyra 1973), so they never lag
    behind the shape.
    """

    basis: PointBasis
    triangles: Int[Tensor, "triangle 3"]
    """Among the points of `basis`."""
    seen: Bool[Tensor, " point"]
    radiance: Radiance

    def normal_equations(
        self, state: State, principal: Float[Tensor, "2"]
    ) -> tuple[Float[Tensor, "unknown unknown"], Float[Tensor, " unknown"]]:
        """Curvature and gradient of half the weighted squared residuals in a view's unknowns."""
        pixels, slopes = projected_with_slopes(self.basis, state, principal)
        colour, gradient = _sampled(self.radiance.image, (pixels - self.radiance.corner) * self.radiance.scale)
        used = self.seen & (colour.amin(-1) > DARKEST) & (colour.amax(-1) < BRIGHTEST)
        if used.sum() < LEAST_SEEN:
            unknowns = slopes.shape[2]
            return slopes.new_zeros(unknowns, unknowns), slopes.new_zeros(unknowns)
        normals, turns = _normals_with_slopes(self.basis, self.triangles, state)
        lamps = _lamps().to(normals)
        basis = _lit(normals, lamps)[used]
        target = colour[used]
        trust = torch.ones(len(target), dtype=target.dtype)
        for _ in range(REWEIGHTINGS):
            residual = basis @ _best_light(basis, target, trust)[0] - target
            noise = (TYPICAL * residual.square().mean(-1).sqrt().median()).clamp(min=SIGMA * target.mean())
            trust = 1 / (1 + (residual / noise).square().mean(-1) / ROBUST**2)
        light, gram = _best_light(basis, target, trust)
        residual = (basis @ light - target) / noise
        facing = (normals[used] @ lamps.mT > 0).to(basis)
        per_normal = torch.einsum("pl,lj,lc->pcj", facing, lamps, light[4:]) + light[1:4].mT
        jacobian = torch.einsum("pcj,pju->cpu", per_normal, turns[used])
        jacobian = jacobian - self.radiance.scale * torch.einsum("pcj,pju->cpu", gradient[used], slopes[used])
        jacobian = jacobian / noise
        size = jacobian.shape[2]
        normal, downhill = jacobian.new_zeros(size, size), jacobian.new_zeros(size)
        weighted = basis * trust[:, None]
        for each, error in zip(jacobian, residual.mT, strict=True):
            tangled = weighted.mT @ each
            normal += each.mT @ (each * trust[:, None]) - tangled.mT @ torch.linalg.solve(gram, tangled)
            downhill += each.mT @ (trust * error)
        share = WEIGHT / len(jacobian)
        return share * normal, share * downhill


def bare_skin(model: MorphableModel) -> Bool[Tensor, " vertex"]:
    """Vertices of the face that are neither lips nor brows nor at the eyes."""
    covered = torch.stack([model.regions[name] for name in ("lips", "brows", "eye_socket")]).any(0)
    return model.regions["face"] & ~covered


def unhidden(
    vertices: Float[Tensor, "vertex 3"],
    triangles: Int[Tensor, "triangle 3"],
    state: State,
    principal: Float[Tensor, "2"],
    radiance: Radiance,
) -> Bool[Tensor, " vertex"]:
    """Which vertices of a posed head no other part of it hides from the camera."""
    size = len(radiance.image)
    camera = Camera(
        (state.log_focal.exp() * radiance.scale).float().expand(2),
        ((principal - radiance.corner) * radiance.scale).float(),
        state.rotation.float(),
        state.translation.float(),
        (size, size),
    )
    front = rasterize(camera.clip(vertices[None]), triangles, camera.resolution).triangle[0]
    place = camera.project(vertices)[..., :2].floor().long()
    inside = ((place >= 0) & (place < size)).all(-1)
    x, y = place.clamp(0, size - 1).unbind(-1)
    nearest = front[y, x]
    depth = (vertices @ camera.rotation.mT + camera.translation)[:, 2]
    surface = depth[triangles[nearest.clamp(min=0)].long()].mean(-1)
    return inside & (nearest >= 0) & (depth < surface + HIDDEN)


def _lamps() -> Float[Tensor, "lamp 3"]:
    """Directions spread evenly over the sphere (Fibonacci's spiral)."""
    step = torch.arange(LAMPS) + 0.5
    height, turn = 1 - 2 * step / LAMPS, 2.399963 * step
    across = (1 - height.square()).sqrt()
    return torch.stack([across * turn.cos(), across * turn.sin(), height], 1)


def _lit(normals: Float[Tensor, "point 3"], lamps: Float[Tensor, "lamp 3"]) -> Float[Tensor, "point light"]:
    """What a white surface returns under light from everywhere, in a gradient along each axis, and of each lamp."""
    return torch.cat([torch.ones_like(normals[:, :1]), normals, torch.relu(normals @ lamps.mT)], 1)


def _best_light(
    basis: Float[Tensor, "point light"], target: Float[Tensor, "point 3"], trust: Float[Tensor, " point"]
) -> tuple[Float[Tensor, "light 3"], Float[Tensor, "light light"]]:
    weighted = basis * trust[:, None]
    ridge = torch.full((basis.shape[1],), LAMP_RIDGE * len(basis), dtype=basis.dtype)
    ridge[:4] *= 1e-3
    gram = weighted.mT @ basis + ridge.diag()
    return torch.linalg.solve(gram, weighted.mT @ target), gram


def _sampled(
    image: Float[Tensor, "height width 3"], pixels: Float[Tensor, "point 2"]
) -> tuple[Float[Tensor, "point 3"], Float[Tensor, "point 3 2"]]:
    """Bilinear samples and their slopes; black outside."""
    height, width = image.shape[:2]
    place = pixels - 0.5
    inside = ((place >= 0) & (place < torch.tensor([width - 1, height - 1]))).all(-1)
    place = torch.where(inside[:, None], place, torch.zeros_like(place))
    x, y = place.floor().long().unbind(-1)
    right, down = (place - place.floor()).unbind(-1)
    a, b, c, d = image[y, x], image[y, x + 1], image[y + 1, x], image[y + 1, x + 1]
    u, v = right[:, None], down[:, None]
    value = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)
    slope = torch.stack([(1 - v) * (b - a) + v * (d - c), (1 - u) * (c - a) + u * (d - b)], -1)
    return value * inside[:, None], slope * inside[:, None, None]


def _normals_with_slopes(
    basis: PointBasis, triangles: Int[Tensor, "triangle 3"], state: State
) -> tuple[Float[Tensor, "point 3"], Float[Tensor, "point 3 unknown"]]:
    """Unit normals in the camera's axes, from the areas around each point, and their slopes in a view's unknowns."""
    points = basis(state)
    whole, slope = _areas(points, triangles)
    moves = torch.cat([basis.identity, basis.expression]).permute(1, 2, 0).flatten(0, 1)
    turned = torch.from_numpy(slope @ moves.numpy()).unflatten(0, (-1, 3))
    length = whole.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    normal = whole / length
    turned = (turned - normal[:, :, None] * torch.einsum("pi,piu->pu", normal, turned)[:, None]) / length[:, :, None]
    normal, turned = normal @ state.rotation.mT, torch.einsum("ij,pju->piu", state.rotation, turned)
    # turning the head about the camera's axes turns normals: d n = w x n
    x, y, z = normal.unbind(-1)
    zero = torch.zeros_like(x)
    spin = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).unflatten(-1, (3, 3))
    rest = normal.new_zeros(len(normal), 3, 4)
    return normal, torch.cat([turned, spin, rest], -1)


def _areas(
    points: Float[Tensor, "point 3"], triangles: Int[Tensor, "triangle 3"]
) -> tuple[Float[Tensor, "point 3"], sparse.csr_array]:
    """Twice the vector area of the triangles around each point, and its derivative by all coordinates.

    A triangle's is a x b + b x c + c x a, whose change is da x (b - c) + db x (c - a) + dc x (a - b).
    """
    corners = points[triangles]
    whole = torch.zeros_like(points)
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for corner in triangles.unbind(-1):
        whole.index_add_(0, corner, area)
    x, y, z = (corners.roll(-1, 1) - corners.roll(-2, 1)).unbind(-1)  # the edge across from each corner
    entries = torch.stack([z, -y, -z, x, y, -x], -1)[:, None].expand(-1, 3, -1, -1)  # -[edge]x, without its zeros
    rows, columns = torch.tensor([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]])
    rows = (3 * triangles[:, :, None, None] + rows).expand_as(entries)
    columns = (3 * triangles[:, None, :, None] + columns).expand_as(entries)
    size = points.numel()
    places = rows.flatten().numpy(), columns.flatten().numpy()
    return whole, sparse.csr_array((entries.flatten().numpy(), places), shape=(size, size))
