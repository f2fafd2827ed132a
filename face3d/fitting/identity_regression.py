"""Identity from what a detector saw: a linear estimate learned on renders that passed through the same detector.

Landmarks fitted by reprojection bend the head towards the detector's habits. Here the landmarks, laid over their mean
by a similarity, are features: in a regression learned on heads drawn from the prior, what the detector makes up of them
has no weight. `python -m assets.identity_regression.build` learns it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import roma
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from face3d.fitting.gauss_newton import Belief
from face3d.perception import FaceObservation
from morphable import ARKIT_NAMES


@dataclass(frozen=True)
class IdentityRegression:
    """For heads that look in a few directions, a linear map from features to identity, and its error's covariance.

    Both are in coordinates in which the population is a unit Gaussian: identity = mean + factor @ coordinates.
    """

    mean: Float[Tensor, " identity"]
    factor: Float[Tensor, "identity identity"]

    template: Float[Tensor, "478 3"]
    directions: Float[Tensor, "feature 1434"]
    """Principal directions of the landmarks about the template."""
    yaws: Float[Tensor, " knot"]
    """As `normalised` gives them, rising."""
    weights: Float[Tensor, "knot identity input"]
    covariances: Float[Tensor, "knot identity identity"]
    shared: float
    """The part of the evidence's error that all photos of a person have in common."""

    @classmethod
    @cache
    def load(cls) -> "IdentityRegression":
        with as_file(files("assets.identity_regression") / "identity_regression.safetensors") as path:
            tensors = {name: tensor.double() for name, tensor in load_file(path).items()}
        shared = float(tensors.pop("shared"))
        return cls(**tensors, shared=shared)

    def belief(self, observations: Sequence[FaceObservation]) -> Belief:
        """What photos of one person tell of the identity, and the population.

        Each photo's estimate is turned into evidence, its posterior less the prior, and the evidence is added up. An
        error that photos share does not average out: each of n photos counts 1 / (1 + (n - 1) shared).
        """
        count = 1 + (len(observations) - 1) * self.shared
        prior = torch.eye(self.weights.shape[1], dtype=torch.float64)
        precision, pull = prior.clone(), torch.zeros(len(prior), dtype=torch.float64)
        for observation in observations:
            estimate, covariance = self._one(observation)
            posterior = torch.linalg.inv(covariance)
            precision += (posterior - prior) / count
            pull += posterior @ estimate / count
        outward = torch.linalg.inv(self.factor)
        estimate = self.mean + self.factor @ torch.linalg.solve(precision, pull)
        return Belief(estimate, outward.mT @ precision @ outward)

    def _one(
        self, observation: FaceObservation
    ) -> tuple[Float[Tensor, " identity"], Float[Tensor, "identity identity"]]:
        aligned, yaw, pitch = normalised(observation, self.template)
        inputs = features(self.directions, self.template, aligned, yaw, pitch, observation)
        low, high, share = self._between(yaw)
        weights = (1 - share) * self.weights[low] + share * self.weights[high]
        covariance = (1 - share) * self.covariances[low] + share * self.covariances[high]
        return weights @ inputs, covariance

    def _between(self, yaw: float) -> tuple[int, int, float]:
        high = int(torch.searchsorted(self.yaws, yaw).clamp(1, len(self.yaws) - 1))
        low = high - 1
        share = (yaw - float(self.yaws[low])) / float(self.yaws[high] - self.yaws[low])
        return low, high, min(max(share, 0.0), 1.0)


def normalised(
    observation: FaceObservation, template: Float[Tensor, "478 3"]
) -> tuple[Float[Tensor, "478 3"], float, float]:
    """Landmarks laid over the template by a similarity, and the yaw and pitch of the face, radians."""
    seen = torch.as_tensor(np.asarray(observation.landmarks)).double()
    rotation, translation, scale = roma.rigid_points_registration(seen, template, compute_scaling=True)
    ahead = rotation.mT[:, 2]
    yaw, pitch = torch.atan2(ahead[0], ahead[2]), torch.asin(ahead[1].clamp(-1, 1))
    return scale * seen @ rotation.mT + translation, float(yaw), float(pitch)


def features(
    directions: Float[Tensor, "feature 1434"],
    template: Float[Tensor, "478 3"],
    aligned: Float[Tensor, "478 3"],
    yaw: float,
    pitch: float,
    observation: FaceObservation,
) -> Float[Tensor, " input"]:
    """What the regression is linear in: a one, the pose, the shape of the landmarks, the expression scores."""
    scores = torch.tensor([observation.expression_scores[name] for name in ARKIT_NAMES], dtype=torch.float64)
    pose = torch.tensor([1.0, yaw, pitch, yaw**2, pitch**2, yaw * pitch], dtype=torch.float64)
    return torch.cat([pose, directions @ (aligned - template).flatten(), scores])
