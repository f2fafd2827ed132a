"""Glasses: rims, a bridge, temples to the ears, and lenses."""

import numpy as np
from jaxtyping import Float

from face3d.synth.pieces import Piece, joined, plain, tube

SHARE, DARK = 0.2, 0.25
"""Of people, those with glasses; of these, those with dark lenses."""
RIM = 28
"""Points along a rim."""
NOSE_TOP, TEMPLES, EARS = 168, (127, 356), (93, 323)
"""MediaPipe's points: between the eyes, at the right and left temple and before the ears."""


def glasses(
    random: np.random.Generator, points: Float[np.ndarray, "landmark 3"], axes: Float[np.ndarray, "3 3"]
) -> tuple[Piece, Piece]:
    """Frame and lenses, worn by a face with these landmarks; the rows of `axes` are the skull's left, up and forwards.
    Lenses are of the class glasses where they are dark, and else of none."""
    left, up, ahead = axes
    right_eye, left_eye = points[[33, 133]].mean(0), points[[263, 362]].mean(0)
    apart = float(np.linalg.norm(left_eye - right_eye))
    wide, high = apart * random.uniform(0.38, 0.47), apart * random.uniform(0.24, 0.42)
    power, tilt = random.uniform(2.0, 4.5), random.uniform(-0.05, 0.12)
    drop = random.uniform(-0.02, 0.14) * apart
    thick = random.uniform(0.0006, 0.0026)
    brow_depth = max(float((points[i] - points[NOSE_TOP]) @ ahead) for i in (66, 296, 168, 223, 443))
    bridge = points[NOSE_TOP] + ahead * (brow_depth + random.uniform(0.003, 0.009)) - up * drop
    turn = np.linspace(0, 2 * np.pi, RIM, endpoint=False)
    across = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power)
    along = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power)
    rims, parts = [], []
    for side in (-1, 1):
        centre = bridge + side * left * (0.5 * apart * random.uniform(0.99, 1.01)) - up * 0.25 * high
        bend = -0.09 * (side * across * wide + wide) ** 2 / apart
        outline = across[:, None] * left * wide + (along * high + tilt * side * across * wide)[:, None] * up
        rim = centre + outline + bend[:, None] * ahead
        rims.append(rim.astype(np.float32))
        if random.uniform() < 0.85 or side == 1:
            parts.append(tube(rims[-1], thick, 5, closed=True))
        hinge = rim[np.argmax(rim @ left * side)]
        ear = points[EARS[0] if side < 0 else EARS[1]] - ahead * 0.03 + up * 0.035 + side * left * 0.006
        temple = points[TEMPLES[0] if side < 0 else TEMPLES[1]] + side * left * 0.006
        hinge_out = np.array([hinge, hinge + side * left * 0.004 - ahead * 0.004])
        path = np.concatenate([hinge_out, [0.5 * (temple + ear) + 0.002 * side * left, ear - ahead * 0.012]])
        parts.append(tube(path.astype(np.float32), thick * 1.1, 5))
    gap = np.linspace(-1, 1, 6)[:, None]
    half = max(0.5 * apart - wide, 0.003)
    arc = bridge + gap * left * half + (1 - gap**2) * (0.004 * up + 0.002 * ahead)
    parts.append(tube(arc.astype(np.float32), thick, 5))
    colour = random.uniform(0.005, 0.06) * np.ones(3) if random.uniform() < 0.6 else random.uniform(0.02, 0.5, 3)
    vertices, triangles, normals = joined(parts)
    frame = Piece(vertices, triangles, normals, plain(vertices, colour), "glasses", random.uniform(0.5, 3.0))
    return frame, _lenses(random, rims, ahead)


def _lenses(random: np.random.Generator, rims: list[np.ndarray], ahead: np.ndarray) -> Piece:
    fan = np.stack([np.zeros(RIM), 1 + np.arange(RIM), 1 + (np.arange(RIM) + 1) % RIM], 1).astype(int)
    parts = []
    for rim in rims:
        middle = rim.mean(0) + 0.002 * ahead
        vertices = np.concatenate([middle[None], rim]).astype(np.float32)
        bulge = vertices - middle + 0.06 * ahead
        parts.append((vertices, fan, (bulge / np.linalg.norm(bulge, axis=1, keepdims=True)).astype(np.float32)))
    vertices, triangles, normals = joined(parts)
    if random.uniform() < DARK:
        tint, opacity = random.uniform(0.003, 0.04, 3), random.uniform(0.8, 0.97)
    else:
        tint, opacity = random.uniform(0.3, 0.6, 3), random.uniform(0.01, 0.08)
    return Piece(
        vertices, triangles, normals, plain(vertices, tint), "glasses", random.uniform(0.5, 4.0), opacity=opacity
    )
