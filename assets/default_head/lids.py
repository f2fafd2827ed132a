"""Eyeballs, and the lids and lashes that glide over them."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assets.default_head.geometry import Ranges
from assets.default_head.skin import Skin
from assets.default_head.weights import harmonic, linear
from morphable import ARKIT_NAMES
from morphable.default_head import glide

SEAT = (5e-4, 8e-4, 1.3e-3)
"""Metres from the eyeball to the rings of the lids' margin at rest, from its inner edge outwards, at least."""
HELD = 2.5e-3
"""Metres: what of lids' margins and sockets lies closer to the eyeball on the mean head keeps its distance on all."""
DEVIATIONS = 5.0
"""Of the prior, up to which no skin comes nearer to the eyeball than the margin's inner edge."""
CORNEA = 6e-3
"""Metres from the front of an eyeball to where it is a sphere for sure."""
BLINK_REACH = (1.2, 1.6)
"""Radii of the eyeball from its centre at which skin begins to stay, and stays, as it is in a blink: brows do."""
LID_REACH = 0.009
"""Metres about the eyeball within which skin is kept off it."""
LID_SHAPE = 3e-4
"""Metres: shapes that move the lids less do not need to be kept off the eyeball."""
CLOSURE = 0.2
"""Where lids meet, from the lower (0) to the upper lid's place (1)."""
LIDS_WITH_GAZE = {"Up": (0.5, 0.1), "Down": (-0.6, -0.35)}
"""How far the upper and the lower lid turn with the eyeball, as shares of its turn."""
GAZE = np.radians(30.0)
"""How far eyeLook* at weight 1 turns an eyeball."""


def with_lids_seated(
    mean: Float[Tensor, "vertex 3"],
    modes: Float[Tensor, "identity vertex 3"],
    joints: Float[Tensor, "4 3"],
    joint_modes: Float[Tensor, "identity 4 3"],
    skin: Skin,
    ranges: Ranges,
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "identity vertex 3"]]:
    """The mean and the identity modes changed so that on every head the eyeballs are spheres about their joints and the
    lids' margins lie on them: SEAT is their least distance on the mean, and no mode changes it. Other skin stays
    outside of the margin's inner edge up to DEVIATIONS."""
    mean, modes = mean.clone(), modes.clone()
    whole = slice(0, len(skin.vertices))
    for side, rings in enumerate(skin.eye_rings):
        ball = slice(*ranges[("eye_left", "eye_right")[side]][0])
        centre, centre_modes = joints[2 + side], joint_modes[:, 2 + side, None]
        mean[ball] += centre - sphere_centre(mean[ball])
        away = mean[ball] - centre
        outwards = away / away.norm(dim=-1, keepdim=True)
        growth = ((modes[:, ball] - centre_modes) * outwards).sum(-1).mean(1)[:, None, None]
        modes[:, ball] = centre_modes + growth * outwards
        radius = away.norm(dim=-1).max()
        margin = {ring: gap for vertices, gap in zip(rings, SEAT, strict=False) for ring in vertices.tolist()}
        gap = torch.full((len(skin.vertices), 1), SEAT[0])
        gap[list(margin), 0] = torch.tensor(list(margin.values()))
        away = mean[whole] - centre
        distance = away.norm(dim=-1, keepdim=True)
        mean[whole] = centre + away * ((radius + gap) / distance).clamp(min=1)

        away = mean[whole] - centre
        height = away.norm(dim=-1) - radius
        outwards = torch.nn.functional.normalize(away, dim=-1)
        excess = ((modes[:, whole] - centre_modes) * outwards).sum(-1) - growth[..., 0]
        kept = ((height - SEAT[0]) / (DEVIATIONS * excess.square().sum(0).sqrt())).clamp(0, 1)
        held = torch.as_tensor(np.unique(np.concatenate([skin.sockets, *rings[: len(SEAT)]])))
        kept[held[height[held] < HELD]] = 0
        modes[:, whole] -= ((1 - kept) * excess)[..., None] * outwards
    return mean, modes


def around_eyeballs(skin: Skin, balls: list[Float[np.ndarray, "vertex 3"]]) -> list[Int[np.ndarray, " lid"]]:
    """The skin near each eyeball: as many vertices on both sides."""
    away = [np.linalg.norm(skin.vertices - ball.mean(0), axis=1) - _radius(ball) for ball in balls]
    for distance in away:
        distance[skin.sockets] = np.inf
    count = min((distance < LID_REACH).sum() for distance in away)
    return [np.sort(np.argsort(distance, kind="stable")[:count]) for distance in away]


def near_eyeball(
    vertices: Float[np.ndarray, "vertex 3"], touching: Float[np.ndarray, "point 3"], centre: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " vertex"]:
    """1 around an eyeball on whose surface the points `touching` lie, falling smoothly to 0 over BLINK_REACH."""
    distance = np.linalg.norm(vertices - centre, axis=1) / np.linalg.norm(touching - centre, axis=1).mean()
    near, far = BLINK_REACH
    share = ((far - distance) / (far - near)).clip(0, 1)
    return share * share * (3 - 2 * share)


def sphere_centre(ball: Float[Tensor, "vertex 3"]) -> Float[Tensor, "3"]:
    """Of the sphere through an eyeball's vertices behind the cornea, in the least-squares sense."""
    back = ball[ball[:, 2] < ball[:, 2].max() - CORNEA].double()
    system = torch.cat([2 * back, torch.ones(len(back), 1).double()], 1)
    return torch.linalg.lstsq(system, back.square().sum(1, keepdim=True)).solution[:3, 0].to(ball)


def lid_buffers(
    skin: Skin,
    lids: list[Int[np.ndarray, " lid"]],
    eyes: Float[np.ndarray, "2 3"],
    basis: Float[np.ndarray, "52 vertex 3"],
    lashes: Int[np.ndarray, " lash"],
    mean: Float[np.ndarray, "vertex 3"],
    place: Int[np.ndarray, " vertex"],
) -> dict[str, np.ndarray]:
    """Buffers of `DefaultHead` about both eyes.

    Args:
        lids: the skin near each eyeball.
        eyes: the eyeballs' centres.
        lashes: vertices of both eyes' lashes.
        place: of each vertex among the soft ones.
    """
    closure, rim, spread, moved, lash, anchors, lash_weights = [], [], [], [], [], [], []
    for vertices, rings, centre in zip(lids, skin.eye_rings, eyes, strict=True):
        where = {vertex: i for i, vertex in enumerate(vertices)}
        margin = rings[:3]
        rim.append([[where[v] for v in ring] for ring in margin])
        closure.append(_closure(skin.vertices[rings[0]]))
        stays = near_eyeball(skin.vertices[vertices], skin.vertices[rings[0]], centre)
        spread.append(harmonic(skin, vertices, margin.ravel()) * stays[:, None])
        moved.append(np.linalg.norm(basis[:, rings[:4].ravel()], axis=-1).max(1))
        own = lashes[mean[lashes, 0] * skin.vertices[rings[0], 0].mean() > 0]
        carriers, shares = _on_loop(mean[own] - centre, skin.vertices[rings[2]] - centre)
        lash.append(own)
        anchors.append([[where[v] for v in pair] for pair in rings[2][carriers]])
        lash_weights.append(shares)
    count = max((most > LID_SHAPE).sum() for most in moved)
    chosen = [np.argsort(-most, kind="stable")[:count] for most in moved]
    for side, order in zip(("Left", "Right"), chosen, strict=True):
        blink = ARKIT_NAMES.index(f"eyeBlink{side}")
        order[:] = [blink, *order[order != blink][: count - 1]]
    return {
        "lids": place[np.array(lids)],
        "lid_shapes": np.array(chosen),
        "rim": np.array(rim),
        "closure": np.array(closure),
        "lid_spread": np.array(spread),
        "lid_rest": 1 - np.array(spread).sum(-1).clip(0, 1),
        "lashes": place[np.array(lash)],
        "lash_anchors": np.array(anchors),
        "lash_weights": np.array(lash_weights),
    }


def follow_gaze(
    basis: Float[Tensor, "52 vertex 3"],
    mean: Float[Tensor, "vertex 3"],
    centre: Float[Tensor, "3"],
    lids: Int[np.ndarray, " lid"],
    buffers: dict[str, np.ndarray],
    side: int,
) -> None:
    """Lids rise and fall with the eyeball as it looks up and down (Evinger et al. 1991); in place."""
    rim = buffers["rim"][side]
    columns = rim.shape[1]
    upper = np.arange(columns) <= columns // 2
    along = np.r_[np.linspace(0, 1, columns // 2 + 1), np.linspace(1, 0, columns - columns // 2 + 1)[1:-1]]
    rest = (mean[lids] - centre)[None]
    handles = torch.as_tensor(rim.ravel())
    spread = torch.as_tensor(buffers["lid_spread"][side], dtype=mean.dtype)
    kept = torch.as_tensor(buffers["lid_rest"][side], dtype=mean.dtype)[:, None]
    for direction, (share_upper, share_lower) in LIDS_WITH_GAZE.items():
        shape = ARKIT_NAMES.index(f"eyeLook{direction}{('Left', 'Right')[side]}")
        angle = GAZE * np.sin(np.pi * along) * np.where(upper, share_upper, share_lower)
        angle = torch.as_tensor(np.tile(angle, 3), dtype=mean.dtype)
        x, y, z = rest[:, handles].unbind(-1)
        goals = torch.stack([x, angle.cos() * y + angle.sin() * z, angle.cos() * z - angle.sin() * y], -1)
        basis[shape, lids] = kept * basis[shape, lids] + (glide(rest, handles, goals, spread) - rest)[0]


def carry_lashes(
    basis: Float[Tensor, "52 vertex 3"],
    soft: Int[np.ndarray, " soft"],
    lids: Int[np.ndarray, " lid"],
    buffers: dict[str, np.ndarray],
    side: int,
) -> None:
    """Lashes move as the places of the lids' margin that bear them; in place."""
    anchors = basis[:, lids[buffers["lash_anchors"][side]]]
    shares = torch.as_tensor(buffers["lash_weights"][side], dtype=basis.dtype)
    basis[:, soft[buffers["lashes"][side]]] = (anchors * shares[..., None]).sum(-2)


def gaze_turns(side: str, outwards: int) -> Float[np.ndarray, "52 3 3"]:
    """The eyeball's rotation, less the identity, in each shape. `outwards`: the sign of x away from the nose."""
    turns = np.zeros((len(ARKIT_NAMES), 3, 3))
    for direction, axis in {"Up": (-1, 0), "Down": (1, 0), "In": (0, -outwards), "Out": (0, outwards)}.items():
        c, s = np.cos(GAZE), np.sin(GAZE)
        about_x, about_y = axis
        pitch = np.array([[1, 0, 0], [0, c, -s * about_x], [0, s * about_x, c]])
        yaw = np.array([[c, 0, s * about_y], [0, 1, 0], [-s * about_y, 0, c]])
        turns[ARKIT_NAMES.index(f"eyeLook{direction}{side}")] = (pitch if about_x else yaw) - np.eye(3)
    return turns


def _radius(ball: Float[np.ndarray, "vertex 3"]) -> float:
    return float(np.linalg.norm(ball - ball.mean(0), axis=1).max())


def _on_loop(
    points: Float[np.ndarray, "point 3"], loop: Float[np.ndarray, "column 3"]
) -> tuple[Int[np.ndarray, "point 2"], Float[np.ndarray, "point 2"]]:
    """(n, 2) ends of the loop's edge that lies nearest in direction from the origin, and their shares."""
    points, start = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (points, loop))
    along = np.roll(start, -1, 0) - start
    share = ((points[:, None] - start) * along).sum(-1) / (along**2).sum(-1)
    share = share.clip(0, 1)
    away = np.linalg.norm(points[:, None] - start - share[..., None] * along, axis=-1)
    edge = away.argmin(1)
    share = share[np.arange(len(points)), edge]
    return np.stack([edge, (edge + 1) % len(loop)], 1), np.stack([1 - share, share], 1)


def _closure(ring: Float[np.ndarray, "column 3"]) -> Float[np.ndarray, "column column"]:
    """Closed places of the ring's vertices as weighted means of the open ones. A vertex of the upper lid and its
    counterpart of the lower share one place, half way between their own along the fissure."""
    half = len(ring) // 2
    upper, lower = np.arange(half + 1), np.r_[0, np.arange(len(ring) - 1, half - 1, -1)]
    at = [_arc_length(ring[side]) for side in (upper, lower)]
    shared = (at[0] + at[1]) / 2
    on_upper, on_lower = (linear(shared, own) for own in at)
    meeting = np.zeros((half + 1, len(ring)))
    for rows, side, share in ((on_upper, upper, CLOSURE), (on_lower, lower, 1 - CLOSURE)):
        meeting[:, side] += share * rows
    closure = np.zeros((len(ring), len(ring)))
    closure[upper] = meeting
    closure[lower] = meeting
    return closure


def _arc_length(points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, " point"]:
    """From 0 to 1 along a polyline."""
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    return length / length[-1]
