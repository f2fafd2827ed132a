"""How a head wears a performance: what its joints do, the same in a picture, a glTF file and a USD file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from morphable.head import Head
from morphable.model import JOINT_NAMES
from morphable.performance import Performance
from morphable.skinning import rotation_matrices

NECK_SHARE = 0.5
"""Of the skull's rotation, what the neck does; the head's joint does the rest, about the same axis."""
NECK, HEAD = JOINT_NAMES.index("neck"), JOINT_NAMES.index("head")


@dataclass(frozen=True)
class JointMotion:
    """What the joints do at each frame.

    Attributes:
        rotations: of JOINT_NAMES against their parents, axis-angle, radians. The eyes' joints rest, as the eyeLook
            shapes turn the eyeballs.
        translations: of the root, the neck, against its rest, metres.
    """

    rotations: Float[np.ndarray, "frame 4 3"]
    translations: Float[np.ndarray, "frame 3"]


def joint_motion(head: Head, performance: Performance) -> JointMotion:
    """Skull and head joint do exactly what the performance says; neck and root are moved so that they can."""
    rotations = np.zeros((len(performance), len(JOINT_NAMES), 3), dtype=np.float32)
    rotations[:, NECK] = NECK_SHARE * performance.head
    rotations[:, HEAD] = performance.head - rotations[:, NECK]
    upwards = head.joints[HEAD] - head.joints[NECK]
    turned = rotation_matrices(torch.as_tensor(rotations[:, NECK])).numpy() @ upwards
    return JointMotion(rotations, performance.translation - (turned - upwards))
