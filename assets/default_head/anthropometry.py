"""How large heads and faces are, and how much they differ: published measures, and where they are taken on the mesh."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Measure:
    """A distance between two points of the head, in metres, over adult men and women in equal numbers."""

    mean: float
    deviation: float


ADULTS = {
    "head_breadth": Measure(0.1515, 0.0061),
    "head_length": Measure(0.1950, 0.0075),
    "bizygomatic_breadth": Measure(0.1390, 0.0062),
    "menton_sellion": Measure(0.1175, 0.0072),
    "interpupillary": Measure(0.0630, 0.0036),
    "nose_breadth": Measure(0.0350, 0.0035),
    "nose_length": Measure(0.0505, 0.0042),
    "nose_protrusion": Measure(0.0203, 0.0027),
    "lip_length": Measure(0.0500, 0.0042),
    "fissure_length": Measure(0.0285, 0.0017),
}
"""Men and women pooled, rounded: ANSUR II (Gordon et al. 2014) for the head and the eyes' distance; NIOSH's survey of
respirator users (Zhuang and Bradtmiller 2005) for face, nose and lips; Farkas (1994) for the palpebral fissure."""
ANCHORS = ("bizygomatic_breadth", "menton_sellion", "interpupillary")
"""The measures that the mean head is given. Its others are left as MakeHuman's average adult has them: to force them
all makes a caricature."""


def gauges(mean: Float[Tensor, "vertex 3"], skin: int, points: dict[str, int]) -> dict[str, Float[Tensor, "vertex 3"]]:
    """For each of ADULTS, weights whose product with vertices is the measure. Distances are taken along the axis that
    their two ends have on the mean head.

    Args:
        skin: how many of the vertices, the first, are skin.
        points: vertices by name: those that cannot be found by their place alone.
    """
    outer = mean[:skin].numpy()
    eyes = (mean[points["eye_left"]] + mean[points["eye_right"]]).numpy() / 2
    x, y, z = (outer - eyes).T

    def farthest(score: np.ndarray, among: np.ndarray) -> int:
        chosen = np.flatnonzero(among)
        return int(chosen[score[chosen].argmax()])

    middle = np.abs(x) < 1e-3
    front = middle & (z > 0)
    sellion = farthest(-z, front & (np.abs(y) < 0.012))
    pronasale = farthest(z, front & (y < -0.02) & (y > -0.06))
    nose_tip = y[pronasale]
    subnasale = farthest(-z, front & (y < nose_tip - 0.004) & (y > nose_tip - 0.018))
    menton = farthest(-y, front & (z > z[subnasale] - 0.03))
    glabella = farthest(z, front & (y > 0.012) & (y < 0.035))
    occiput = farthest(-z, middle & (y > -0.02) & (y < 0.09))
    pairs = {
        "head_breadth": farthest(x, (y > 0.035) & (y < 0.1)),
        "bizygomatic_breadth": farthest(x, (y > -0.035) & (y < -0.005) & (z > -0.05) & (z < -0.02)),
        "nose_breadth": farthest(x, (np.abs(y - nose_tip) < 0.01) & (z > z[subnasale] - 0.01) & (np.abs(x) < 0.021)),
    }
    ends = {name: (left, _mirror_of(outer, left)) for name, left in pairs.items()} | {
        "head_length": (glabella, occiput),
        "menton_sellion": (sellion, menton),
        "interpupillary": (points["eye_left"], points["eye_right"]),
        "nose_length": (sellion, subnasale),
        "lip_length": (points["mouth_left"], points["mouth_right"]),
    }
    made = {name: _distance(mean, *pair) for name, pair in ends.items()}
    made["nose_protrusion"] = _along(mean, pronasale, subnasale, torch.tensor([0.0, 0.0, 1.0]))
    fissures = [_distance(mean, points[f"outer_{side}"], points[f"inner_{side}"]) for side in ("left", "right")]
    made["fissure_length"] = (fissures[0] + fissures[1]) / 2
    return {name: made[name] for name in ADULTS}


def _mirror_of(vertices: np.ndarray, index: int) -> int:
    return int(np.linalg.norm(vertices - vertices[index] * (-1, 1, 1), axis=1).argmin())


def _distance(mean: Tensor, one: int, other: int) -> Float[Tensor, "vertex 3"]:
    return _along(mean, one, other, torch.nn.functional.normalize(mean[one] - mean[other], dim=0))


def _along(mean: Tensor, one: int, other: int, direction: Float[Tensor, "3"]) -> Float[Tensor, "vertex 3"]:
    weights = torch.zeros_like(mean)
    weights[one] = direction
    weights[other] = -direction
    return weights
