"""How large heads and faces are, and how much they differ: published measures, and what they are on the mesh."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from morphable.anthropometry import anthropometric_points


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
    found = anthropometric_points(outer, eyes)
    ends = {
        "head_breadth": (found["euryon_left"], found["euryon_right"]),
        "bizygomatic_breadth": (found["zygion_left"], found["zygion_right"]),
        "nose_breadth": (found["alare_left"], found["alare_right"]),
        "head_length": (found["glabella"], found["opisthocranion"]),
        "menton_sellion": (found["sellion"], found["menton"]),
        "interpupillary": (points["eye_left"], points["eye_right"]),
        "nose_length": (found["sellion"], found["subnasale"]),
        "lip_length": (points["mouth_left"], points["mouth_right"]),
    }
    made = {name: _distance(mean, *pair) for name, pair in ends.items()}
    made["nose_protrusion"] = _along(mean, found["pronasale"], found["subnasale"], torch.tensor([0.0, 0.0, 1.0]))
    fissures = [_distance(mean, points[f"outer_{side}"], points[f"inner_{side}"]) for side in ("left", "right")]
    made["fissure_length"] = (fissures[0] + fissures[1]) / 2
    return {name: made[name] for name in ADULTS}


def _distance(mean: Tensor, one: int, other: int) -> Float[Tensor, "vertex 3"]:
    return _along(mean, one, other, torch.nn.functional.normalize(mean[one] - mean[other], dim=0))


def _along(mean: Tensor, one: int, other: int, direction: Float[Tensor, "3"]) -> Float[Tensor, "vertex 3"]:
    weights = torch.zeros_like(mean)
    weights[one] = direction
    weights[other] = -direction
    return weights
