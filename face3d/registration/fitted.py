"""A model's head whose rest is not of the model's space: joints and shapes that fit it."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from morphable import ARKIT_NAMES, MorphableModel

EYES = ("eye_left", "eye_right")
LID_GAP = 5e-4
"""Metres that skin keeps from the eyeballs."""


@dataclass(frozen=True)
class FittedHead:
    """Rest, joints and the 52 shapes, metres, in the model's frame."""

    neutral: Float[np.ndarray, "vertex 3"]
    joints: Float[np.ndarray, "4 3"]
    expressions: Float[np.ndarray, "52 vertex 3"]


def fitted_head(
    model: MorphableModel, identity: Float[np.ndarray, " identity"], vertices: Float[np.ndarray, "vertex 3"]
) -> FittedHead:
    """The head at rest at `vertices`: its eyes have moved with their lids, no skin is inside them, and the shapes are
    fitted to it.

    Args:
        model: that gives the topology.
        identity: the model's head that is nearest.
        vertices: of the head.
    """
    one = torch.as_tensor(identity, dtype=torch.float32)[None]
    with torch.no_grad():
        nearest = model.neutral(one)[0].double().numpy()
        joints = model.joints(one)[0].double().numpy()
        for side, name in enumerate(EYES):
            if name in model.parts:
                ball = model.parts[name].vertices
                joints[2 + side] += (vertices[ball] - nearest[ball]).mean(0)
        neutral = _clear_of_eyes(vertices, joints, model)
        rest, centres = (torch.as_tensor(each, dtype=torch.float32)[None] for each in (neutral, joints))
        shapes = model.shape_offsets(rest, centres, torch.eye(len(ARKIT_NAMES))[None])[0]
    return FittedHead(neutral, joints, shapes.double().numpy())


def clear_of_ball(
    points: Float[np.ndarray, "*point 3"], centre: Float[np.ndarray, "3"], radius: float
) -> Float[np.ndarray, "*point 3"]:
    """The points, those inside the ball being lifted onto it."""
    away = np.linalg.norm(points - centre, axis=-1, keepdims=True)
    return centre + (points - centre) * np.maximum(1, radius / np.maximum(away, 1e-9))


def _clear_of_eyes(
    vertices: Float[np.ndarray, "vertex 3"], joints: Float[np.ndarray, "4 3"], model: MorphableModel
) -> Float[np.ndarray, "vertex 3"]:
    vertices = vertices.copy()
    skin = model.parts["head"].vertices
    for side, name in enumerate(EYES):
        if name in model.parts:
            radius = np.linalg.norm(vertices[model.parts[name].vertices] - joints[2 + side], axis=1).max()
            vertices[skin] = clear_of_ball(vertices[skin], joints[2 + side], radius + LID_GAP)
    return vertices
