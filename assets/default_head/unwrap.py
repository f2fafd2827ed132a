"""Texture coordinates of the skin: one chart without overlaps, cut down the back of the head, from crown to neck."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Float, Int

ROUNDS, DAMPING = 10, 0.2
MIDDLE = 1e-5
"""Metres from the middle of the head within which vertices lie on it."""
SEAM_END = -0.07
"""Metres from the eyes along z where the seam stops on the crown."""


def unwrapped(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    eyes: Float[np.ndarray, "3"],
    importance: Float[np.ndarray, " vertex"],
) -> tuple[Float[np.ndarray, "corner 2"], Int[np.ndarray, "triangle 3"]]:
    """The skin laid out on the unit square, (0, 0) at the top left, the person's left at the right.

    The cut skin is a disc. Its edge goes around the square, its inside is a weighted mean of neighbours, which cannot
    fold (Tutte 1963; mean value weights, Floater 2003). The weights are then eased where the skin is stretched, until
    texels are spread as wanted (Yoshizawa, Belyaev and Seidel 2004).

    Args:
        importance: how many texels each vertex' surroundings deserve for their area.
    """
    corners, uv_triangles, edge = _cut(vertices, triangles, eyes)
    placed = vertices[corners]
    uv = np.zeros((len(corners), 2))
    uv[edge] = _around_square(placed[edge])
    weights = _mean_value_weights(placed, uv_triangles)
    wanted = np.sqrt(importance[corners])
    inside = np.setdiff1d(np.arange(len(corners)), edge)
    for _ in range(ROUNDS):
        uv[inside] = _relaxed(weights, uv, inside)
        stretch = _stretch(placed, uv_triangles, uv) * wanted
        weights = weights @ scipy.sparse.diags((stretch / np.median(stretch)) ** -DAMPING)
    uv[inside] = _relaxed(weights, uv, inside)
    return uv, uv_triangles


def _cut(vertices: np.ndarray, triangles: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The vertex of each corner of the cut mesh, its triangles, and its edge as a loop of corners that starts at the
    top end of the seam and goes down on the person's left."""
    seam = _seam(vertices, triangles, eyes)
    twin = np.full(len(vertices), -1)
    twin[seam[1:]] = np.arange(len(vertices), len(vertices) + len(seam) - 1)
    corners = np.concatenate([np.arange(len(vertices)), seam[1:]])
    right = vertices[triangles, 0].mean(1) < 0
    uv_triangles = triangles.copy()
    on_seam = twin[triangles] >= 0
    uv_triangles[right[:, None] & on_seam] = twin[triangles][right[:, None] & on_seam]
    directed = np.concatenate([uv_triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    present = set(map(tuple, directed.tolist()))
    following = {b: a for a, b in present if (b, a) not in present}
    loop = [int(seam[0])]
    while len(loop) < len(following):
        loop.append(following[loop[-1]])
    if loop[1] >= len(vertices):
        loop = [loop[0], *loop[:0:-1]]
    return corners, uv_triangles, np.array(loop)


def _seam(vertices: np.ndarray, triangles: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Vertices in the middle of the back of the head, from the crown down to the neck's edge."""
    middle = np.abs(vertices[:, 0]) < MIDDLE
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    edges = np.unique(np.sort(edges[middle[edges].all(1)], 1), axis=0)
    back = middle & (vertices[:, 2] < eyes[2] + SEAM_END)
    edges = edges[back[edges].all(1)]
    next_to: dict[int, list[int]] = {}
    for a, b in edges.tolist():
        next_to.setdefault(a, []).append(b)
        next_to.setdefault(b, []).append(a)
    path = [max((v for v in next_to if len(next_to[v]) == 1), key=lambda v: vertices[v, 1])]
    while True:
        onward = [v for v in next_to[path[-1]] if v not in path]
        if not onward:
            return np.array(path)
        path.append(onward[0])


def _around_square(points: np.ndarray) -> np.ndarray:
    """Places of a loop's points on the unit square's edge: from the middle of the top clockwise, the neck below."""
    lengths = np.linalg.norm(np.diff(points, axis=0, append=points[:1]), axis=1)
    at = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    seam = np.abs(points[:, 0]) < MIDDLE
    down, up = int(np.argmin(seam)) - 1, len(points) - int(np.argmin(seam[:0:-1]))
    knots = np.array([0.0, at[down], at[up], lengths.sum()])
    perimeter = np.interp(at, knots, [0.0, 1.5, 2.5, 4.0])
    return np.stack(
        [
            np.interp(perimeter, [0, 0.5, 1.5, 2.5, 3.5, 4.0], [0.5, 1, 1, 0, 0, 0.5]),
            np.interp(perimeter, [0, 0.5, 1.5, 2.5, 3.5, 4.0], [0, 0, 1, 1, 0, 0]),
        ],
        1,
    )


def _mean_value_weights(points: np.ndarray, triangles: np.ndarray) -> scipy.sparse.csr_matrix:
    rows, columns, values = [], [], []
    for k in range(3):
        i, j, h = (triangles[:, (k + m) % 3] for m in range(3))
        one, other = points[j] - points[i], points[h] - points[i]
        a, b = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
        half = np.tan(np.arccos(np.clip((one * other).sum(1) / (a * b), -0.999, 0.9999)) / 2)
        rows += [i, i]
        columns += [j, h]
        values += [half / a, half / b]
    count = len(points)
    return scipy.sparse.coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (count, count)
    ).tocsr()


def _relaxed(weights: scipy.sparse.csr_matrix, uv: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Places of the inner corners as weighted means of their neighbours'."""
    share = scipy.sparse.diags(1 / np.asarray(weights.sum(1)).ravel()) @ weights
    fixed = np.setdiff1d(np.arange(len(uv)), inside)
    system = scipy.sparse.eye(len(inside)) - share[inside][:, inside]
    return scipy.sparse.linalg.spsolve(system.tocsc(), share[inside][:, fixed] @ uv[fixed])


def _stretch(points: np.ndarray, triangles: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """How many metres of skin one unit of the texture covers around each corner: the root mean square of its triangles'
    stretch (Sander et al. 2001)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    (ua, va), (ub, vb), (uc, vc) = (uv[triangles[:, k]].T for k in range(3))
    doubled = (ub - ua) * (vc - va) - (uc - ua) * (vb - va)
    doubled = np.where(np.abs(doubled) < 1e-12, 1e-12, doubled)[:, None]
    along_u = (a * (vb - vc)[:, None] + b * (vc - va)[:, None] + c * (va - vb)[:, None]) / doubled
    along_v = (a * (uc - ub)[:, None] + b * (ua - uc)[:, None] + c * (ub - ua)[:, None]) / doubled
    squared = ((along_u**2).sum(1) + (along_v**2).sum(1)) / 2
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    total = np.bincount(triangles.ravel(), np.repeat(area * squared, 3), len(points))
    return np.sqrt(total / np.bincount(triangles.ravel(), np.repeat(area, 3), len(points)))
