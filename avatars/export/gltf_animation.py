"""A performance as a glTF animation: the weights of every mesh with morph targets, and the joints of neck and head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float

from avatars.export.gltf import BinaryWriter
from morphable import JOINT_NAMES, Head, Performance
from morphable.playing import joint_motion

NECK, HEAD = JOINT_NAMES.index("neck"), JOINT_NAMES.index("head")


def animation(
    head: Head, performance: Performance, binary: BinaryWriter, morphed: Sequence[int], joints: Sequence[int]
) -> dict[str, Any]:
    """The document's `animation`, whose numbers go into `binary`; it starts at time 0.

    Args:
        morphed: the nodes whose meshes have the 52 targets.
        joints: the nodes of JOINT_NAMES.

    Raises:
        ValueError: the performance has no frames, or frames too close for glTF's 32-bit times.
    """
    if not len(performance):
        raise ValueError("a performance without frames cannot be an animation")
    times = (performance.times - performance.times[0]).astype(np.float32)
    if np.any(np.diff(times) <= 0):
        raise ValueError("the performance has frames closer to each other than glTF can tell apart; resample it")
    motion = joint_motion(head, performance)
    places = head.joints[NECK] + motion.translations
    clock = binary.accessor(times, "SCALAR", min=[float(times[0])], max=[float(times[-1])])
    curves = [
        (morphed, "weights", binary.accessor(performance.weights.ravel(), "SCALAR")),
        ([joints[NECK]], "translation", binary.accessor(places.astype(np.float32), "VEC3")),
        ([joints[NECK]], "rotation", binary.accessor(_quaternions(motion.rotations[:, NECK]), "VEC4")),
        ([joints[HEAD]], "rotation", binary.accessor(_quaternions(motion.rotations[:, HEAD]), "VEC4")),
    ]
    return {
        "name": "performance",
        "samplers": [{"input": clock, "output": output, "interpolation": "LINEAR"} for _, _, output in curves],
        "channels": [
            {"sampler": sampler, "target": {"node": node, "path": path}}
            for sampler, (nodes, path, _) in enumerate(curves)
            for node in nodes
        ],
    }


def _quaternions(rotations: Float[np.ndarray, "frame 3"]) -> Float[np.ndarray, "frame 4"]:
    """x, y, z, w."""
    turned: np.ndarray = roma.rotvec_to_unitquat(torch.as_tensor(rotations)).numpy()
    return turned.astype(np.float32)
