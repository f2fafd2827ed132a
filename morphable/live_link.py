"""Live Link Face's names, order and angles: what its CSV files and its packets say of a frame.

A frame has 52 shapes and nine angles. Their names and order are those of the files that the iPhone app writes, which
has jawRight before jawLeft and mouthRight before mouthLeft. The angles are radians, those of an Unreal rotator (z up,
left-handed) after ARKit's axes became Unreal's, where the face looks along -x:

- yaw is positive when the face or the eye turns to the person's right,
- pitch is positive when it turns down,
- roll is positive when the top of the head leans to the person's left;

roll acts first, then pitch, then yaw. In our frame (x to the person's left, y up, z forward) the rotation is
R = Ry(-yaw) Rx(pitch) Rz(-roll). In recordings of the app, pitch rises with eyeLookDown, yaw with eyeLookInLeft and
eyeLookOutRight, and the eyes' roll is the product of yaw and pitch, as this order makes it for eyes that do not twist.
"""

import numpy as np
import roma
import torch
from jaxtyping import Float

from morphable.arkit import ARKIT_NAMES

SHAPES = (
    *("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft"),
    *("eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight"),
    *("eyeSquintRight", "eyeWideRight", "jawForward", "jawRight", "jawLeft", "jawOpen", "mouthClose", "mouthFunnel"),
    *("mouthPucker", "mouthRight", "mouthLeft", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft"),
    *("mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight"),
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft"),
    *("browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft"),
    *("cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)
"""ARKIT_NAMES in the app's order."""

ANGLES = tuple(f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll"))
COLUMNS = (*(name[0].upper() + name[1:] for name in SHAPES), *ANGLES)
"""The 61 columns' names."""

ORDER = np.array([ARKIT_NAMES.index(name) for name in SHAPES])
"""Where each of SHAPES stands in ARKIT_NAMES."""

SIGNS = torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64)
"""Of yaw, pitch and roll against rotations about our y, x and z."""

GAZE = np.radians(30.0)
"""How far the default head's eyeLook shapes turn the eyeballs at weight 1."""


def to_angles(rotations: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Yaw, pitch and roll of axis-angle rotations, both in radians; double precision."""
    angles = roma.rotvec_to_euler("YXZ", torch.as_tensor(np.asarray(rotations, dtype=np.float64)), as_tuple=False)
    turned: np.ndarray = (angles * SIGNS).numpy() + 0.0  # no -0
    return turned


def from_angles(angles: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Axis-angle rotations of yaw, pitch and roll, both in radians; double precision."""
    turns = torch.as_tensor(np.asarray(angles, dtype=np.float64)) * SIGNS
    rotations: np.ndarray = roma.euler_to_rotvec("YXZ", turns).numpy()
    return rotations


def gaze_of(weights: Float[np.ndarray, "*batch 52"]) -> Float[np.ndarray, "*batch 2 3"]:
    """How far the eyeLook weights turn the left and the right eyeball: axis-angle, radians."""
    look = {name: weights[..., ARKIT_NAMES.index(f"eyeLook{name}")] for name in _LOOKS}
    turns = [
        (look[f"Down{side}"] - look[f"Up{side}"], toward_left * (look[f"Out{side}"] - look[f"In{side}"]))
        for side, toward_left in (("Left", 1), ("Right", -1))
    ]
    return GAZE * np.stack([np.stack([down, left, np.zeros_like(down)], axis=-1) for down, left in turns], axis=-2)


def gaze_weights(gaze: Float[np.ndarray, "*batch 2 3"]) -> Float[np.ndarray, "*batch 52"]:
    """The eyeLook weights, within [0, 1], that turn the eyeballs so far; all others 0. `gaze_of` undoes it."""
    weights = np.zeros((*gaze.shape[:-2], len(ARKIT_NAMES)))
    for index, (side, toward_left) in enumerate((("Left", 1), ("Right", -1))):
        down, out = gaze[..., index, 0] / GAZE, toward_left * gaze[..., index, 1] / GAZE
        for way, turn in (("Down", down), ("Up", -down), ("Out", out), ("In", -out)):
            weights[..., ARKIT_NAMES.index(f"eyeLook{way}{side}")] = np.clip(turn, 0, 1)
    return weights


_LOOKS = tuple(f"{way}{side}" for way in ("Down", "Up", "In", "Out") for side in ("Left", "Right"))
