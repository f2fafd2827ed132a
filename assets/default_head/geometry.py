"""The default head's parts: their meshes, and where their vertices lie on any of MakeHuman's people."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assets.default_head.makehuman import BaseMesh

SKIN_LABELS = ("head", "eye_cavity.L", "eye_cavity.R", "mouth_cavity")
NECK_CUT = np.array([0.0, 1.0, 0.30, 5.78])
"""The plane n·x = d, in the base mesh's decimetres, below which the neck ends: it slopes down towards the throat."""
SHOULDER = 0.75
"""Decimetres from the middle: what lies further out belongs to the shoulders."""
NECK_UV_SCALE = 0.17
"""Texture coordinates per decimetre of neck, as on the cheeks."""
SEAM_FRONT = 0.25
"""Decimetres: vertices in the middle of the head further back than this lie on the seam."""
EYE_RINGS = np.radians([0, 4, 8, 12, 16, 19, 22, 25, 30, 38, 48, 60, 75, 92, 110, 130, 150, 180])
"""Angles from the gaze axis of the eyeball's rings of vertices, denser over the iris."""
EYE_SEGMENTS = 24


@dataclass(frozen=True)
class Part:
    """A piece of mesh. `place` gives its vertices (…, n, 3) from the base mesh's (…, 19158, 3); it commutes with rigid
    motions. UV origin at the top left."""

    place: Callable[[Tensor], Tensor]
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray


def build_parts(base: BaseMesh) -> dict[str, Part]:
    return {
        "head": _skin(base),
        "eye_left": _eyeball(base, "helper-l-eye"),
        "eye_right": _eyeball(base, "helper-r-eye"),
        "teeth_upper": _helper(base, ("helper-upper-teeth",)),
        "teeth_lower": _helper(base, ("helper-lower-teeth",)),
        "tongue": _helper(base, ("helper-tongue",)),
        "lashes": _helper(base, tuple(f"helper-{side}-eyelashes-{row}" for side in "lr" for row in (1, 2))),
    }


def _skin(base: BaseMesh) -> Part:
    """Face, scalp, ears, eye sockets and mouth cavity, with the neck above NECK_CUT."""
    uv, uv_quads = _skin_uv(base)
    body = base.groups == "body"
    kept = body & np.isin(base.labels, SKIN_LABELS) & ~_throat(base)
    quads, corners = [base.quads[kept]], [uv_quads[kept]]
    height = base.vertices @ NECK_CUT[:3] - NECK_CUT[3]
    within = (height > 0) & (np.abs(base.vertices[:, 0]) < SHOULDER)
    waiting = [i for i in np.flatnonzero(body & ~kept) if within[base.quads[i]].all()]

    uv, uv_of = list(uv), {}
    for quad, quad_corners in zip(base.quads[kept], uv_quads[kept], strict=True):
        for vertex, corner in zip(quad, quad_corners, strict=True):
            uv_of[vertex, _side(base, quad, vertex)] = corner
    while waiting:
        ring = [i for i in waiting if sum((v, _side(base, base.quads[i], v)) in uv_of for v in base.quads[i]) >= 2]
        if not ring:
            break
        waiting = [i for i in waiting if i not in set(ring)]
        uv, uv_of = _extended_uv(base, ring, uv, uv_of)
        quads.append(base.quads[ring])
        corners.append(np.array([[uv_of[v, _side(base, base.quads[i], v)] for v in base.quads[i]] for i in ring]))
    return _from_quads(np.concatenate(quads), np.concatenate(corners), np.array(uv), base.vertices)


def _throat(base: BaseMesh) -> np.ndarray:
    """Quads of the front of the neck, which MakeHuman draws as an island of their own."""
    return (base.labels == "head") & (base.uv[base.uv_quads][..., 0].max(1) < 0.5)


def _side(base: BaseMesh, quad: np.ndarray, vertex: int) -> int:
    """Of a vertex on the seam down the back of the head: on which side the quad lies; 0 for all others."""
    x, _, z = base.vertices[vertex]
    return int(np.sign(base.vertices[quad, 0].mean())) if abs(x) < 1e-4 and z < SEAM_FRONT else 0


def _extended_uv(base: BaseMesh, ring: list[int], uv: list[np.ndarray], uv_of: dict) -> tuple[list[np.ndarray], dict]:
    """Texture coordinates of a new ring of the neck: those of its neighbours on the ring above, further down by the
    distance between them."""
    above: dict[tuple[int, int], list[np.ndarray]] = {}
    for i in ring:
        quad = base.quads[i]
        keys = [(vertex, _side(base, quad, vertex)) for vertex in quad]
        for at, key in enumerate(keys):
            if key in uv_of:
                continue
            for neighbour in (keys[at - 1], keys[(at + 1) % 4], keys[(at + 2) % 4]):
                if neighbour in uv_of:
                    step = np.linalg.norm(base.vertices[key[0]] - base.vertices[neighbour[0]])
                    above.setdefault(key, []).append(uv[uv_of[neighbour]] + (0, NECK_UV_SCALE * step))
                    break
    uv_of = dict(uv_of)
    for key, candidates in above.items():
        uv_of[key] = len(uv)
        uv = [*uv, np.mean(candidates, 0)]
    return uv, uv_of


def _skin_uv(base: BaseMesh) -> tuple[np.ndarray, np.ndarray]:
    """MakeHuman's face island lies on its side in a corner of the body's sheet: turn it upright, centre it and let it
    fill the sheet; the mouth cavity and the eye sockets go into the free corners above the temples."""
    uv = np.zeros_like(base.uv)
    body = base.groups == "body"
    centre = 0.4847

    def corners(*labels: str) -> np.ndarray:
        return np.unique(base.uv_quads[body & np.isin(base.labels, labels)])

    head = corners("head")
    across, down = base.uv[head, 1] - centre, base.uv[head, 0]
    uv[head] = np.stack([0.5 - across / 0.68, 0.01 + (down - 0.64) / 0.355 * 0.86], 1)
    for label, corner in (("eye_cavity.R", (0.02, 0.02)), ("eye_cavity.L", (0.84, 0.02))):
        uv[corners(label)] = _placed(base.uv[corners(label)], corner, 0.13)
    uv[corners("mouth_cavity")] = _placed(base.uv[corners("mouth_cavity")], (0.4425, 0.005), 0.115)
    return uv, base.uv_quads


def _placed(uv: np.ndarray, corner: tuple[float, float], size: float) -> np.ndarray:
    low, high = uv.min(0), uv.max(0)
    unit = (uv - low) / (high - low).max()
    return np.array(corner) + size * np.stack([unit[:, 0], 1 - unit[:, 1]], 1)


def _helper(base: BaseMesh, groups: tuple[str, ...]) -> Part:
    chosen = np.isin(base.groups, groups)
    corners = np.unique(base.uv_quads[chosen])
    uv = np.zeros_like(base.uv)
    uv[corners] = _placed(base.uv[corners], (0.0, 0.0), 1.0)
    return _from_quads(base.quads[chosen], base.uv_quads[chosen], uv, base.vertices)


def _from_quads(quads, corners, uv, positions) -> Part:
    """Split quads along their shorter diagonals, and number vertices and corners anew."""
    a, b, c, d = (positions[quads[:, k]] for k in range(4))
    along = (np.linalg.norm(c - a, axis=1) <= np.linalg.norm(d - b, axis=1))[:, None]
    first, second = ([0, 1, 2], [0, 1, 3]), ([0, 2, 3], [1, 2, 3])

    def split(indices: np.ndarray) -> np.ndarray:
        return np.concatenate([np.where(along, indices[:, one], indices[:, two]) for one, two in (first, second)])

    triangles, uv_triangles = split(quads), split(corners)
    real = (np.diff(np.sort(triangles, 1), axis=1) > 0).all(1)
    triangles, uv_triangles = triangles[real], uv_triangles[real]
    used, triangles = np.unique(triangles, return_inverse=True)
    used_uv, uv_triangles = np.unique(uv_triangles, return_inverse=True)
    return Part(lambda vertices: vertices[..., used, :], triangles.reshape(-1, 3), uv[used_uv], uv_triangles.reshape(-1, 3))


def _eyeball(base: BaseMesh, group: str) -> Part:
    """A sphere at the helper eye's centre, its radius the mean distance of the helper's vertices, looking along +z.

    UV: a disc about the gaze axis, of radius ½ (1 - (1 - angle/π)²), so that the iris gets most of the texels.
    """
    helper = torch.as_tensor(np.unique(base.quads[base.groups == group]))
    angle, turn = np.meshgrid(EYE_RINGS, np.arange(EYE_SEGMENTS + 1) * 2 * np.pi / EYE_SEGMENTS, indexing="ij")
    radius = 0.5 * (1 - (1 - angle / np.pi) ** 2)
    uv = 0.5 + np.stack([radius * np.cos(turn), -radius * np.sin(turn)], -1).reshape(-1, 2)
    directions = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)], -1)
    corner = np.arange(angle.size).reshape(angle.shape)
    quads = np.stack([corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]], -1).reshape(-1, 4)
    uv_triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])

    rounded = np.round(directions.reshape(-1, 3), 9) + 0.0
    unique, vertex_of = np.unique(rounded, axis=0, return_inverse=True)
    triangles = vertex_of.reshape(-1)[uv_triangles]
    real = (np.diff(np.sort(triangles, 1), axis=1) > 0).all(1)
    sphere = torch.as_tensor(unique, dtype=torch.float32)

    def place(vertices: Tensor) -> Tensor:
        points = vertices[..., helper, :]
        centre = points.mean(-2, keepdim=True)
        size = (points - centre).norm(dim=-1).mean(-1)[..., None, None]
        return centre + size * sphere

    return Part(place, triangles[real], uv, uv_triangles[real])
