"""What of a performance a photo plays, and against what."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float

from avatars.portrait.posed_photo import PosedPhoto
from morphable import ARKIT_NAMES, Performance

PARTS = {
    "lips": ("jaw", "mouth", "tongue"),
    "eyes": ("eye",),
    "brows": ("brow",),
    "cheeks": ("cheek", "nose"),
}
"""Parts of the face, and how the names of their shapes begin."""
CHOICES = (*PARTS, "expression", "pose")
"""What can be driven on its own; the expression is all parts of the face."""
UPRIGHT = np.diag([1.0, -1.0, -1.0])
"""From camera axes to those of a performance in front of it: y up, the face along +z."""


def relative(photo: PosedPhoto, performance: Performance, only: Iterable[str] = ()) -> Performance:
    """The performance's changes since its first frame, added to how the head was held in the photo.

    The head turns and moves about its own axes: a nod is a nod, however the photo was taken.

    Args:
        only: of CHOICES; what else there is stays as in the photo. None chosen means all.

    Returns:
        Motion in the world of the photo's camera, in which the photo itself is head and translation 0.

    Raises:
        ValueError: the performance has no frames, or a choice is none of CHOICES.
    """
    _require_frames(performance)
    start = performance.head[:1]
    back = roma.rotvec_to_rotmat(_double(-start))
    changed = performance.weights - performance.weights[:1]
    return _chosen(
        photo,
        only,
        performance,
        np.clip(photo.weights + changed, 0, 1),
        roma.rotvec_composition([_double(np.broadcast_to(-start, performance.head.shape)), _double(performance.head)]),
        _double(performance.translation - performance.translation[:1]) @ back[0].mT,
    )


def absolute(photo: PosedPhoto, performance: Performance, only: Iterable[str] = ()) -> Performance:
    """The performance as it is, whatever the photo's expression and pose: weights are the head's own, and rotations are
    against a head that faces the photo's camera. Translation starts where the head was. Else as `relative`."""
    _require_frames(performance)
    pose = torch.as_tensor(UPRIGHT) @ photo.camera.rotation.double()
    turned = pose.mT @ roma.rotvec_to_rotmat(_double(performance.head))
    moved = _double(performance.translation - performance.translation[:1]) @ pose
    return _chosen(photo, only, performance, performance.weights, roma.rotmat_to_rotvec(turned), moved)


def require_choices(only: Iterable[str]) -> None:
    """Raises:
    ValueError: one is none of CHOICES.
    """
    unknown = [name for name in only if name not in CHOICES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} cannot be driven on its own; choose of {', '.join(CHOICES)}")


def driven(names: tuple[str, ...]) -> Bool[np.ndarray, 52]:
    """Which of ARKIT_NAMES these choices drive."""
    if "expression" in names:
        return np.ones(len(ARKIT_NAMES), dtype=bool)
    starts = tuple(start for name in names for start in PARTS.get(name, ()))
    return np.array([name.startswith(starts) for name in ARKIT_NAMES])


def _chosen(
    photo: PosedPhoto,
    only: Iterable[str],
    performance: Performance,
    weights: Float[np.ndarray, "frame 52"],
    head: Float[torch.Tensor, "frame 3"],
    translation: Float[torch.Tensor, "frame 3"],
) -> Performance:
    names = tuple(only) or CHOICES
    require_choices(names)
    moves = float("pose" in names)
    return Performance.of(
        performance.times,
        np.where(driven(names), weights, photo.weights),
        head=moves * head.numpy(),
        translation=moves * translation.numpy(),
        confidence=performance.confidence,
        provenance=performance.provenance,
    )


def _require_frames(performance: Performance) -> None:
    if not len(performance):
        raise ValueError("a performance without frames cannot be played")


def _double(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(values, dtype=np.float64))
