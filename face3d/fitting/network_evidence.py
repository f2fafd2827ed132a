"""What the project's own network tells the fit: coefficients with their deviations, and dense landmarks with theirs."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from face3d.fitting.gauss_newton import Belief
from face3d.perception.network import FaceReading
from face3d.perception.network.examples import leading_directions
from face3d.synth.people import population

INDEPENDENT = 20
"""Independent measurements that a face's landmarks are worth: errors of neighbours agree."""
SHARED = 0.5
"""The part of the error of an identity that all photos of a person have in common."""


def belief(readings: Sequence[FaceReading]) -> Belief:
    """What readings of photos of one person tell of the identity, and the population.

    Along each leading direction of the population, in whose deviations it is unit, a reading is a Gaussian; its
    evidence is that less the prior, as it has been learned beside it. Each of n counts 1 / (1 + (n - 1) SHARED).
    """
    mean, directions, deviations = (torch.as_tensor(each).double() for each in leading_directions())
    factor = torch.as_tensor(population()[1]).double()
    count = 1 + (len(readings) - 1) * SHARED
    along = directions / deviations  # identity to coordinates in the population's deviations
    known, pull = torch.zeros(len(deviations)).double(), torch.zeros(len(deviations)).double()
    for reading in readings:
        precision = torch.as_tensor(reading.identity_deviation).double().clamp(max=1.0) ** -2
        coordinates = along.mT @ (torch.as_tensor(reading.identity).double() - mean)
        known += (precision - 1) / count
        pull += precision * coordinates / count
    outward = torch.linalg.inv(factor)
    estimate = mean + (directions * deviations) @ (pull / (1 + known))
    return Belief(estimate, outward.mT @ outward + (along * known) @ along.mT)


def landmark_sigma(reading: FaceReading, landmarks: int) -> Float[Tensor, " landmark"]:
    """Expected deviation of the first landmarks in pixels, such that together they weigh as INDEPENDENT ones."""
    return torch.as_tensor(reading.deviation[:landmarks]).double() * (landmarks / INDEPENDENT) ** 0.5
