"""Where the fit begins: the average head before a likely camera."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from face3d.fitting.gauss_newton import GaussianPriors, State

FOCAL_PER_SIDE = 1.2
"""Likely focal length of an unknown camera over its image's longer side: a phone's is 0.75, a portrait lens's 2."""
FOCAL_SPREAD = 0.8
"""Standard deviation of the logarithm of that: unknown photos are cropped, too."""
EXIF_SPREAD = 0.01
"""The same where the camera wrote its focal length down: 35 mm equivalents are rounded to whole millimetres."""
DISTANCE = 0.9
"""Metres between a face and a camera: a selfie is taken at 0.4, a portrait at 2."""
DISTANCE_SPREAD = 0.2
"""Standard deviation of the logarithm of that: narrow, since landmarks tell perspective from shape poorly."""
EXPRESSION_SPREAD = 0.18
"""Standard deviation of a detector's expression score around the weight that makes it."""


def priors(expression_scores: Float[Tensor, "52"], focal: float | None, height: int, width: int) -> GaussianPriors:
    """What is known of a photo of a face before its pixels are measured."""
    likely = focal if focal is not None else FOCAL_PER_SIDE * max(height, width)
    return GaussianPriors(
        expression=expression_scores,
        expression_sigma=torch.full_like(expression_scores, EXPRESSION_SPREAD),
        log_focal=math.log(likely),
        log_focal_sigma=EXIF_SPREAD if focal is not None else FOCAL_SPREAD,
        log_distance=math.log(DISTANCE),
        log_distance_sigma=3.0 if focal is not None else DISTANCE_SPREAD,
    )


def first_state(
    mean_landmarks: Float[Tensor, "point 3"],
    detected: Float[np.ndarray, "point 3"],
    beliefs: GaussianPriors,
    identity: Float[Tensor, " identity"],
    principal: Float[Tensor, "2"],
) -> State:
    """A head turned and placed so that the average one meets the landmarks under weak perspective.

    The similarity that carries the model's points onto the detector's, whose third coordinate is a relative depth, is
    found in closed form (Umeyama 1991).
    """
    target = torch.as_tensor(detected, dtype=torch.float64)
    source_centre, target_centre = mean_landmarks.mean(0), target.mean(0)
    source, goal = mean_landmarks - source_centre, target - target_centre
    u, values, vt = torch.linalg.svd(goal.mT @ source)
    flip = torch.tensor([1.0, 1.0, float(torch.linalg.det(u @ vt).sign())], dtype=torch.float64)
    rotation = u @ torch.diag(flip) @ vt
    pixels_per_metre = (values * flip).sum() / source.square().sum()
    log_focal = torch.tensor(beliefs.log_focal, dtype=torch.float64)
    depth = log_focal.exp() / pixels_per_metre
    centre = torch.cat([(target_centre[:2] - principal) / pixels_per_metre, depth[None]])
    return State(
        identity=identity,
        expression=beliefs.expression.clone(),
        rotation=rotation,
        translation=centre - rotation @ source_centre,
        log_focal=log_focal,
    )
