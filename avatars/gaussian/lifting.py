"""An avatar from one picture: its pixels become Gaussians on the head and on a sheet through the shoulders.

What the picture does not show takes the colours of the other side of the head, or of what is nearest; teeth, tongue and
eyes those of the head's textures.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor

from avatars.capture import Capture
from avatars.export.surface import TEXTURES
from avatars.gaussian.avatar import GaussianAvatar, Gaussians
from avatars.gaussian.start import ZEROTH, started
from avatars.neural.cloth import sampled
from avatars.neural.driving import Frames, Moment, Surface
from avatars.neural.footage import Footage
from morphable import catalogue
from renderers import linear_to_srgb, rasterize, srgb_to_linear, vertex_normals

SOLID = 0.97
"""Opacity of the person from which a pixel's colour is the person's alone."""
INSET = 3.0
"""Pixels from the person's edge nearer than which a colour may be the background's."""
THERE = 0.15
"""Opacity below which a pixel is not the person's."""
FACING = 0.25
"""Cosine to the line of sight below which a surface is told by no pixel."""
SPREAD = 0.7
"""Deviation of a pixel's Gaussian, in pixels on the surface."""
THICKNESS = 0.0006
"""Deviation across the surface, metres."""
COVERED = 0.5
"""Of a triangle's area: what pixels must show of it to tell its colour."""
SIDEDNESS = 0.05
"""Metres that count as far as a normal turned by a radian, when what is nearest is looked for."""
LONGEST_HAIR = 0.06
"""Metres that hair stands off the scalp at most; what goes on farther hangs, and says nothing of the scalp."""
RIM = 0.4
"""Cosine to the line of sight below which the scalp is at the head's outline, where the hair's thickness is seen."""
USUAL_HAIR, UNKNOWN = 0.01, 0.01
"""Metres that hair stands off where nothing tells, and how little that counts against a vertex at the outline."""
HAIR_REACH = 0.05
"""Metres over which that thickness is spread over the scalp."""
HAIRLINE = 0.03
"""Metres from the scalp's edge at which hair has its full thickness."""
SHADE = 0.5
"""Light inside the mouth over that on the face."""
SKIN, UPPER, LINING = "head", "teeth_upper", "inner_mouth"
MOUTH = (UPPER, "teeth_lower", "tongue")
INSIDE = (LINING, "nostrils")
TOOTH = 0.009
"""Metres below the mesh's upper teeth where the picture's may be."""
BRIGHT = 0.6
"""Of the face's brightness: what teeth have at least."""
LOOKS = 2
"""Pixels that tell a triangle's colour at least."""
BLENDED = 6
"""Triangles whose mean an unseen one takes."""
MIRRORING = 0.01
"""Metres by which the other side of the head counts as farther away."""
SUNK = 0.004
"""Metres that unseen hair lies below the seen, as its Gaussians are wide."""
FILLING = 2.0
"""Deviations of a triangle's Gaussian over those of the triangle itself."""
STEEPEST = 4.0
"""Steps away from the camera for a step across, beyond the head's outline, at most."""
NEIGHBOURS = 24
"""Pixels of the outline from which the depth beyond it is told."""
DENSE = 0.97
"""Opacity of a pixel's Gaussian where the person is opaque."""
STILL = 0.002
"""Metres that no expression moves a vertex to which hair may be bound."""
SHEET_STEP = 2
"""Pixels a side of the picture for a Gaussian on the sheet."""


class Shown(NamedTuple):
    """What pixels say, one of these each.

    Attributes:
        triangle: that it lies on.
        point: metres, posed.
        reach: what a step of one pixel across and one down the picture is on the surface; columns, metres.
        normal: of the surface.
        colour: encoded sRGB.
        opacity: of the person.
        plain: whether the surface faces the camera well enough for the pixel to tell its colour.
    """

    triangle: Int[Tensor, " pixel"]
    point: Float[Tensor, "pixel 3"]
    reach: Float[Tensor, "pixel 3 2"]
    normal: Float[Tensor, "pixel 3"]
    colour: Float[Tensor, "pixel 3"]
    opacity: Float[Tensor, " pixel"]
    plain: Bool[Tensor, " pixel"]


@torch.no_grad()
def lifted(capture: Capture) -> GaussianAvatar:
    """Of a capture's first frame. Nothing is learned: a pixel is a Gaussian."""
    start = started(Footage([capture]), np.zeros(1, int))
    moment = start.moment(capture.performance)
    frames, vertices = start.surface.frames(moment), start.surface.vertices(moment)
    hair = _hair(capture, start, vertices)
    shown = _shown(capture, start, vertices, hair)
    told = _told(shown, vertices, start)
    rest = _unseen(capture, start, shown, told, hair)
    return replace(start, gaussians=_joined(_pixels(shown, frames), rest))


def _hair(capture: Capture, avatar: GaussianAvatar, vertices: Float[Tensor, "vertex 3"]) -> Float[Tensor, " vertex"]:
    """Metres that hair stands off the scalp: as seen at the head's outline, and on from there and its mirror image."""
    thickness = torch.zeros(len(vertices))
    scalp = catalogue.load(capture.head.model).regions.get("scalp")
    if scalp is None:
        return thickness
    normals = vertex_normals(vertices, avatar.surface.triangles)
    sight = torch.nn.functional.normalize(vertices - capture.camera.position, dim=-1)
    own = torch.nonzero(scalp)[:, 0]
    rim = own[(normals * sight).sum(-1)[own].abs() < RIM]
    if not len(rim):
        return thickness
    steps = torch.linspace(0, LONGEST_HAIR, 61)
    probes = capture.camera.project((vertices[rim, None] + steps[:, None] * normals[rim, None]).view(-1, 3))
    opacity = sampled(torch.as_tensor(capture.masks[0])[..., None] / 255, probes).view(len(rim), -1)
    pictured = _pictured(capture, probes).view(len(rim), -1)
    reached = ((opacity > 0.5) & pictured).int().cumprod(1).sum(1)
    ends = (reached < len(steps)) & pictured.gather(1, reached.clamp(max=len(steps) - 1)[:, None])[:, 0]
    seen = steps[(reached - 1).clamp(min=0)][ends]
    rest = avatar.surface.rest
    places = torch.cat([rest[rim[ends]], rest[rim[ends]] * torch.tensor([-1.0, 1.0, 1.0])])
    weight = torch.exp(-0.5 * (torch.cdist(rest[own], places) / HAIR_REACH).square())
    spread = (weight @ torch.cat([seen, seen]) + UNKNOWN * USUAL_HAIR) / (weight.sum(1) + UNKNOWN)
    bare = torch.as_tensor(cKDTree(rest[: len(scalp)][~scalp]).query(rest[own])[0]).float()
    thickness[own] = spread * (bare / HAIRLINE).clamp(max=1)
    return thickness


def _shown(
    capture: Capture,
    avatar: GaussianAvatar,
    vertices: Float[Tensor, "vertex 3"],
    hair: Float[Tensor, " vertex"],
) -> Shown:
    """The person's pixels on the surface with its hair; beyond its outline, at the depth of the outline."""
    camera, surface = capture.camera, avatar.surface
    outer = vertices + hair[:, None] * vertex_normals(vertices, surface.triangles)
    fragments = rasterize(camera.clip(outer[None]), surface.triangles, camera.resolution)
    triangle, depth = fragments.triangle[0].long(), fragments.depth[0]
    opacity = torch.as_tensor(capture.masks[0]).float() / 255
    person = opacity > THERE
    covered = (triangle >= 0) & person & ~_bite(capture, avatar, triangle, depth)
    anchors = covered & ~_loose(surface)[triangle]
    row, column = _nearest(anchors)
    triangle = torch.where(covered, triangle, triangle[row, column])
    depth = torch.where(covered, depth, _carried(depth, anchors, person & ~covered))
    row, column = _nearest(torch.as_tensor(distance_transform_edt((opacity > SOLID).numpy())) > INSET)
    colours = (torch.as_tensor(capture.frames[0]).float() / 255)[row, column]

    on_sheet = triangle >= surface.head_triangles
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in camera.resolution), indexing="ij")
    kept = person & (~on_sheet | ((rows % SHEET_STEP == 0) & (columns % SHEET_STEP == 0)))
    step = torch.where(on_sheet, float(SHEET_STEP), 1.0)[kept]
    middle = torch.stack([columns, rows], -1)[kept] + 0.5 * torch.where(on_sheet, SHEET_STEP, 1)[kept, None]
    ray = torch.nn.functional.pad((middle - camera.principal) / camera.focal, (0, 1), value=1.0) @ camera.rotation
    slopes = camera.rotation[:2] / camera.focal[:, None]
    a, b, c = outer[surface.triangles[triangle[kept]]].unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    facing = (normal * ray).sum(-1)
    along = (slopes @ normal[..., None])[..., 0] / facing[:, None]
    down, across = torch.gradient(torch.where(person, depth, _carried(depth, person, ~person)))
    beyond = torch.stack([across, down], -1)[kept] / depth[kept, None]
    steepest = STEEPEST / camera.focal
    along = torch.where(covered[kept, None], -along, beyond.clamp(-steepest, steepest))
    reach = (step * depth[kept])[:, None, None] * (slopes + along[..., None] * ray[:, None])
    plain = covered[kept] & (facing.abs() / ray.norm(dim=-1) >= FACING)
    normal = torch.nn.functional.normalize(torch.linalg.cross(*reach.unbind(1)), dim=-1)
    point = camera.position + depth[kept, None] * ray
    shown = Shown(triangle[kept], point, reach.mT, normal, colours[kept], opacity[kept], plain)
    told = plain | ~covered[kept]
    return Shown(*(values[told] for values in shown))


def _bite(
    capture: Capture,
    avatar: GaussianAvatar,
    triangle: Int[Tensor, "height width"],
    depth: Float[Tensor, "height width"],
) -> Bool[Tensor, "height width"]:
    """Pixels below the upper teeth that are too bright for what the mesh has there, the mouth's inside."""
    _, inside, upper = (each[triangle] & (triangle >= 0) for each in _kinds(avatar))
    if not upper.any():
        return torch.zeros_like(upper)
    away = torch.as_tensor(distance_transform_edt(~upper.numpy()))
    near = away < TOOTH * float(capture.camera.focal.mean() / depth[upper].mean())
    light = torch.as_tensor(capture.frames[0]).float().mean(-1)
    face = (triangle >= 0) & (triangle < avatar.surface.head_triangles)
    return inside & ~upper & near & (light > BRIGHT * light[face].median())


def _told(shown: Shown, vertices: Float[Tensor, "vertex 3"], avatar: GaussianAvatar) -> Bool[Tensor, " triangle"]:
    """Triangles of which pixels show enough."""
    a, b, c = vertices[avatar.surface.triangles].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1) / 2
    seen = torch.linalg.cross(*shown.reach.unbind(-1)).norm(dim=-1) * shown.plain
    return torch.zeros(len(area)).index_add(0, shown.triangle, seen) > COVERED * area


def _pixels(shown: Shown, frames: Frames) -> Gaussians:
    """A Gaussian for each pixel."""
    axes = torch.cat([SPREAD * shown.reach, THICKNESS * shown.normal[..., None]], -1)
    return _bound(shown.triangle, shown.point, axes, DENSE * shown.opacity, shown.colour, frames)


def _bound(
    triangle: Int[Tensor, " gaussian"],
    points: Float[Tensor, "gaussian 3"],
    axes: Float[Tensor, "gaussian 3 axis"],
    opacity: Float[Tensor, " gaussian"],
    colours: Float[Tensor, "gaussian 3"],
    frames: Frames,
) -> Gaussians:
    """Gaussians with covariances axes @ axes.mT in the frames of their triangles."""
    centre, rotation, size = (values[triangle] for values in frames)
    turn, deviations, _ = torch.linalg.svd(axes, full_matrices=False)
    turn = rotation.mT @ (turn * torch.linalg.det(turn)[:, None, None])
    return Gaussians(
        triangle=triangle,
        position=(rotation.mT @ (points - centre)[..., None])[..., 0] / size[:, None],
        turn=roma.rotmat_to_unitquat(turn),
        size=(deviations / size[:, None]).log(),
        opacity=opacity.logit(),
        colour=torch.nn.functional.pad(((colours - 0.5) / ZEROTH)[:, None], (0, 0, 0, 3)),
        shift=torch.zeros(len(size), 0, 3),
        tint=torch.zeros(len(size), 0, 3),
    )


def _unseen(
    capture: Capture,
    avatar: GaussianAvatar,
    shown: Shown,
    told: Bool[Tensor, " triangle"],
    hair: Float[Tensor, " vertex"],
) -> Gaussians:
    """A Gaussian for each triangle of which pixels told too little."""
    surface = avatar.surface
    frames = surface.frames(Moment.rest())
    count = len(told)
    weight = torch.zeros(count).index_add(0, shown.triangle, shown.plain.float())
    colours = torch.zeros(count, 3).index_add(0, shown.triangle, shown.plain[:, None] * shown.colour)
    colours /= weight.clamp(min=1)[:, None]
    own = _textured(avatar)
    inner, _, _ = _kinds(avatar)
    skin = ~inner & (torch.arange(count) < surface.head_triangles)
    lit = skin & told
    gain = srgb_to_linear(colours[lit]).mean(0) / srgb_to_linear(own[lit]).mean(0)
    untold = weight < LOOKS
    dark = inner & untold
    colours[dark] = linear_to_srgb((gain * SHADE * srgb_to_linear(own[dark])).clamp(0, 1))

    lift = (hair[surface.triangles].mean(1) - SUNK).clamp(min=0)
    places = frames.centre + lift[:, None] * frames.rotation[..., 1]
    features = torch.cat([places, SIDEDNESS * frames.rotation[..., 1]], 1)
    mirrored = features * torch.tensor([-1.0, 1, 1, -1, 1, 1])
    for group, sides in ((skin, ((features, 0.0), (mirrored, MIRRORING))), (~inner & ~skin, ((features, 0.0),))):
        source, target = torch.nonzero(group & told)[:, 0], torch.nonzero(group & untold)[:, 0]
        colours[target] = _blended(colours[source], features[source], [(side[target], far) for side, far in sides])

    within = capture.camera.project(surface.frames(avatar.moment(capture.performance)).centre)
    behind = _pictured(capture, within) & (
        sampled(torch.as_tensor(capture.masks[0])[..., None] / 255, within)[:, 0] > SOLID
    )
    on_head = torch.arange(count) < surface.head_triangles
    chosen = torch.nonzero(~told & (on_head | behind))[:, 0]
    corners = surface.rest[surface.triangles[chosen]] - frames.centre[chosen, None]
    across = THICKNESS * frames.rotation[chosen, :, 1:2]
    axes = torch.cat([FILLING / 12**0.5 * corners.mT, across], -1)
    return _bound(chosen, places[chosen], axes, torch.full((len(chosen),), DENSE), colours[chosen], frames)


def _blended(
    colours: Float[Tensor, "source 3"],
    features: Float[Tensor, "source 6"],
    sides: list[tuple[Float[Tensor, "target 6"], float]],
) -> Float[Tensor, "target 3"]:
    """Mean of the nearest sources' colours, seen from several sides, each as much farther as is said."""
    total, weight = torch.zeros(len(sides[0][0]), 3), torch.full((len(sides[0][0]), 1), 1e-9)
    for places, farther in sides if len(features) else ():
        count = min(BLENDED, len(features))
        distance, index = cKDTree(features.numpy()).query(places.numpy(), np.arange(1, count + 1))
        near = (torch.as_tensor(distance).float() + farther + 1e-3) ** -3
        total += (near[..., None] * colours[torch.as_tensor(index)]).sum(1)
        weight += near.sum(1, keepdim=True)
    return total / weight


def _textured(avatar: GaussianAvatar) -> Float[Tensor, "triangle 3"]:
    """The colour of the head's textures at each triangle, encoded sRGB; grey on the sheet."""
    head, layout = avatar.head, avatar.head.layout
    uv = torch.as_tensor(np.asarray(layout.uv))[torch.as_tensor(np.asarray(layout.uv_triangles)).long()].mean(1)
    found = torch.full((len(uv), 3), 0.5)
    for part, span in layout.parts.items():
        texture = head.textures.get(TEXTURES.get(part, part))
        if texture is not None:
            pixels = torch.as_tensor(texture.pixels[..., :3].copy()).float() / 255
            size = torch.tensor(pixels.shape[1::-1])
            column, row = (uv[span.triangles] * size).long().clamp(min=0).minimum(size - 1).unbind(1)
            found[span.triangles] = pixels[row, column]
    sheet = torch.full((len(avatar.surface.triangles) - avatar.surface.head_triangles, 3), 0.5)
    return torch.cat([found[avatar.surface.opaque], sheet])


def _kinds(
    avatar: GaussianAvatar,
) -> tuple[Bool[Tensor, " triangle"], Bool[Tensor, " triangle"], Bool[Tensor, " triangle"]]:
    """Triangles of all that lies within the skin, of the mouth's inside, and of the upper teeth."""
    layout, surface = avatar.head.layout, avatar.surface
    regions = catalogue.load(avatar.head.model).regions
    within, mouth, upper = torch.zeros(3, len(surface.rest), dtype=torch.bool)
    for part, span in layout.parts.items():
        within[span.vertices] = part != SKIN
        mouth[span.vertices] = part in MOUTH
        upper[span.vertices] = part == UPPER
    for name in INSIDE:
        if name in regions:
            within[: len(regions[name])] |= regions[name]
    if LINING in regions:
        mouth[: len(regions[LINING])] |= regions[LINING]
    inner, inside, teeth = (kind[surface.triangles].all(1) for kind in (within, mouth, upper))
    return inner, inside, teeth


def _loose(surface: Surface) -> Bool[Tensor, " triangle"]:
    """Triangles that expressions move."""
    moved = surface.shapes.unflatten(1, (-1, 3)).norm(dim=-1).amax(0) > STILL
    return torch.nn.functional.pad(moved, (0, len(surface.rest) - len(moved)))[surface.triangles].any(1)


def _joined(*parts: Gaussians) -> Gaussians:
    tensors = [part.tensors() for part in parts]
    return Gaussians(**{name: torch.cat([each[name] for each in tensors]) for name in tensors[0]})


def _pictured(capture: Capture, points: Float[Tensor, "point 2"]) -> Bool[Tensor, " point"]:
    """Whether pixels are in the picture."""
    return ((points >= 0) & (points < torch.tensor(capture.camera.resolution[::-1]))).all(1)


def _nearest(known: Bool[Tensor, "height width"]) -> tuple[Int[Tensor, "height width"], Int[Tensor, "height width"]]:
    """Row and column of the nearest pixel that is known."""
    row, column = distance_transform_edt(~known.numpy(), return_distances=False, return_indices=True)
    return torch.as_tensor(row).long(), torch.as_tensor(column).long()


def _carried(
    values: Float[Tensor, "height width"],
    known: Bool[Tensor, "height width"],
    wanted: Bool[Tensor, "height width"],
) -> Float[Tensor, "height width"]:
    """Where wanted, the mean of the nearest that are known, by the inverse square of the distance."""
    places, count = torch.nonzero(known).numpy(), min(NEIGHBOURS, int(known.sum()))
    distance, index = cKDTree(places).query(torch.nonzero(wanted).numpy(), np.arange(1, count + 1))
    weight = torch.as_tensor(distance).float() ** -2
    near = values[known][torch.as_tensor(index)]
    filled = values.clone()
    filled[wanted] = (weight * near).sum(1) / weight.sum(1)
    return filled
