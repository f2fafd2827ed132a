"""What a photo shows of a head, and what it does not: what is under the lids, behind the lips, turned away."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from morphable import ARKIT_NAMES, Head
from renderers import Camera, Fragments, rasterize

BEHIND = 0.0012
"""Metres by which a vertex may lie behind the surface at its pixel and still be seen."""
GRAZING, FACING = 0.1, 0.4
"""Cosines between normal and line of sight from which on, and at which, a photo shows enough of a surface."""
LOOK_SIZE, LOOK_DISTANCE, LOOK_ANGLE = 384, 2.0, 0.2
"""Pixels, metres and radians of looks at the head from all around."""
LOOKS = [(yaw, pitch) for pitch in (-0.7, 0.0, 0.7) for yaw in torch.linspace(-1.5, 1.5, 5).tolist()]
"""Yaw and pitch from which they are taken, radians."""
BLINKS = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
LID_MOTION = 0.1, 0.3
"""Of what a blink moves most: what begins to be a lid, and what is one."""
MOUTH = "teeth_upper", "teeth_lower", "tongue"
UPPER_TEETH, SHOWN = "teeth_upper", 0.003
"""Metres by which the upper teeth are lowered: models hide them behind the lip."""
MARGIN = 0.006
"""Metres around teeth and tongue in which hidden skin is the mouth's."""
SMALLEST = 0.1
"""Square pixels added to areas at rest."""


def visible(points: Float[Tensor, "vertex 3"], lens: Camera, fragments: Fragments) -> Bool[Tensor, " vertex"]:
    """Which points, in the lens's world, no surface hides."""
    height, width = lens.resolution
    depth = lens.view(points)[:, 2]
    empty = fragments.depth == 0
    around = torch.nn.functional.max_pool2d(fragments.depth.masked_fill(empty, math.inf), 3, 1, 1)[0]
    x, y = lens.project(points).floor().long().unbind(1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return inside & (depth < around[y.clamp(0, height - 1), x.clamp(0, width - 1)] + BEHIND)


def facing(points: Float[Tensor, "vertex 3"], normals: Float[Tensor, "vertex 3"]) -> Float[Tensor, " vertex"]:
    """How well points are seen from the origin: 0 from the side and from behind, 1 from the front."""
    cosine = -(torch.nn.functional.normalize(points, dim=-1) * normals).sum(-1)
    return smooth_step((cosine - GRAZING) / (FACING - GRAZING))


def enclosed(vertices: Float[Tensor, "vertex 3"], triangles: Int[Tensor, "triangle 3"]) -> Bool[Tensor, " vertex"]:
    """Which vertices of a head at rest cannot be seen from around its face."""
    found = torch.zeros(len(vertices), dtype=torch.bool)
    centre = (vertices.amin(0) + vertices.amax(0)) / 2
    for yaw, pitch in LOOKS:
        towards = (math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch))
        eye = centre + LOOK_DISTANCE * torch.tensor(towards)
        lens = Camera.looking_at(eye, centre, (0.0, 1.0, 0.0), LOOK_ANGLE, (LOOK_SIZE, LOOK_SIZE))
        found |= visible(vertices, lens, rasterize(lens.clip(vertices[None]), triangles, lens.resolution))
    return ~found


def lids(head: Head) -> Float[Tensor, " vertex"]:
    """1 on the eyelids, 0 where a blink moves little."""
    moved = torch.as_tensor(head.expressions[BLINKS]).norm(dim=-1).amax(0)
    low, high = LID_MOTION
    return smooth_step((moved / moved.amax().clamp(min=1e-9) - low) / (high - low))


def with_teeth_showing(head: Head) -> Head:
    """The head with its upper teeth as far below the lip as of people who talk."""
    if UPPER_TEETH not in head.layout.parts:
        return head
    neutral = head.neutral.copy()
    neutral[head.layout.parts[UPPER_TEETH].vertices, 1] -= SHOWN
    return replace(head, neutral=neutral)


def mouth_depth(head: Head, hidden: Bool[Tensor, " vertex"]) -> Float[Tensor, " vertex"]:
    """How far vertices inside the mouth lie behind the front of the teeth, metres; -1 elsewhere."""
    neutral = torch.as_tensor(head.neutral)
    inside = torch.zeros(len(neutral), dtype=torch.bool)
    for name in MOUTH:
        if name in head.layout.parts:
            inside[head.layout.parts[name].vertices] = True
    if not inside.any():
        return torch.full((len(neutral),), -1.0)
    low, high = neutral[inside].aminmax(dim=0)
    around = ((neutral > low - MARGIN) & (neutral < high + MARGIN)).all(1)
    return torch.where(inside | hidden & around, (high[2] - neutral[:, 2]).clamp(min=0), -1.0)


def stretched(
    now: Float[Tensor, "vertex 2"], rest: Float[Tensor, "vertex 2"], triangles: Int[Tensor, "triangle 3"]
) -> Float[Tensor, " vertex"]:
    """How many times its area at rest the picture of a surface covers, around each vertex."""
    areas = torch.zeros(len(now), 2)
    for place, points in enumerate((now, rest)):
        (ax, ay), (bx, by) = ((points[triangles[:, k]] - points[triangles[:, 0]]).unbind(1) for k in (1, 2))
        area = (ax * by - ay * bx).abs()
        for k in range(3):
            areas[:, place].index_add_(0, triangles[:, k], area)
    return areas[:, 0] / (areas[:, 1] + SMALLEST)


def smooth_step(share: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """From 0 to 1 without a kink."""
    share = share.clamp(0, 1)
    return share * share * (3 - 2 * share)
