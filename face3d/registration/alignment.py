"""Rotations, shifts and scalings of space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float


@dataclass(frozen=True)
class Similarity:
    """Takes x to scale · rotation x + translation."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, 3]

    def __call__(self, points: Float[np.ndarray, "*point 3"]) -> Float[np.ndarray, "*point 3"]:
        return self.scale * points @ self.rotation.T + self.translation

    def inverse(self) -> Similarity:
        return Similarity(1 / self.scale, self.rotation.T.copy(), -(self.rotation.T @ self.translation) / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """`first`, then this."""
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, self(first.translation))

    def moved(self, turn: Float[np.ndarray, 3], shift: Float[np.ndarray, 3], growth: float = 0.0) -> Similarity:
        """Turned by a rotation vector, and grown by exp(growth), about the origin, then shifted."""
        factor = float(np.exp(growth))
        step = roma.rotvec_to_rotmat(torch.as_tensor(np.array(turn, dtype=float))).numpy()
        return Similarity(factor, step, np.asarray(shift, float)).after(self)


def aligning(
    points: Float[np.ndarray, "point 3"], goals: Float[np.ndarray, "point 3"], scaled: bool = False
) -> Similarity:
    """What brings points nearest to their goals, in the least-squares sense (Umeyama 1991)."""
    rotation, translation, *scale = roma.rigid_points_registration(
        torch.as_tensor(points), torch.as_tensor(goals), compute_scaling=scaled
    )
    return Similarity(float(scale[0]) if scaled else 1.0, rotation.numpy(), translation.numpy())
