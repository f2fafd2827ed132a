"""Where anthropometrists put their callipers, found on a head by its form."""

import numpy as np
from jaxtyping import Bool, Float

MIDDLE = 1e-3
"""Metres from the plane of symmetry within which a vertex is on it."""


def anthropometric_points(skin: Float[np.ndarray, "vertex 3"], eyes: Float[np.ndarray, "3"]) -> dict[str, int]:
    """Vertices of a head's skin by their anthropometric names: points on the middle, and pairs `…_left`, `…_right`.

    They are found on a symmetric head of average form, and stay what they are on all heads of the same topology.

    Args:
        skin: metres, y up, the face along +z, the person's left at +x.
        eyes: midway between the eyeballs' centres.
    """
    x, y, z = (skin - eyes).T

    def farthest(score: Float[np.ndarray, " vertex"], among: Bool[np.ndarray, " vertex"]) -> int:
        chosen = np.flatnonzero(among)
        return int(chosen[score[chosen].argmax()])

    middle = np.abs(x) < MIDDLE
    front = middle & (z > 0)
    sellion = farthest(-z, front & (np.abs(y) < 0.012))
    pronasale = farthest(z, front & (y < -0.02) & (y > -0.06))
    nose_tip = y[pronasale]
    subnasale = farthest(-z, front & (y < nose_tip - 0.004) & (y > nose_tip - 0.018))
    lateral = {
        "euryon": farthest(x, (y > 0.035) & (y < 0.1)),
        "zygion": farthest(x, (y > -0.035) & (y < -0.005) & (z > -0.05) & (z < -0.02)),
        "alare": farthest(x, (np.abs(y - nose_tip) < 0.01) & (z > z[subnasale] - 0.01) & (np.abs(x) < 0.021)),
    }
    return {
        "sellion": sellion,
        "pronasale": pronasale,
        "subnasale": subnasale,
        "menton": farthest(-y, front & (z > z[subnasale] - 0.03)),
        "glabella": farthest(z, front & (y > 0.012) & (y < 0.035)),
        "opisthocranion": farthest(-z, middle & (y > -0.02) & (y < 0.09)),
        **{f"{name}_left": left for name, left in lateral.items()},
        **{f"{name}_right": _mirror_of(skin, left) for name, left in lateral.items()},
    }


def _mirror_of(skin: Float[np.ndarray, "vertex 3"], index: int) -> int:
    return int(np.linalg.norm(skin - skin[index] * (-1, 1, 1), axis=1).argmin())
