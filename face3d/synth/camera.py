"""Where the photo is taken from, and which square of it is kept."""

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float

from face3d.synth.people import Person
from renderers import Camera

DISTANCES = (0.25, 3.5)
"""Metres: an arm's length or less, to a telephoto lens."""
SHARES = (0.34, 0.68)
"""Of the picture's side, that of the box about the face's landmarks."""
FLIP = np.diag([1.0, -1.0, -1.0]).astype(np.float32)
"""World axes to a camera's that looks along -z."""


@dataclass(frozen=True, eq=False)
class View:
    """A camera and how it sees the skull.

    Attributes:
        camera: of the picture.
        eye: the camera's place in the world.
        rotation: of the skull, to the camera's axes with y up and z towards it; the identity looks into the camera.
    """

    camera: Camera
    eye: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]


def view(random: np.random.Generator, who: Person, points: Float[np.ndarray, "landmark 3"], size: int) -> View:
    """A camera about the head, from the front to beyond a profile, that has the landmarks within its picture."""
    turn = roma.euler_to_rotmat("yxz", _angles(random)).numpy()
    rotation = (FLIP @ turn @ who.rotation.T).astype(np.float32)
    distance = np.exp(random.uniform(*np.log(DISTANCES)))
    middle = points.mean(0)
    seen = (points - middle) @ rotation.T
    plane = seen[:, :2] / (seen[:, 2:] + distance)
    low, high = plane.min(0), plane.max(0)
    share = random.uniform(*SHARES)
    focal = size * share / float((high - low).max())
    spare = max(0.5 * (1 - share), 0.03) * size
    shift = (random.normal(0, 0.35, 2) * spare).clip(-1.2 * spare, 1.2 * spare)
    principal = size / 2 - focal * (low + high) / 2 + shift
    translation = np.array([0, 0, distance], np.float32) - rotation @ middle
    camera = Camera(
        torch.full((2,), focal),
        torch.from_numpy(principal).float(),
        torch.from_numpy(rotation),
        torch.from_numpy(translation).float(),
        (size, size),
    )
    return View(camera, (-rotation.T @ translation).astype(np.float32), FLIP @ rotation @ who.rotation)


def _angles(random: np.random.Generator) -> Float[torch.Tensor, "3"]:
    """Yaw, pitch and roll of the skull before the camera, radians: half of the photos nearly frontal, some profiles."""
    kind = random.uniform()
    if kind < 0.45:
        yaw = random.normal(0, 0.3)
    elif kind < 0.85:
        yaw = random.uniform(-1.2, 1.2)
    else:
        yaw = random.choice([-1, 1]) * random.uniform(1.0, 1.75)
    pitch, roll = random.normal(0.0, 0.25), random.normal(0, 0.22)
    return torch.tensor([yaw, np.clip(pitch, -0.7, 0.7), np.clip(roll, -0.8, 0.8)]).float()
