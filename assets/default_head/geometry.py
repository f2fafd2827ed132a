"""The default head's parts: their meshes, and where their vertices lie on any of MakeHuman's people."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from assets.default_head.identity import fit_similarity
from assets.default_head.makehuman import BaseMesh
from assets.default_head.teeth import dental_arch
from assets.default_head.topology import grow_rings, loop_from, neighbours

HELPERS = ("helper-l-eye", "helper-r-eye", "helper-upper-teeth", "helper-lower-teeth", "helper-tongue")
JOINT_CUBES = ("joint-neck", "joint-head")
"""Groups of vertices in whose middle these joints lie; the eyes' lie in the eyeballs."""
NECK_CUT, NECK_HEIGHT = np.array([0.0, 1.0, 0.30]), 0.578
"""The plane n·x = d, in the base mesh's metres, below which the neck ends: it slopes down towards the throat."""
SHOULDER = 0.075
"""Metres from the middle: what lies further out at the neck belongs to the shoulders."""
COLUMNS = 28
"""Vertices in each ring of MakeHuman's mesh around an eye."""
LID_RINGS = 9
"""Rings outwards from the hidden edge of the lids: 0 touches the eyeball, 1 and 2 bound the lid's margin."""
SOCKET_RINGS = (0, 2, 5, 9)
"""Of the ten rings that line the eye socket, inwards, those that are kept."""
SEAT = {0: (0.60, 1.0), 1: (0.90, 1.0), 2: (1.50, 0.8), 3: (2.00, 0.6), 4: (2.35, 0.4), 5: (2.8, 0.2)}
"""Of each ring of the lids: its distance from the eyeball in millimetres, and how far people may not differ in it."""
SOCKET_GAP = 0.9
"""Millimetres between the eyeball and the lining of its socket."""
EYE_SIZE = 0.9
"""Of the eyeball, against MakeHuman's, which is a third larger than people's and makes flat lids."""
CORNEA_BULGE = 0.35e-3
"""Metres by which the middle of the cornea stands out of the sphere."""
EYE_RINGS = np.radians([0, 9, 17, 23, 27, 34, 44, 57, 74, 100, 138, 180])
"""Angles from the gaze axis of the eyeball's rings of vertices, denser over the iris."""
EYE_SEGMENTS = 24
BITING_EDGES = {
    "upper": (15069, 15086, 15071, 15070, 15085, 15078, 15077, 15076, 15080),
    "lower": (15010, 15001, 15002, 15003, 15004, 15005, 15006, 15007, 15008),
}
"""Vertices of the helper arches along the biting edges, from the middle to the person's left."""
LASH_RING, LASH_ROWS = 2, 4
ARCH_WIDTH = 0.96
"""Of the arches, against the helpers', which touch the cheeks."""
OVERBITE = {"upper": (0.0, -1.4e-3, -5.6e-3), "lower": (0.0, -1.8e-3, -7.8e-3)}
"""Metres by which the arches are moved, since the helpers stand edge on edge and touch the lips. The upper edges then
lie 2.8 mm below the upper lip, as far as people show them at rest (Vig and Brundo, "The kinetics of anterior tooth
display", 1978: men 1.9 mm, women 3.4 mm)."""

TONGUE_LENGTH, TONGUE_WIDTH, TONGUE_TAPER = 0.89, 0.76, 0.2
"""Of the tongue, against the helper's, which passes through the lower teeth; and how much narrower it is at its tip."""
TONGUE_DROP, TONGUE_ROOT = 3e-3, 0.4
"""Metres by which it lies lower, and how much is left of the root that hangs below its tip, towards the throat."""

Ranges = dict[str, tuple[tuple[int, int], tuple[int, int]]]
"""Of each part's vertices and of its triangles, in the index space of all parts: the first, and the one after the last.
"""


@dataclass(frozen=True)
class Part:
    """A piece of mesh. `place` gives its vertices (…, n, 3) from the base mesh's (…, base, 3)."""

    place: Callable[[Tensor], Tensor]
    triangles: Int[np.ndarray, "triangle 3"]
    uv: Float[np.ndarray, "corner 2"]
    """Origin at the top left; nothing yet for the skin, which is unwrapped later."""
    uv_triangles: Int[np.ndarray, "triangle 3"]


def head_of(base: BaseMesh) -> BaseMesh:
    """The body above the neck cut, without the shoulders; eyes, teeth, tongue and joints."""
    above = base.vertices @ NECK_CUT > NECK_HEIGHT
    inside = above & ((np.abs(base.vertices[:, 0]) < SHOULDER) | (base.vertices[:, 1] > 0.63))
    body = (base.groups == "body") & inside[base.quads].all(1)
    return base.restricted(body | np.isin(base.groups, (*HELPERS, *JOINT_CUBES)))


def build_parts(base: BaseMesh, rings: dict[str, "EyeRings"]) -> tuple[dict[str, Part], Int[np.ndarray, " base"]]:
    """All parts of the head, and the number in the skin of each of the base mesh's vertices."""
    skin, number = _skin(base, rings)
    eyes = {f"eye_{side}": _eyeball(base, f"helper-{side[0]}-eye") for side in rings}
    teeth = {f"teeth_{jaw}": _teeth(base, jaw) for jaw in BITING_EDGES}
    return {"head": skin, **eyes, **teeth, "tongue": _tongue(base), "lashes": _lashes(base, rings)}, number


@dataclass(frozen=True)
class EyeRings:
    """Vertices around an eye. Column 0 is the inner corner, then follow the upper lid, the outer corner at half way,
    and the lower lid backwards: column i of the upper lid meets column -i of the lower."""

    lids: Int[np.ndarray, "ring column"]
    socket: Int[np.ndarray, "ring column"]


def eye_rings(base: BaseMesh) -> dict[str, EyeRings]:
    """Of the left and the right eye, which mirror each other."""
    left = _eye_rings(base, "L")
    return {"left": left, "right": EyeRings(base.mirror[left.lids], base.mirror[left.socket])}


def _eye_rings(base: BaseMesh, side: str) -> EyeRings:
    body = base.groups == "body"
    cavity = body & (base.labels == f"eye_cavity.{side}")
    inside, outside = (set(np.unique(base.quads[mask]).tolist()) for mask in (cavity, body & ~cavity))
    next_to = neighbours(base.quads[body])
    edge = inside & outside
    corner = min(edge, key=lambda v: abs(base.vertices[v, 0]))
    rim = loop_from(corner, edge, next_to, base.vertices)
    lids = grow_rings(rim, outside, LID_RINGS - 1, next_to)
    socket = grow_rings(rim, inside, 1 + max(SOCKET_RINGS), next_to)
    return EyeRings(lids, socket[1:][list(SOCKET_RINGS)])


def mouth_corners(base: BaseMesh) -> tuple[int, int]:
    """The left and the right corner of the mouth, where lips and mouth cavity meet."""
    edge = _mouth_edge(base)
    left = int(edge[base.vertices[edge, 0].argmax()])
    return left, int(base.mirror[left])


def mouth_loop(base: BaseMesh) -> Int[np.ndarray, " column"]:
    """The closed loop of vertices at which lips and mouth cavity meet."""
    edge = set(_mouth_edge(base).tolist())
    return loop_from(min(edge), edge, neighbours(base.quads[base.groups == "body"]), base.vertices)


def _mouth_edge(base: BaseMesh) -> Int[np.ndarray, " vertex"]:
    body, cavity = base.groups == "body", base.labels == "mouth_cavity"
    return np.intersect1d(base.quads[body & cavity], base.quads[body & ~cavity])


def seat_eyes(
    base: BaseMesh, rings: dict[str, EyeRings], vertices: Float[Tensor, "*batch base 3"]
) -> Float[Tensor, "*batch base 3"]:
    """Vertices of people whose lids lie on their eyeballs, and whose sockets hold them."""
    vertices = vertices.clone()
    for side, ring in rings.items():
        centre, radius = eyeball_sphere(base, side, vertices)
        for row, (gap, share) in SEAT.items():
            _seat(vertices, ring.lids[row], centre, radius + gap * 1e-3, share)
        for row in ring.socket:
            _seat(vertices, row, centre, radius + SOCKET_GAP * 1e-3, 1.0)
    return vertices


def seat_teeth(base: BaseMesh, vertices: Float[Tensor, "*batch base 3"]) -> Float[Tensor, "*batch base 3"]:
    """Vertices of people whose teeth stand behind their lips as the base mesh's do."""
    lips = torch.as_tensor(_mouth_edge(base))
    jaws = [torch.as_tensor(base.of_group(f"helper-{jaw}-teeth")) for jaw in BITING_EDGES]
    teeth = torch.cat(jaws)
    at_rest = torch.as_tensor(base.vertices, dtype=vertices.dtype)
    scale, rotation, _ = fit_similarity(at_rest[teeth], vertices[..., teeth, :])
    wanted = scale * (at_rest[teeth].mean(0) - at_rest[lips].mean(0)) @ rotation.mT
    missing = vertices[..., lips, :].mean(-2, keepdim=True) + wanted - vertices[..., teeth, :].mean(-2, keepdim=True)
    vertices = vertices.clone()
    vertices[..., teeth, :] += missing
    return vertices


def eyeball_sphere(base: BaseMesh, side: str, vertices: Float[Tensor, "*batch base 3"]) -> tuple[Tensor, Tensor]:
    """Centre (…, 1, 3) and radius (…, 1, 1) of the eyeball, which lies in the helper eye and touches its front."""
    points = vertices[..., torch.as_tensor(base.of_group(f"helper-{side[0]}-eye")), :]
    centre = points.mean(-2, keepdim=True)
    radius = (points - centre).norm(dim=-1).mean(-1)[..., None, None]
    forward = radius.new_tensor([0.0, 0.0, 1 - EYE_SIZE])
    return centre + radius * forward, EYE_SIZE * radius


def _skin(base: BaseMesh, rings: dict[str, EyeRings]) -> tuple[Part, np.ndarray]:
    """Face, scalp, ears, neck and mouth cavity as MakeHuman has them, with a lighter lining of the eye sockets; and the
    number that each of the base mesh's vertices has in it."""
    body = base.groups == "body"
    lining = body & np.char.startswith(base.labels, "eye_cavity")
    quads = [base.quads[body & ~lining]]
    for side, ring in rings.items():
        rows = np.concatenate([ring.lids[:1], ring.socket])
        eye = base.vertices[base.of_group(f"helper-{side[0]}-eye")].mean(0)
        quads.append(_facing(_between(rows), eye, base))
        cap = np.isin(base.quads[lining], rows[-1]).all(1)
        quads.append(base.quads[lining][cap])
    corners = np.concatenate(quads)
    used = np.unique(corners)
    number = np.full(len(base.vertices), -1)
    number[used] = np.arange(len(used))
    triangles = split_quads(corners, base.vertices)

    no_uv = np.zeros((0, 2)), np.zeros((0, 3), int)
    return Part(lambda vertices: vertices[..., torch.as_tensor(used), :], number[triangles], *no_uv), number


def _between(rows: np.ndarray) -> np.ndarray:
    """Quads between rings of vertices."""
    here, there = rows[:-1], rows[1:]
    return np.stack([here, np.roll(here, -1, 1), np.roll(there, -1, 1), there], -1).reshape(-1, 4)


def _facing(quads: np.ndarray, point: np.ndarray, base: BaseMesh) -> np.ndarray:
    """Quads whose front is turned towards a point."""
    a, b, _, d = (base.vertices[quads[:, k]] for k in range(4))
    front = (np.cross(b - a, d - a) * (point - a)).sum(1) > 0
    return np.where(front[:, None], quads, quads[:, ::-1])


def _seat(vertices: Tensor, row: np.ndarray, centre: Tensor, distance: Tensor, share: float) -> None:
    """Move vertices to a distance from the eyeball's centre, by a share of the way; in place."""
    chosen = torch.as_tensor(row)
    away = vertices[..., chosen, :] - centre
    length = away.norm(dim=-1, keepdim=True)
    vertices[..., chosen, :] = centre + away * (1 + share * (distance / length - 1))


def split_quads(quads: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Triangles from quads, along their shorter diagonals; degenerate ones are left out."""
    a, b, c, d = (positions[quads[:, k]] for k in range(4))
    along = (np.linalg.norm(c - a, axis=1) <= np.linalg.norm(d - b, axis=1) + 1e-9)[:, None]
    first = np.where(along, quads[:, [0, 1, 2]], quads[:, [0, 1, 3]])
    second = np.where(along, quads[:, [0, 2, 3]], quads[:, [1, 2, 3]])
    triangles = np.concatenate([first, second])
    return triangles[(np.diff(np.sort(triangles, 1), axis=1) > 0).all(1)]


def _eyeball(base: BaseMesh, group: str) -> Part:
    """A sphere about the helper eye's centre and of its radius, looking along +z, its cornea standing out a little.

    UV: a disc about the gaze axis, of radius ½ (1 - (1 - angle/π)²), so that the iris gets most of the texels.
    """
    angle, turn = np.meshgrid(EYE_RINGS, np.arange(EYE_SEGMENTS + 1) * 2 * np.pi / EYE_SEGMENTS, indexing="ij")
    radius = 0.5 * (1 - (1 - angle / np.pi) ** 2)
    uv = 0.5 + np.stack([radius * np.cos(turn), -radius * np.sin(turn)], -1).reshape(-1, 2)
    directions = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)], -1)
    corner = np.arange(angle.size).reshape(angle.shape)
    quads = np.stack([corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]], -1).reshape(-1, 4)
    uv_triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])

    unique, vertex_of = np.unique(np.round(directions.reshape(-1, 3), 9) + 0.0, axis=0, return_inverse=True)
    triangles = vertex_of.reshape(-1)[uv_triangles]
    real = (np.diff(np.sort(triangles, 1), axis=1) > 0).all(1)
    sphere = torch.as_tensor(unique, dtype=torch.float32)
    off_axis = torch.acos(sphere[:, 2].clamp(-1, 1))
    bulge = CORNEA_BULGE * torch.cos((off_axis / np.radians(26)).clamp(max=1) * np.pi / 2)[:, None] ** 2 * sphere

    def place(vertices: Tensor) -> Tensor:
        centre, size = eyeball_sphere(base, group.removeprefix("helper-"), vertices)
        return centre + size * sphere + bulge

    return Part(place, triangles[real], uv, uv_triangles[real])


def _teeth(base: BaseMesh, jaw: str) -> Part:
    edge = base.vertices[np.searchsorted(base.ids, BITING_EDGES[jaw])] * (ARCH_WIDTH, 1, 1) + OVERBITE[jaw]
    arch, triangles, uv = dental_arch(edge, jaw == "upper")
    return Part(_borne_by_jaw(base, jaw, arch), triangles, uv, triangles)


def _tongue(base: BaseMesh) -> Part:
    """The helper's, made to fit between the lower teeth, which bear it."""
    quads = base.quads[base.groups == "helper-tongue"]
    used, corners = np.unique(quads, return_inverse=True)
    helper = base.vertices[used]
    triangles = split_quads(corners.reshape(-1, 4), helper)
    uv = (helper - helper.min(0))[:, [0, 2]] / np.ptp(helper, axis=0)[[0, 2]]
    back = helper[:, 2].min()
    along = (helper[:, 2] - back) / np.ptp(helper[:, 2])
    width = TONGUE_WIDTH - TONGUE_TAPER * along**4
    length = back + TONGUE_LENGTH * (helper[:, 2] - back)
    hanging = np.clip(helper[along.argmax(), 1] - helper[:, 1], 0, None)
    height = helper[:, 1] + (1 - TONGUE_ROOT) * hanging - TONGUE_DROP
    tongue = np.stack([width * helper[:, 0], height, length], 1)
    return Part(_borne_by_jaw(base, "lower", tongue), triangles, uv, triangles)


def _borne_by_jaw(
    base: BaseMesh, jaw: str, points: Float[np.ndarray, "vertex 3"]
) -> Callable[[Float[Tensor, "*batch base 3"]], Float[Tensor, "*batch vertex 3"]]:
    """Places points that keep their shape: they follow the position, turn and size of the helper's teeth."""
    helper = torch.as_tensor(base.of_group(f"helper-{jaw}-teeth"))
    teeth = torch.as_tensor(base.vertices, dtype=torch.float32)[helper]
    at_rest = torch.as_tensor(points, dtype=torch.float32)

    def place(vertices: Tensor) -> Tensor:
        scale, rotation, translation = fit_similarity(teeth, vertices[..., helper, :])
        return scale * at_rest @ rotation.mT + translation

    return place


def _lashes(base: BaseMesh, rings: dict[str, EyeRings]) -> Part:
    """A strip on each lid, rooted on the outer edge of its margin and curling up. UV: along the lid, root to tip."""
    columns, triangles, uv, sides = [], [], [], []
    half = COLUMNS // 2
    count = 0
    for name, ring in rings.items():
        for upper, length in ((True, 8.0e-3), (False, 4.5e-3)):
            strip = ring.lids[LASH_RING][1:half] if upper else ring.lids[LASH_RING][:half:-1]
            corner = np.arange(count, count + len(strip) * LASH_ROWS).reshape(LASH_ROWS, len(strip))
            quads = np.stack([corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]], -1).reshape(-1, 4)
            if (name == "left") != upper:
                quads = quads[:, ::-1]
            triangles += [quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
            along = np.linspace(0, 1, len(strip))
            uv.append(np.stack(np.broadcast_arrays(along, np.linspace(0, 1, LASH_ROWS)[:, None]), -1).reshape(-1, 2))
            columns.append(torch.as_tensor(strip.copy()))
            sides.append((name, _lash_curve(along, length, 1.0 if upper else -1.0, 1.0 if name == "left" else -1.0)))
            count += corner.size

    def place(vertices: Tensor) -> Tensor:
        strips = []
        for strip, (name, curve) in zip(columns, sides, strict=True):
            root = vertices[..., strip, :]
            centre, _ = eyeball_sphere(base, name, vertices)
            out = normalize(root - centre, dim=-1)
            up = normalize(out.new_tensor([0.0, 1.0, 0.0]) - out * out[..., 1:2], dim=-1)
            frame = torch.stack([out, up, torch.linalg.cross(up, out)], -2)
            strips.append((root[..., None, :, :] + torch.einsum("rlk,...lki->...rli", curve, frame)).flatten(-3, -2))
        return torch.cat(strips, -2)

    whole = np.concatenate(triangles)
    return Part(place, whole, np.concatenate(uv), whole)


def _lash_curve(along: np.ndarray, length: float, up: float, left: float) -> Float[Tensor, "row lash 3"]:
    """Points of lashes from root to tip in metres: away from the eyeball, up, and to the person's left. They are
    longest in the middle and fan out to both sides."""
    t = np.linspace(0, 1, LASH_ROWS)[:, None]
    reach = length * (0.55 + 0.45 * np.sin(np.pi * np.clip(along * 0.8 + 0.1, 0, 1)))
    out = reach * t * (1 - 0.25 * t)
    curl = reach * up * (0.55 * t**2 - 0.15 * t)
    fan = reach * left * 0.5 * (along - 0.4) * t
    return torch.as_tensor(np.stack([out + 2e-4, curl, fan], -1), dtype=torch.float32)
