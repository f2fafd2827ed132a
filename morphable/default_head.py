"""The default head: ARKit's shapes fitted to each identity.

Artists drew the shapes for one head. On another, three things must hold that plain offsets break:

- a motion keeps its meaning as the face stretches: offsets are carried by the local Jacobian of the deformation from
  the mean to the identity (deformation transfer, Sumner & Popović 2004);
- what is rigid stays rigid: eyeballs turn about their centres, the lower teeth and the tongue about the jaw's hinge;
- what touches stays in contact: closed lids meet on the eyeball and slide over it, the lips meet when the mouth closes.

All of it is in closed form and linear in the weights, so that the shapes of a head can be stored and played by anyone.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphable.arkit import ARKIT_NAMES
from morphable.model import MorphableModel

CLEARANCE = 2e-4
"""Metres that lids keep from the eyeball all along their way."""
CLOSED_CLEARANCE = 7e-4
"""Metres between the eyeball and the inner edges of closed lids, at least."""
JAW_OPEN, MOUTH_CLOSE = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
INDICES = (
    "soft",
    "neighbours",
    "hinge",
    "jaw_shapes",
    "chin",
    "lids",
    "lid_shapes",
    "rim",
    "lashes",
    "lash_anchors",
    "lip_pairs",
    "lips",
)
EYES = ("eye_left", "eye_right")
JAW_PARTS = ("teeth_lower", "tongue")


class DefaultHead(MorphableModel):
    """The head built from MakeHuman's data; see the module's docstring.

    Further buffers (indices are of vertices unless said otherwise):
        soft: (m,) the vertices that shapes move other than rigidly; `expression_basis` is of these alone.
        neighbours, gradients: (m, k), (m, k, 3) so that the Jacobian at `soft` is I + Σₖ displacement ⊗ gradient.
        gaze: (2, 52, 3, 3) what each shape adds to the identity to turn an eyeball.
        jaw, hinge: (j, 3, 3), (h,) the same for the jaw and `jaw_shapes`, about the mean of the vertices `hinge`.
        jaw_shapes, chin: the shapes that move the jaw, and places in `soft` of the skin before the lower gum, which the
            lower teeth follow on each head.
        lids: (2, r) places in `soft` of the skin about each eye, without the lining of its socket.
        lid_shapes: (2, s) the shapes that move the lids, eyeBlink first.
        rim: (2, 3, 28) places in `lids` of the three innermost rings of the lids' margin.
        closure: (2, 28, 28) closed inner ring as means of the open one, before it is lifted off the eyeball.
        lid_spread, lid_rest: (2, r, 84), (2, r) how far the surroundings follow each vertex of the rim when the eye
            closes, and how far they move as drawn.
        lashes: (2, l) places in `soft`.
        lash_anchors, lash_weights: (2, l, 2) places in `lids` of the skin that carries them, and its shares.
        lip_pairs, lip_weights: (p, 4) places in `soft`, and weights so that their weighted sum is the distance between
            the lips at contact p.
        lips, lip_spread: (v,) places in `soft`, (v, p) how these follow when contact p closes.
    """

    expression_basis: Float[Tensor, "52 soft 3"]
    soft: Tensor
    neighbours: Tensor
    gradients: Tensor
    gaze: Tensor
    jaw: Tensor
    hinge: Tensor
    jaw_shapes: Tensor
    chin: Tensor
    lids: Tensor
    lid_shapes: Tensor
    rim: Tensor
    closure: Tensor
    lid_spread: Tensor
    lid_rest: Tensor
    lashes: Tensor
    lash_anchors: Tensor
    lash_weights: Tensor
    lip_pairs: Tensor
    lip_weights: Tensor
    lips: Tensor
    lip_spread: Tensor

    def __init__(self, name: str, tensors: dict[str, Tensor], *description: Any) -> None:
        super().__init__(name, {key: t.long() if key in INDICES else t for key, t in tensors.items()}, *description)

    def shape_offsets(
        self,
        neutral: Float[Tensor, "batch vertex 3"],
        joints: Float[Tensor, "batch 4 3"],
        weights: Float[Tensor, "batch mix 52"],
    ) -> Float[Tensor, "batch mix vertex 3"]:
        jacobians = self._jacobians(neutral)
        moved = _transported(jacobians, torch.tensordot(weights, self.expression_basis, 1))
        moved = self._with_lips_meeting(moved, jacobians, weights)
        for side in range(len(EYES)):
            moved = self._with_lids_on_eyeball(moved, jacobians, neutral, joints, weights, side)
        offsets = neutral.new_zeros(*weights.shape[:2], *neutral.shape[1:]).index_copy(2, self.soft, moved)
        return self._with_rigid_parts(offsets, jacobians, neutral, joints, weights)

    def _jacobians(self, neutral: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch soft 3 3"]:
        """Of the map from the mean head to each head, a weighted least-squares fit over the neighbours of a vertex."""
        moved = (neutral - self.mean)[:, self.neighbours]
        return torch.eye(3).to(neutral) + torch.einsum("bmki,mkj->bmij", moved, self.gradients)

    def _with_rigid_parts(
        self, offsets: Tensor, jacobians: Tensor, neutral: Tensor, joints: Tensor, weights: Tensor
    ) -> Tensor:
        hinge = neutral[:, self.hinge].mean(1, keepdim=True)
        jaw_weights = weights[:, :, self.jaw_shapes]
        turn = torch.einsum("bxe,eij->bxij", jaw_weights, self.jaw)
        skin = _transported(jacobians[:, self.chin], self.expression_basis[self.jaw_shapes[:, None], self.chin][None])
        bone = (neutral[:, self.soft[self.chin]] - hinge)[:, None] @ self.jaw.mT
        shift = (jaw_weights @ (skin - bone).mean(2))[:, :, None]
        pieces = []
        for name, part in self.parts.items():
            place = neutral[:, part.vertices]
            if name in EYES:
                side = EYES.index(name)
                gaze = torch.einsum("bxe,eij->bxij", weights, self.gaze[side])
                pieces.append((place - joints[:, 2 + side, None])[:, None] @ gaze.mT)
            elif name in JAW_PARTS:
                pieces.append(offsets[:, :, part.vertices] + (place - hinge)[:, None] @ turn.mT + shift)
            else:
                pieces.append(offsets[:, :, part.vertices])
        return torch.cat(pieces, 2)

    def _with_lips_meeting(self, moved: Tensor, jacobians: Tensor, weights: Tensor) -> Tensor:
        """mouthClose undoes what jawOpen does to the distance between the lips."""
        both = (self.expression_basis[JAW_OPEN] + self.expression_basis[MOUTH_CLOSE])[self.lip_pairs]
        parted = torch.einsum("bpkij,pkj,pk->bpi", jacobians[:, self.lip_pairs], both, self.lip_weights)
        closing = torch.einsum("vp,bpi->bvi", self.lip_spread, parted)
        return moved.index_add(2, self.lips, weights[:, :, MOUTH_CLOSE, None, None] * closing[:, None])

    def _with_lids_on_eyeball(
        self, moved: Tensor, jacobians: Tensor, neutral: Tensor, joints: Tensor, weights: Tensor, side: int
    ) -> Tensor:
        """Lids close along one curve, and no shape drives them into the eyeball."""
        lids, shapes, rim = self.lids[side], self.lid_shapes[side], self.rim[side].flatten()
        centre = joints[:, 2 + side, None]
        rest = neutral[:, self.soft[lids]] - centre
        radius = (neutral[:, self.parts[EYES[side]].vertices] - centre).norm(dim=-1).amax(1)[:, None]

        drawn = _transported(jacobians[:, lids], self.expression_basis[shapes[:, None], lids][None])
        fitted = rest[:, None] + drawn
        closed = _closed_rim(rest[:, rim].unflatten(1, (3, -1)), self.closure[side], radius).flatten(1, 2)
        blink = glide(rest, rim, closed, self.lid_spread[side]) + drawn[:, 0] * self.lid_rest[side][:, None]
        fitted = torch.cat([blink[:, None], fitted[:, 1:]], 1)
        fitted = _clear_of_ball(rest[:, None], fitted, radius[:, None] + CLEARANCE)

        mix = weights[:, :, shapes]
        change = torch.einsum("bxs,bsri->bxri", mix, fitted - rest[:, None] - drawn)
        moved = moved.index_add(2, lids, change)

        lashes, anchors = self.lashes[side], self.lash_anchors[side]
        drawn = _transported(jacobians[:, lashes], self.expression_basis[shapes[:, None], lashes][None])
        place = (neutral[:, self.soft[lashes]] - centre)[:, None, :, None]
        carried = _turned_along(place, rest[:, None, anchors], fitted[:, :, anchors])
        carried = (carried * self.lash_weights[side][..., None]).sum(-2) - place[..., 0, :]
        return moved.index_add(2, lashes, torch.einsum("bxs,bsli->bxli", mix, carried - drawn))


def glide(
    points: Float[Tensor, "batch lid 3"],
    handles: Int[Tensor, " rim"],
    goals: Float[Tensor, "batch rim 3"],
    spread: Float[Tensor, "lid rim"],
) -> Float[Tensor, "batch lid 3"]:
    """Points about a ball at the origin that glide over it, in direction and height, as some go to their goals."""
    heights = points.norm(dim=-1, keepdim=True)
    directions = points / heights
    goal_heights = goals.norm(dim=-1, keepdim=True)
    turned = directions + spread @ (goals / goal_heights - directions[:, handles])
    lifted = heights + spread @ (goal_heights - heights[:, handles])
    return lifted * turned / turned.norm(dim=-1, keepdim=True)


def _transported(jacobians: Float[Tensor, "batch soft 3 3"], offsets: Float[Tensor, "#batch mix soft 3"]) -> Tensor:
    return (jacobians[:, None] @ offsets[..., None])[..., 0]


def _closed_rim(
    rim: Float[Tensor, "batch 3 ring 3"], closure: Float[Tensor, "ring ring"], radius: Float[Tensor, "batch 1"]
) -> Float[Tensor, "batch 3 ring 3"]:
    """The three rings of the lids' margin when closed, relative to the eyeball's centre: the innermost on one curve
    about the eyeball, the others in front of it at their own heights, so that upper and lower margin touch."""
    curve = closure @ rim[:, 0]
    directions = curve / curve.norm(dim=-1, keepdim=True)
    lift = _clear_radius(rim[:, 0], directions, radius + CLEARANCE).amax(1, keepdim=True)
    lift = torch.maximum(lift, radius + CLOSED_CLEARANCE)
    heights = rim.norm(dim=-1)
    return (lift[:, None] + (heights - heights[:, :1]).clamp(min=0))[..., None] * directions[:, None]


def _turned_along(
    points: Float[Tensor, "*#batch 3"], start: Float[Tensor, "*#batch 3"], end: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Points carried by a turn about the origin from `start` to `end`, and moved by the change of its length.

    Rodrigues' formula for the shortest turn: R x = x + a × x + a × (a × x) / (1 + cos), a the axis times the sine.
    """
    lengths = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    before, after = start / lengths[0], end / lengths[1]
    axis = torch.linalg.cross(*torch.broadcast_tensors(before, after))
    once = torch.linalg.cross(*torch.broadcast_tensors(axis, points))
    twice = torch.linalg.cross(axis.expand_as(once), once)
    cosine = (before * after).sum(-1, keepdim=True)
    return points + once + twice / (1 + cosine) + (lengths[1] - lengths[0]) * after


def _clear_of_ball(
    start: Float[Tensor, "*batch vertex 3"], end: Float[Tensor, "*batch vertex 3"], radius: Float[Tensor, "*batch 1"]
) -> Float[Tensor, "*batch vertex 3"]:
    """Ends lifted away from a ball at the origin until the straight ways towards them stay outside of it."""
    height = end.norm(dim=-1, keepdim=True)
    required = _clear_radius(start, end / height, radius)[..., None]
    return end * (required / height).clamp(min=1)


def _clear_radius(
    start: Float[Tensor, "*batch vertex 3"],
    direction: Float[Tensor, "*batch vertex 3"],
    radius: Float[Tensor, "*batch 1"],
) -> Float[Tensor, "*batch vertex"]:
    """How far out in a unit direction a straight way must end so as not to enter the ball: where the tangent from
    `start` ends, or on the ball where that direction lies before the tangent point."""
    cos_tangent = (radius / start.norm(dim=-1)).clamp(max=1 - 1e-6)
    sin_tangent = (1 - cos_tangent.square()).sqrt()
    unit = start / start.norm(dim=-1, keepdim=True)
    cos_way = (unit * direction).sum(-1)
    sin_way = (direction - cos_way[..., None] * unit).norm(dim=-1)
    beyond = (cos_way * cos_tangent + sin_way * sin_tangent).clamp(min=0.5)
    return torch.where(cos_way < cos_tangent, radius / beyond, radius.expand_as(cos_way))
