"""Teeth and gums: MakeHuman's helpers are bare arches, on which crowns of human proportions are set."""

import numpy as np
from jaxtyping import Float, Int

WIDTHS = {"upper": (8.5, 6.6, 7.6, 7.1, 6.7, 10.2, 9.6), "lower": (5.3, 5.8, 6.8, 7.0, 7.1, 11.0, 10.4)}
"""Millimetres, from the middle outwards: mean crown widths of permanent teeth (Wheeler's Dental Anatomy)."""
HEIGHTS = {"upper": (10.0, 8.8, 9.8, 8.4, 8.0, 7.4, 7.0), "lower": (8.6, 8.8, 10.0, 8.6, 8.0, 7.4, 7.0)}
DEPTHS = (3.0, 2.8, 3.8, 4.2, 4.4, 5.0, 5.0)
"""Half the crowns' thickness, in millimetres."""
AROUND = 6
PROFILE = ((0.0, 0.86, 0.9), (0.55, 1.0, 0.9), (0.97, 0.9, 0.35))
"""Along a crown from gum to edge: share of its height, of its width, of its thickness."""
GUM_ROWS = ((-1.0, 0.2), (3.5, 0.85), (10.0, 0.2))
"""Of the gum's rows: millimetres beyond the crowns' necks, and how far out it bulges in crown thicknesses."""
GUM_SPAN, GUM_COLUMNS = 0.24, 25
"""Part of the texture's height that shows gum, from the top; the rest shows crowns, each a fourteenth wide."""


def dental_arch(
    front: Float[np.ndarray, "point 3"], upper: bool
) -> tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "triangle 3"], Float[np.ndarray, "vertex 2"]]:
    """Vertices (metres), triangles and texture coordinates (one a vertex) of one arch.

    Args:
        front: points along the biting edges of the arch, from its middle to the person's left end.
    """
    jaw = "upper" if upper else "lower"
    down = -1.0 if upper else 1.0
    path = _Path(front)
    vertices, triangles, uv = [], [], []
    count = 0
    for side in (1, -1):
        begin = 0.0
        for index, (width, height, depth) in enumerate(zip(WIDTHS[jaw], HEIGHTS[jaw], DEPTHS, strict=True)):
            middle = (begin + width / 2) * 1e-3
            begin += width
            crown, faces = _crown(width * 1e-3, height * 1e-3, depth * 1e-3, down)
            vertices.append(path.placed(crown, middle, side))
            triangles.append((faces if side > 0 else faces[:, ::-1]) + count)
            along = np.clip(crown[:, 1] * down / (height * 1e-3) + 1, 0, 1)
            u = (7 + side * (index + 0.5 + crown[:, 0] / (width * 1e-3))) / 14
            uv.append(np.stack([np.clip(u, 0, 1), GUM_SPAN + 0.02 + (1 - GUM_SPAN - 0.02) * along], 1))
            count += len(crown)
    gum, faces, gum_uv = _gum(path, np.mean(HEIGHTS[jaw][:4]) * 1e-3, sum(WIDTHS[jaw]) * 1e-3, down)
    vertices, triangles, uv = [*vertices, gum], [*triangles, faces + count], [*uv, gum_uv]
    joined = np.concatenate(triangles)
    return np.concatenate(vertices), joined if upper else joined[:, ::-1], np.concatenate(uv)


class _Path:
    """The curve of the biting edges, by arc length from the middle; the right half mirrors the left."""

    def __init__(self, front: np.ndarray) -> None:
        steps = np.linalg.norm(np.diff(front, axis=0), axis=1)
        self.length, self.points = np.concatenate([[0], np.cumsum(steps)]), front

    def at(self, s: float) -> np.ndarray:
        over = max(s - self.length[-1], 0.0)
        last = self.points[-1] - self.points[-2]
        inside = np.stack([np.interp(s, self.length, self.points[:, k]) for k in range(3)], -1)
        return inside + over * last / np.linalg.norm(last)

    def placed(self, local: np.ndarray, s: float, side: int) -> np.ndarray:
        """Points (along the arch, up, outwards) set at arc length `s`, on the left (1) or right (-1)."""
        h = 2e-3
        along = self.at(s + h) - self.at(max(s - h, 0.0))
        along = along * (1, 0, 1) / np.linalg.norm(along * (1, 0, 1))
        outwards = np.array([-along[2], 0, along[0]])
        points = self.at(s) + local[:, :1] * along + local[:, 1:2] * (0, 1, 0) + local[:, 2:] * outwards
        return points * (side, 1, 1)


def _crown(width: float, height: float, depth: float, down: float) -> tuple[np.ndarray, np.ndarray]:
    """A crown whose biting edge is at the origin; local axes: along the arch, up, outwards."""
    turn = np.arange(AROUND) * 2 * np.pi / AROUND
    across, out = (np.sign(f) * np.abs(f) ** 0.7 for f in (np.cos(turn), np.sin(turn)))
    rings = [
        np.stack([w * width / 2 * across, np.full(AROUND, -down * height * (1 - t)), d * depth * (out - 1)], 1)
        for t, w, d in PROFILE
    ]
    tip = rings[-1].mean(0, keepdims=True) + (0, down * 0.03 * height, 0)
    faces = []
    for ring in range(len(PROFILE) - 1):
        for i in range(AROUND):
            a, b = ring * AROUND + i, ring * AROUND + (i + 1) % AROUND
            faces += [(a, b, b + AROUND), (a, b + AROUND, a + AROUND)]
    last = (len(PROFILE) - 1) * AROUND
    faces += [(last + i, last + (i + 1) % AROUND, last + AROUND) for i in range(AROUND)]
    return np.concatenate([*rings, tip]), np.array(faces)


def _gum(path: _Path, height: float, reach: float, down: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, uv = [], []
    for row, (above, out) in enumerate(GUM_ROWS):
        for column in range(GUM_COLUMNS):
            s = (2 * column / (GUM_COLUMNS - 1) - 1) * reach
            local = np.array([[0.0, -down * (height * 0.93 + above * 1e-3), (out - 1) * 3.2e-3]])
            rows.append(path.placed(local, abs(s), 1 if s >= 0 else -1)[0])
            uv.append((column / (GUM_COLUMNS - 1), (GUM_SPAN - 0.02) * (1 - row / (len(GUM_ROWS) - 1))))
    faces = []
    for row in range(len(GUM_ROWS) - 1):
        for column in range(GUM_COLUMNS - 1):
            a, b = row * GUM_COLUMNS + column, row * GUM_COLUMNS + column + 1
            faces += [(a, b, b + GUM_COLUMNS), (a, b + GUM_COLUMNS, a + GUM_COLUMNS)]
    return np.array(rows), np.array(faces), np.array(uv)
