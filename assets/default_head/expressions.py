"""What the default head needs to fit ARKit's shapes to each identity: see `morphable.default_head`.

Everything is found on the mean head and written as indices and constant weights.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg
import torch
import trimesh
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from assets.default_head.makehuman import BaseMesh
from morphable import ARKIT_NAMES
from morphable.default_head import glide

MOVES = 2e-5
"""Metres: vertices that no shape moves further are left out."""
DIFFUSION, PUFF_DIFFUSION = 4e-3, 14e-3
"""Metres over which the offsets as drawn are smoothed, and those of cheekPuff, whose cheeks are lumpy."""
PUFF_HEIGHT = 0.013
"""Metres by which cheekPuff blows up the cheeks where they bulge most."""
PROBES, NEIGHBOURS, REACH = 300, 24, 0.018
"""Vertices all over the skin whose displacements tell how it stretches; how many of them tell it at any one vertex, and
with which standard deviation in metres."""
STIFFNESS = 0.05
"""Pull of a Jacobian towards the identity, as a share of its neighbourhood's spread."""
CHEEK_PUFF, JAW_OPEN, TONGUE_OUT = (ARKIT_NAMES.index(name) for name in ("cheekPuff", "jawOpen", "tongueOut"))
DAMPED = {
    **{"mouthRollUpper": 0.5, "jawForward": 0.6, "jawLeft": 0.8, "jawRight": 0.8, "mouthDimpleLeft": 0.85},
    **{"mouthDimpleRight": 0.85, "mouthSmileLeft": 0.9, "mouthSmileRight": 0.9},
}
"""How much is left of shapes whose whole way would press the lips through the teeth."""
TONGUE_OUT_JAW = 0.3
"""The part of jawOpen that makes room for the tongue."""
TONGUE_SINK = (0.015, 0.004)
"""Metres by which the tongue's root and its tip sink as the jaw opens: it lies down on the floor of the mouth."""
BLINK_REACH = (1.2, 1.6)
"""Radii of the eyeball from its centre at which skin begins to stay, and stays, as it is in a blink: brows do."""
TONGUE_LENGTH, TONGUE_LIFT, TONGUE_DROP = 0.016, 0.010, 0.008
"""Metres by which the tip comes out of the lips, the tongue rises to pass over the lower teeth, and the tip hangs."""
CLOSED_MOUTH = (
    *("brow", "cheek", "eye", "nose", "jawForward", "jawLeft", "jawRight", "mouthDimple", "mouthFrown", "mouthLeft"),
    *("mouthPress", "mouthPucker", "mouthRight", "mouthRoll", "mouthShrugLower", "mouthSmile", "mouthStretch"),
)
"""Beginnings of the names of shapes that leave a closed mouth closed."""
LIDS_WITH_GAZE = {"Up": (0.5, 0.1), "Down": (-0.6, -0.35)}
"""How far the upper and the lower lid turn with the eyeball, as shares of its turn."""
GAZE = np.radians(30.0)
"""How far eyeLook* at weight 1 turns an eyeball."""
RINGS = 4
"""Of vertices around an eye that are looked for."""
CORNEA = 6e-3
"""Metres from the front of an eyeball to where it is a sphere for sure."""
SEAT = (5e-4, 8e-4, 1.3e-3)
"""Metres from the eyeball to the rings of the lids' margin at rest, from its inner edge outwards, at least."""
HELD = 2.5e-3
"""Metres: what of lids' margins and sockets lies closer to the eyeball on the mean head keeps its distance on all."""
DEVIATIONS = 5.0
"""Of the prior, up to which no skin comes nearer to the eyeball than the margin's inner edge."""
JAW_SHAPES = ("jawForward", "jawLeft", "jawOpen", "jawRight")
TEETH_REACH = 0.006
"""Standard deviation in metres of the distance over which skin holds the teeth behind it."""
LINING_REACH, LINING_DEPTH = 0.004, 0.006
"""Metres over which skin carries the mouth's lining, and from the lips' inner edge to where it does so fully."""
LID_REACH = 0.009
"""Metres about the eyeball within which skin is kept off it."""
LID_SHAPE = 3e-4
"""Metres: shapes that move the lids less do not need to be kept off the eyeball."""
CLOSURE = 0.2
"""Where lids meet, from the lower (0) to the upper lid's place (1)."""
LIP_CONTACT = 1.5e-3
"""Metres: lips this close to each other touch."""
TOUCH = 5e-5
"""Metres between touching lips."""
LIP_COLUMN = 3e-3
"""Metres between contacts along the mouth."""
LIP_DEPTH = 0.012
"""Metres over the skin from the mouth's loop to where lips may touch."""
LIP_REACH = 0.03
"""Metres around the mouth within which skin follows closing lips."""
LOWER_LIP_SHARE = 0.8
"""Of the way that lips make towards each other when the mouth closes, the lower lip's part."""


@dataclass(frozen=True)
class Skin:
    """The mean head's skin.

    Attributes:
        vertices: metres.
        triangles: in the model's index space, in which the skin comes first.
        eye_rings: for the left and the right eye, rings of vertices from the lids' inner edge outwards; column 0 is the
            inner corner, then follow the upper lid, the outer corner half way, and the lower lid backwards.
        sockets: the lining of the eye sockets, behind the lids.
        mouth: the loop where the lips' skin ends inside the mouth.
        mouth_lining: what lies behind it, the loop included.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    eye_rings: tuple[Int[np.ndarray, "ring column"], Int[np.ndarray, "ring column"]]
    sockets: Int[np.ndarray, " vertex"]
    mouth: Int[np.ndarray, " loop"]
    mouth_lining: Int[np.ndarray, " vertex"]


@dataclass(frozen=True)
class LipContacts:
    """Where the lips touch.

    Attributes:
        pairs, weights: a vertex of the upper lip and three of the lower, and weights whose weighted sum is the gap.
        vertices: those that move when the lips close.
        spread: how they move for each unit of gap that is to be closed.
    """

    pairs: Int[np.ndarray, "contact 4"]
    weights: Float[np.ndarray, "contact 4"]
    vertices: Int[np.ndarray, " vertex"]
    spread: Float[np.ndarray, "vertex contact"]


def find_skin(vertices: Tensor, triangles: np.ndarray, base: BaseMesh, number: np.ndarray) -> Skin:
    """Args:
    number: the skin's vertex that each of the base mesh's vertices is; -1 where it is none.
    """
    body = base.groups == "body"
    next_to = _neighbours(base.quads[body])
    rings = []
    for side in "LR":
        edge, outside = _edge(base, f"eye_cavity.{side}")
        first = min(edge, key=lambda v: abs(base.vertices[v, 0]))
        loop = _loop(first, max(next_to[first] & edge, key=lambda v: base.vertices[v, 1]), edge, next_to)
        rings.append(number[_grown(loop, outside, next_to)])
    edge, _ = _edge(base, "mouth_cavity")
    mouth = number[_loop(min(edge), min(next_to[min(edge)] & edge), edge, next_to)]
    lining = number[np.unique(base.quads[body & (base.labels == "mouth_cavity")])]
    cavities = number[np.unique(base.quads[body & np.char.startswith(base.labels, "eye_cavity")])]
    sockets = np.setdiff1d(cavities[cavities >= 0], np.stack(rings)[:, 0])
    return Skin(vertices.numpy(), triangles, (rings[0], rings[1]), sockets, mouth, lining)


def _edge(base: BaseMesh, label: str) -> tuple[set[int], set[int]]:
    """Vertices where a labelled piece of the body ends, and those that are not inside of it."""
    body, inside = base.groups == "body", base.labels == label
    within, without = (set(np.unique(base.quads[body & mask]).tolist()) for mask in (inside, ~inside))
    return within & without, without


def _neighbours(quads: np.ndarray) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for one, other in zip(quads.ravel().tolist(), np.roll(quads, -1, 1).ravel().tolist(), strict=True):
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return found


def _loop(first: int, second: int, edge: set[int], next_to: dict[int, set[int]]) -> np.ndarray:
    loop = [first, second]
    while len(loop) < len(edge):
        loop.append(next(v for v in next_to[loop[-1]] & edge if v not in loop))
    return np.array(loop)


def _grown(loop: np.ndarray, within: set[int], next_to: dict[int, set[int]]) -> np.ndarray:
    """The loop and the RINGS - 1 loops that follow it on a grid of vertices."""
    rings, used = [loop.tolist()], set(loop.tolist())
    while len(rings) < RINGS:
        rings.append([((next_to[vertex] & within) - used).pop() for vertex in rings[-1]])
        used |= set(rings[-1])
    return np.array(rings)


def with_lids_seated(
    mean: Tensor, modes: Tensor, joints: Tensor, joint_modes: Tensor, skin: Skin, ranges: dict
) -> tuple[Tensor, Tensor]:
    """The mean and the identity modes changed so that on every head the eyeballs are spheres about their joints and the
    lids' margins lie on them: SEAT is their least distance on the mean, and no mode changes it. Other skin stays
    outside of the margin's inner edge up to DEVIATIONS."""
    mean, modes = mean.clone(), modes.clone()
    for side, rings in enumerate(skin.eye_rings):
        ball = slice(*ranges[("eye_left", "eye_right")[side]][0])
        centre, centre_modes = joints[2 + side], joint_modes[:, 2 + side, None]
        mean[ball] += centre - _sphere_centre(mean[ball])
        away = mean[ball] - centre
        outwards = away / away.norm(dim=-1, keepdim=True)
        growth = ((modes[:, ball] - centre_modes) * outwards).sum(-1).mean(1)[:, None, None]
        modes[:, ball] = centre_modes + growth * outwards
        radius = away.norm(dim=-1).max()
        margin = {ring: gap for vertices, gap in zip(rings, SEAT, strict=False) for ring in vertices.tolist()}
        everywhere = torch.arange(len(skin.vertices))
        gap = torch.full((len(everywhere), 1), SEAT[0])
        gap[list(margin), 0] = torch.tensor(list(margin.values()))
        away = mean[everywhere] - centre
        distance = away.norm(dim=-1, keepdim=True)
        mean[everywhere] = centre + away * ((radius + gap) / distance).clamp(min=1)

        away = mean[everywhere] - centre
        height = away.norm(dim=-1) - radius
        outwards = torch.nn.functional.normalize(away, dim=-1)
        excess = ((modes[:, everywhere] - centre_modes) * outwards).sum(-1) - growth[..., 0]
        kept = ((height - SEAT[0]) / (DEVIATIONS * excess.square().sum(0).sqrt())).clamp(0, 1)
        held = torch.as_tensor(np.unique(np.concatenate([skin.sockets, *rings[: len(SEAT)]])))
        kept[held[height[held] < HELD]] = 0
        modes[:, everywhere] -= ((1 - kept) * excess)[..., None] * outwards
    return mean, modes


def with_teeth_held(mean: Tensor, modes: Tensor, skin: Skin, ranges: dict) -> Tensor:
    """The identity modes changed so that on every head teeth and tongue keep their place behind the skin before them:
    each arch follows its position, turn and size, and the lower one takes the tongue along.

    A mode's displacement of that skin is fitted by an infinitesimal similarity u = t + ω × x + s x, by least squares
    with Gaussian weights of the distance from the arch.
    """
    modes = modes.clone()
    for names in (("teeth_upper",), ("teeth_lower", "tongue")):
        arch = mean[slice(*ranges[names[0]][0])]
        away, _ = cKDTree(arch.numpy()).query(skin.vertices)
        away[skin.mouth_lining] = np.inf
        before = (away < 3 * TEETH_REACH) & (skin.vertices[:, 2] > float(arch[:, 2].mean()))
        chosen, middle = np.flatnonzero(before), arch.mean(0)
        weight = torch.as_tensor(np.exp(-0.25 * (away[chosen] / TEETH_REACH) ** 2), dtype=mean.dtype)[:, None]
        motions, seen = weight * _similarities(mean[chosen] - middle), weight * modes[:, chosen]
        fit = torch.linalg.lstsq(motions.flatten(1).mT, seen.flatten(1).mT).solution
        for name in names:
            held = slice(*ranges[name][0])
            modes[:, held] = torch.tensordot(fit.mT, _similarities(mean[held] - middle), 1)
    return modes


def with_mouth_lined(mean: Tensor, modes: Tensor, skin: Skin) -> Tensor:
    """The identity modes changed so that the mouth's lining keeps behind the skin before it on every head; towards the
    loop at which the lips end, it goes with them as it did."""
    outside = np.setdiff1d(np.arange(len(skin.vertices)), skin.mouth_lining)
    lining = skin.vertices[skin.mouth_lining]
    away = np.linalg.norm(lining[:, None] - skin.vertices[outside], axis=2)
    near = np.exp(-(away - away.min(1, keepdims=True)) / LINING_REACH)
    followed = torch.as_tensor(near / near.sum(1, keepdims=True), dtype=modes.dtype) @ modes[:, outside]
    deep = cKDTree(skin.vertices[skin.mouth]).query(lining)[0] / LINING_DEPTH
    share = torch.as_tensor(np.clip(deep, 0, 1), dtype=modes.dtype)[:, None]
    modes = modes.clone()
    modes[:, skin.mouth_lining] = torch.lerp(modes[:, skin.mouth_lining], followed, share)
    return modes


def _similarities(points: Float[Tensor, "point 3"]) -> Float[Tensor, "7 point 3"]:
    """Velocities of points under shifts along the axes, turns about them, and growth."""
    axes = torch.eye(3)[:, None].expand(-1, len(points), -1)
    turns = torch.linalg.cross(axes, points.expand(3, -1, -1))
    return torch.cat([axes, turns, points[None]])


def _sphere_centre(ball: Float[Tensor, "vertex 3"]) -> Float[Tensor, "3"]:
    """Of the sphere through an eyeball's vertices behind the cornea, in the least-squares sense."""
    back = ball[ball[:, 2] < ball[:, 2].max() - CORNEA].double()
    system = torch.cat([2 * back, torch.ones(len(back), 1).double()], 1)
    return torch.linalg.lstsq(system, back.square().sum(1, keepdim=True)).solution[:3, 0].to(ball)


def fitted_expressions(
    drawn: Float[Tensor, "52 vertex 3"],
    template: Float[Tensor, "vertex 3"],
    mean: Float[Tensor, "vertex 3"],
    joints: Float[Tensor, "4 3"],
    skin: Skin,
    contacts: LipContacts,
    ranges: dict,
) -> dict[str, Tensor]:
    """Buffers of `DefaultHead`, from the shapes as drawn for MakeHuman's template."""
    soft_shapes = torch.zeros_like(drawn)
    whole = slice(0, len(skin.vertices))
    soft_shapes[:, whole] = _smoothed(drawn[:, whole], skin, DIFFUSION)
    inside = template[slice(*ranges["tongue"][0])].mean(0)
    soft_shapes[CHEEK_PUFF, whole] = _blown_up(drawn[CHEEK_PUFF, whole], template[whole] - inside, skin)
    soft_shapes[:, skin.sockets] = 0
    for name, share in DAMPED.items():
        soft_shapes[ARKIT_NAMES.index(name)] *= share
    for side in ("left", "right"):
        ball = template[slice(*ranges[f"eye_{side}"][0])].numpy()
        stays = _near_eyeball(template.numpy(), ball, _sphere_centre(torch.as_tensor(ball)).numpy())
        soft_shapes[ARKIT_NAMES.index(f"eyeBlink{side.capitalize()}")] *= torch.as_tensor(stays)[:, None]
    tongue = slice(*ranges["tongue"][0])

    soft = np.flatnonzero((soft_shapes.norm(dim=-1) > MOVES).any(0).numpy())
    lids = _around_eyeballs(skin, [mean[slice(*ranges[name][0])].numpy() for name in ("eye_left", "eye_right")])
    lashes = np.arange(*ranges["lashes"][0])
    soft = np.unique(np.concatenate([soft, *lids, lashes, contacts.vertices, np.arange(tongue.start, tongue.stop)]))
    probes = _spread_out(skin.vertices, PROBES)
    neighbours, on_template = _gradients(template.numpy(), soft, probes)
    jacobians = np.eye(3) + np.einsum("mki,mkj->mij", (mean - template).numpy()[neighbours], on_template)
    basis = torch.zeros_like(drawn)
    basis[:, soft] = torch.einsum("mij,emj->emi", torch.as_tensor(jacobians, dtype=drawn.dtype), soft_shapes[:, soft])
    _keep_lips_together(basis, contacts)
    basis[TONGUE_OUT] += TONGUE_OUT_JAW * basis[JAW_OPEN]
    basis[JAW_OPEN, tongue, 1] -= _tongue_sinking(mean[tongue])
    basis[TONGUE_OUT, tongue] = _tongue_out(mean[tongue], float(skin.vertices[contacts.pairs, 2].max()))
    neighbours, gradients = _gradients(mean.numpy(), soft, probes)

    place = np.full(len(mean), -1)
    place[soft] = np.arange(len(soft))
    lower = slice(*ranges["teeth_lower"][0])
    jaw_shapes, jaw, hinge = _jaw(drawn, template, skin, lower)
    fit = _lids(skin, lids, joints[2:].numpy(), basis.numpy(), lashes, mean.numpy(), place)
    for eye in range(2):
        _follow_gaze(basis, skin.eye_rings[eye], mean, joints[2 + eye], soft, fit, lids[eye], eye)
        carriers = basis[:, lids[eye][fit["lash_anchors"][eye]]]
        shares = torch.as_tensor(fit["lash_weights"][eye], dtype=basis.dtype)
        basis[:, soft[fit["lashes"][eye]]] = (carriers * shares[..., None]).sum(-2)
    buffers = {
        "expression_basis": basis[:, soft].half(),
        "soft": soft,
        "neighbours": neighbours,
        "gradients": gradients,
        "gaze": np.stack([_gaze("Left", 1), _gaze("Right", -1)]),
        "jaw_shapes": jaw_shapes,
        "jaw": jaw,
        "chin": place[_chin(skin, mean[lower].numpy())],
        "hinge": hinge,
        **fit,
        "lip_pairs": place[contacts.pairs],
        "lip_weights": contacts.weights,
        "lips": place[contacts.vertices],
        "lip_spread": contacts.spread,
    }
    return {key: _as_tensor(value) for key, value in buffers.items()}


def with_lips_closed(mean: Tensor, modes: Tensor, contacts: LipContacts) -> tuple[Tensor, Tensor]:
    """The mean and the identity modes changed so that lips touch at rest on every head: contacts that are further
    apart than TOUCH on the mean close, and no mode moves the two sides of a contact apart."""
    pairs, weights = torch.as_tensor(contacts.pairs), torch.as_tensor(contacts.weights, dtype=mean.dtype)
    spread = torch.as_tensor(contacts.spread, dtype=mean.dtype)
    mean, modes = mean.clone(), modes.clone()
    gap = torch.einsum("pki,pk->pi", mean[pairs], weights)
    mean[contacts.vertices] += spread @ (gap * (1 - TOUCH / gap.norm(dim=-1, keepdim=True)).clamp(min=0))
    modes[:, contacts.vertices] += spread @ torch.einsum("mpki,pk->mpi", modes[:, pairs], weights)
    return mean, modes


def _blown_up(
    drawn: Float[Tensor, "skin 3"], from_inside: Float[Tensor, "skin 3"], skin: Skin
) -> Float[Tensor, "skin 3"]:
    """A smooth bulge where offsets are drawn: outwards from the middle of the mouth, as air presses."""
    outwards = torch.nn.functional.normalize(from_inside, dim=-1)
    bulge = _smoothed((drawn.norm(dim=-1, keepdim=True) * outwards)[None], skin, PUFF_DIFFUSION)[0]
    return bulge * (PUFF_HEIGHT / bulge.norm(dim=-1).max())


def _smoothed(offsets: Float[Tensor, "shape skin 3"], skin: Skin, over: float) -> Float[Tensor, "shape skin 3"]:
    """Offsets diffused over the skin, by one implicit step (Desbrun et al. 1999): MakeHuman's have creases and spikes
    that its own subdivision hides."""
    stiffness, mass = _laplacian(skin)
    solve = scipy.sparse.linalg.factorized((scipy.sparse.diags(mass) + over**2 * stiffness).tocsc())
    columns = offsets.permute(1, 0, 2).flatten(1).numpy().astype(float)
    smooth = solve(mass[:, None] * columns).reshape(len(mass), len(offsets), 3)
    return torch.as_tensor(smooth.transpose(1, 0, 2), dtype=offsets.dtype)


def _as_tensor(value: np.ndarray | Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.as_tensor(value, dtype=torch.float32 if value.dtype.kind == "f" else torch.int32)


def _gradients(vertices: np.ndarray, soft: np.ndarray, probes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) neighbours among the probes, and (m, k, 3) weights g so that Σ displacement ⊗ g is the gradient of the
    displacement: a regularised least-squares fit with Gaussian weights (moving least squares, Levin 1998)."""
    near = probes[cKDTree(vertices[probes]).query(vertices[soft], NEIGHBOURS)[1]]
    away = vertices[near] - vertices[soft, None]
    weight = np.exp(-0.5 * (away**2).sum(-1) / REACH**2)
    weight /= weight.sum(1, keepdims=True)
    away -= (weight[..., None] * away).sum(1, keepdims=True)
    spread = np.einsum("mk,mki,mkj->mij", weight, away, away)
    stiffness = STIFFNESS * np.trace(spread, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    return near, np.einsum("mk,mki,mij->mkj", weight, away, np.linalg.inv(spread + stiffness))


def _spread_out(vertices: np.ndarray, count: int) -> np.ndarray:
    """Indices of vertices as far from each other as can be (farthest-point sampling, Gonzalez 1985)."""
    chosen = [int(vertices[:, 2].argmax())]
    away = np.full(len(vertices), np.inf)
    while len(chosen) < count:
        away = np.minimum(away, np.linalg.norm(vertices - vertices[chosen[-1]], axis=1))
        chosen.append(int(away.argmax()))
    return np.array(chosen)


def _gaze(side: str, outwards: int) -> np.ndarray:
    turns = np.zeros((len(ARKIT_NAMES), 3, 3))
    for direction, axis in {"Up": (-1, 0), "Down": (1, 0), "In": (0, -outwards), "Out": (0, outwards)}.items():
        c, s = np.cos(GAZE), np.sin(GAZE)
        about_x, about_y = axis
        pitch = np.array([[1, 0, 0], [0, c, -s * about_x], [0, s * about_x, c]])
        yaw = np.array([[c, 0, s * about_y], [0, 1, 0], [-s * about_y, 0, c]])
        turns[ARKIT_NAMES.index(f"eyeLook{direction}{side}")] = (pitch if about_x else yaw) - np.eye(3)
    return turns


def _jaw(drawn: Tensor, template: Tensor, skin: Skin, teeth: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The shapes that move the jaw, how they turn it (less the identity), and the skin's vertices over its hinge."""
    rest = template[teeth].numpy().astype(float)
    motions = {}
    for name in JAW_SHAPES:
        turn, shift = _rigid(rest, rest + drawn[ARKIT_NAMES.index(name), teeth].numpy())
        motions[name] = turn - np.eye(3), shift
    turn, shift = motions["jawOpen"]
    pivot = np.linalg.lstsq(turn[1:, 1:], -shift[1:], rcond=None)[0]
    outer = template.numpy()[: len(skin.vertices)]
    hinge = []
    for side in (1, -1):
        away = np.abs(outer[:, 1:] - pivot).max(1) + np.where(outer[:, 0] * side > 0.05, 0, 1)
        hinge.append(int(away.argmin()))
    turns = [TONGUE_OUT_JAW * motions["jawOpen"][0], *(DAMPED.get(name, 1.0) * motions[name][0] for name in JAW_SHAPES)]
    return np.array([TONGUE_OUT, *map(ARKIT_NAMES.index, JAW_SHAPES)]), np.stack(turns), np.array(hinge)


def _chin(skin: Skin, teeth: np.ndarray) -> np.ndarray:
    """The skin's vertices straight before the lower front teeth and their gum."""
    gum = teeth[(np.abs(teeth[:, 0]) < 0.01) & (teeth[:, 2] > teeth[:, 2].max() - 0.01)]
    low, high = gum[:, 1].min(), gum[:, 1].max()
    x, y, z = skin.vertices.T
    return np.flatnonzero((np.abs(x) < 0.012) & (y > low - 0.006) & (y < high) & (z > gum[:, 2].max() - 0.002))


def _rigid(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation from source to target in the least-squares sense (Kabsch 1976)."""
    a, b = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((target - b).T @ (source - a))
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return turn, b - turn @ a


def _keep_lips_together(basis: Float[Tensor, "52 vertex 3"], contacts: LipContacts) -> None:
    """Shapes of a closed mouth neither open it nor push one lip into the other; in place."""
    shapes = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(CLOSED_MOUTH)]
    pairs, weights = torch.as_tensor(contacts.pairs), torch.as_tensor(contacts.weights, dtype=basis.dtype)
    gap = torch.einsum("epk,pk->ep", basis[shapes][:, pairs, 1], weights)
    closing = gap @ torch.as_tensor(contacts.spread, dtype=basis.dtype).T
    basis[np.ix_(np.array(shapes), contacts.vertices, np.array([1]))] += closing[..., None]


def _near_eyeball(vertices: np.ndarray, touching: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """1 around an eyeball on whose surface the points `touching` lie, falling smoothly to 0 over BLINK_REACH."""
    distance = np.linalg.norm(vertices - centre, axis=1) / np.linalg.norm(touching - centre, axis=1).mean()
    near, far = BLINK_REACH
    share = ((far - distance) / (far - near)).clip(0, 1)
    return share * share * (3 - 2 * share)


def _tongue_sinking(tongue: Float[Tensor, "vertex 3"]) -> Float[Tensor, " vertex"]:
    root, tip = TONGUE_SINK
    return root + (tip - root) * _along(tongue) ** 3


def _tongue_out(tongue: Float[Tensor, "vertex 3"], lips: float) -> Float[Tensor, "vertex 3"]:
    """Offsets that lift the tongue's front over the teeth and past the lips, flatten it and let its tip hang."""
    along = _along(tongue)
    moving = along**2 * (3 - 2 * along)
    middle = tongue[:, 1].mean() + 0.6 * (tongue[:, 1] - tongue[:, 1].mean())
    offsets = torch.zeros_like(tongue)
    offsets[:, 1] = moving * (TONGUE_LIFT + middle - tongue[:, 1]) - TONGUE_DROP * along**6
    offsets[:, 2] = moving * (lips + TONGUE_LENGTH - tongue[:, 2].max())
    return offsets


def _along(tongue: Float[Tensor, "vertex 3"]) -> Float[Tensor, " vertex"]:
    """From 0 at the tongue's root to 1 at its tip."""
    back, front = tongue[:, 2].aminmax()
    return (tongue[:, 2] - back) / (front - back)


def _follow_gaze(basis, rings, mean, centre, soft, fit, lids, side: int) -> None:
    """Lids rise and fall with the eyeball as it looks up and down (Evinger et al. 1991); in place."""
    columns = rings.shape[1]
    upper = np.arange(columns) <= columns // 2
    along = np.r_[np.linspace(0, 1, columns // 2 + 1), np.linspace(1, 0, columns - columns // 2 + 1)[1:-1]]
    rest = (mean[lids] - centre)[None]
    handles = torch.as_tensor(fit["rim"][side].ravel())
    spread = torch.as_tensor(fit["lid_spread"][side], dtype=mean.dtype)
    for direction, (share_upper, share_lower) in LIDS_WITH_GAZE.items():
        shape = ARKIT_NAMES.index(f"eyeLook{direction}{('Left', 'Right')[side]}")
        angle = GAZE * np.sin(np.pi * along) * np.where(upper, share_upper, share_lower)
        angle = torch.as_tensor(np.tile(angle, 3), dtype=mean.dtype)
        x, y, z = rest[:, handles].unbind(-1)
        goals = torch.stack([x, angle.cos() * y + angle.sin() * z, angle.cos() * z - angle.sin() * y], -1)
        kept = torch.as_tensor(fit["lid_rest"][side], dtype=mean.dtype)[:, None]
        basis[shape, lids] = kept * basis[shape, lids] + (glide(rest, handles, goals, spread) - rest)[0]


def _around_eyeballs(skin: Skin, balls: list[np.ndarray]) -> list[np.ndarray]:
    """The skin near each eyeball: as many vertices on both sides."""
    away = [np.linalg.norm(skin.vertices - ball.mean(0), axis=1) - _radius(ball) for ball in balls]
    for distance in away:
        distance[skin.sockets] = np.inf
    count = min((distance < LID_REACH).sum() for distance in away)
    return [np.sort(np.argsort(distance, kind="stable")[:count]) for distance in away]


def _radius(ball: np.ndarray) -> float:
    return float(np.linalg.norm(ball - ball.mean(0), axis=1).max())


def _lids(
    skin: Skin,
    lids: list[np.ndarray],
    eyes: np.ndarray,
    basis: np.ndarray,
    lashes: np.ndarray,
    mean: np.ndarray,
    place: np.ndarray,
) -> dict[str, np.ndarray]:
    closure, rim, spread, moved, lash, anchors, lash_weights = [], [], [], [], [], [], []
    for vertices, rings, centre in zip(lids, skin.eye_rings, eyes, strict=True):
        where = {vertex: i for i, vertex in enumerate(vertices)}
        margin = rings[:3]
        rim.append([[where[v] for v in ring] for ring in margin])
        closure.append(_closure(skin.vertices[rings[0]]))
        stays = _near_eyeball(skin.vertices[vertices], skin.vertices[rings[0]], centre)
        spread.append(_harmonic(skin, vertices, margin.ravel()) * stays[:, None])
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


def _on_loop(points: np.ndarray, loop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    on_upper, on_lower = (_interpolation(shared, own) for own in at)
    meeting = np.zeros((half + 1, len(ring)))
    for rows, side, share in ((on_upper, upper, CLOSURE), (on_lower, lower, 1 - CLOSURE)):
        meeting[:, side] += share * rows
    closure = np.zeros((len(ring), len(ring)))
    closure[upper] = meeting
    closure[lower] = meeting
    return closure


def _arc_length(points: np.ndarray) -> np.ndarray:
    """From 0 to 1 along a polyline."""
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    return length / length[-1]


def _interpolation(at: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Rows of weights that interpolate linearly between nodes."""
    return np.stack([np.interp(at, nodes, hat) for hat in np.eye(len(nodes))], 1)


def lip_contacts(skin: Skin) -> LipContacts:
    """One contact for every LIP_COLUMN along the mouth: where there the upper lip comes nearest to the lower."""
    upper, lower = _lips_of(skin)
    faces = skin.triangles[np.isin(skin.triangles, lower).all(1)]
    surface = trimesh.Trimesh(skin.vertices, faces, process=False)
    nearest, gap, face = trimesh.proximity.closest_point_naive(surface, skin.vertices[upper])
    column = np.round(skin.vertices[upper, 0] / LIP_COLUMN).astype(int)
    best = [members[gap[members].argmin()] for members in (np.flatnonzero(column == c) for c in np.unique(column))]
    best = [i for i in best if gap[i] < LIP_CONTACT]
    touched = faces[face[best]]
    weights = trimesh.triangles.points_to_barycentric(skin.vertices[touched], nearest[best])

    handles = np.unique(touched)
    along = _interpolation(skin.vertices[handles, 0], skin.vertices[upper[best], 0])
    mouth = cKDTree(skin.vertices[skin.mouth])
    region = np.flatnonzero(mouth.query(skin.vertices)[0] < LIP_REACH)
    spread = _harmonic(skin, region, np.concatenate([upper[best], handles]))
    closing = (LOWER_LIP_SHARE - 1) * spread[:, : len(best)] + LOWER_LIP_SHARE * spread[:, len(best) :] @ along
    pairs, weights = np.column_stack([upper[best], touched]), np.column_stack([np.ones(len(best)), -weights])
    place = np.zeros(len(skin.vertices), int)
    place[region] = np.arange(len(region))
    closed = np.einsum("pk,pkq->pq", weights, closing[place[pairs]])
    return LipContacts(pairs, weights, region, closing @ -np.linalg.inv(closed))


def _lips_of(skin: Skin) -> tuple[np.ndarray, np.ndarray]:
    """Vertices near the mouth that lie nearer, over the skin, to the upper or to the lower part of its loop."""
    ends = skin.mouth[[skin.vertices[skin.mouth, 0].argmin(), skin.vertices[skin.mouth, 0].argmax()]]
    first, last = sorted(int(np.flatnonzero(skin.mouth == end)[0]) for end in ends)
    halves = [skin.mouth[first + 1 : last], np.r_[skin.mouth[last + 1 :], skin.mouth[:first]]]
    halves.sort(key=lambda half: -skin.vertices[half, 1].mean())
    edges = np.concatenate([skin.triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    length = np.linalg.norm(skin.vertices[edges[:, 0]] - skin.vertices[edges[:, 1]], axis=1)
    graph = scipy.sparse.coo_matrix((length, (edges[:, 0], edges[:, 1])), [len(skin.vertices)] * 2).tocsr()
    away = [scipy.sparse.csgraph.dijkstra(graph, False, half, min_only=True) for half in halves]
    near = np.minimum(*away) < LIP_DEPTH
    return np.flatnonzero(near & (away[0] < away[1])), np.flatnonzero(near & (away[0] > away[1]))


def _harmonic(skin: Skin, region: np.ndarray, handles: np.ndarray) -> np.ndarray:
    """(region, handle) how far vertices follow handles: smooth over the skin (biharmonic), still outside the region."""
    stiffness, mass = _laplacian(skin)
    smoothness = (stiffness @ scipy.sparse.diags(1 / mass) @ stiffness).tocsr()
    free = np.setdiff1d(region, handles)
    solve = scipy.sparse.linalg.factorized(smoothness[free][:, free].tocsc())
    weights = np.zeros((len(skin.vertices), len(handles)))
    weights[handles, np.arange(len(handles))] = 1
    weights[free] = -solve(smoothness[free][:, handles].toarray())
    return weights[region]


def _laplacian(skin: Skin) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """The skin's graph Laplacian with inverse edge lengths as weights, and the area-like mass of each vertex."""
    edges = np.concatenate([skin.triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    length = np.linalg.norm(skin.vertices[edges[:, 0]] - skin.vertices[edges[:, 1]], axis=1)
    count = len(skin.vertices)
    near = scipy.sparse.coo_matrix((1 / length, (edges[:, 0], edges[:, 1])), (count, count))
    near = (near + near.T) / 2
    mass = np.bincount(edges[:, 0], length, count)
    return (scipy.sparse.diags(np.asarray(near.sum(1)).ravel()) - near).tocsr(), mass
