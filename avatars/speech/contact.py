"""Lips that meet: how far mouth shapes open them on the default head, and the weights that bring them together.

A head is linear in its weights, so the gap between the lips and the height of the lower lip's rim are, too; a contact
is asked of them, and the shape mouthClose gives what is missing. The measures at the end take it from the mesh again,
where lips are surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int

import morphable
from morphable import ARKIT_NAMES, MorphableModel, on_surface

SEAM = ((13, 14), (312, 317), (82, 87))
"""MediaPipe's landmarks on the middle of the inner rims: upper, lower."""
PARTING = ("mouthFunnel", "mouthLowerDown", "mouthShrugUpper", "mouthUpperUp", "tongueOut")
"""Shapes that part the lips in another way than the jaw does: mouthClose cannot undo them, so a contact fades them."""
FADED = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith(PARTING)]
ROUNDED = [ARKIT_NAMES.index("mouthFunnel"), ARKIT_NAMES.index("mouthPucker")]
CLOSE, JAW, ROLL = (ARKIT_NAMES.index(name) for name in ("mouthClose", "jawOpen", "mouthRollLower"))
CANINES = 0.01
"""Metres from the middle within which there are only incisors."""
PLANES = (-0.0081, -0.0041, 0.0001, 0.0041, 0.0081)
"""Metres; beside round numbers, at which vertices lie."""
LOWERING = [ARKIT_NAMES.index(f"mouthLowerDown{side}") for side in ("Left", "Right")]


@dataclass(frozen=True, eq=False)
class Lips:
    """What a weight of 1 does, metres.

    Attributes:
        gap: widens the gap between the middle of the upper and of the lower lip.
        rim: raises the lower lip's rim.
    """

    gap: Float[np.ndarray, " 52"]
    rim: Float[np.ndarray, " 52"]

    @classmethod
    def of(cls, model: MorphableModel) -> Lips:
        """Of the model's average head."""
        landmarks = model.landmarks["mediapipe"]
        seam = torch.tensor(SEAM).flatten()
        offsets = model.expressions(torch.zeros(1, model.identities))[0]
        height = on_surface(landmarks, offsets, model.triangles)[:, seam, 1]
        upper, lower = height.reshape(len(ARKIT_NAMES), len(SEAM), 2).mean(1).numpy().T
        return cls(upper - lower, lower)

    def brought_together(
        self,
        weights: Float[np.ndarray, "frame 52"],
        closure: Float[np.ndarray, " frame"],
        labiodental: Float[np.ndarray, " frame"],
    ) -> Float[np.ndarray, "frame 52"]:
        """The weights, changed so that the lips meet where closure is 1, and the lower lip the upper teeth where
        labiodental is; in between, they are that part of the way there. Nothing else in the face changes."""
        result = weights.copy()
        result[:, FADED] *= 1 - closure[:, None]
        result[:, LOWERING] *= 1 - labiodental[:, None]
        result[:, ROUNDED] *= 1 - 0.8 * labiodental[:, None]
        result[:, ROLL] = np.maximum(result[:, ROLL], labiodental)
        result[:, CLOSE] = 0
        gap, drop = np.maximum(result @ self.gap, 0), np.maximum(-result @ self.rim, 0)
        needed = np.maximum(closure * gap / -self.gap[CLOSE], labiodental * drop / self.rim[CLOSE])
        result[:, CLOSE] = np.clip(needed, weights[:, CLOSE], 1)
        return result


@cache
def default_lips() -> Lips:
    """Of the head that is shipped."""
    return Lips.of(morphable.load())


@dataclass(frozen=True, eq=False)
class Mouth:
    """Measures of a posed head's mouth, taken from its surface in planes x = constant across the middle of the lips."""

    upper: _Crossings
    lower: _Crossings
    incisors: Int[np.ndarray, " vertex"]
    rim: Int[np.ndarray, " vertex"]

    @classmethod
    def of(cls, model: MorphableModel) -> Mouth:
        neutral = model.neutral(torch.zeros(1, model.identities))[0].numpy()
        upper, lower = model.regions["lip_upper"].numpy(), model.regions["lip_lower"].numpy()
        teeth = np.arange(len(neutral))[model.parts["teeth_upper"].vertices]
        front = teeth[np.abs(neutral[teeth, 0]) < CANINES]
        edge = neutral[front, 1].min()
        rim = np.flatnonzero(lower & (np.abs(neutral[:, 0]) < CANINES))
        above, below = (_Crossings.of(model.triangles.numpy(), lip, neutral) for lip in (upper, lower))
        return cls(above, below, front[neutral[front, 1] < edge + 0.003], rim)

    def gap(self, vertices: Float[np.ndarray, "frame vertex 3"]) -> Float[np.ndarray, " frame"]:
        """The widest opening that is seen from the front, metres; negative where the lips overlap everywhere."""
        below, above = self.upper.heights(vertices), self.lower.heights(vertices)
        return np.max([b.min(1) - a.max(1) for b, a in zip(below, above, strict=True)], axis=0)

    def tooth_gap(self, vertices: Float[np.ndarray, "frame vertex 3"]) -> Float[np.ndarray, " frame"]:
        """How far the lower lip ends below the edge of the upper incisors, metres; negative where it covers them."""
        return vertices[:, self.incisors, 1].min(1) - vertices[:, self.rim, 1].max(1)


@dataclass(frozen=True, eq=False)
class _Crossings:
    """Where the edges of a lip cross each plane: their ends, and the part of the way from the first to the second."""

    planes: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def of(cls, triangles: np.ndarray, lip: np.ndarray, neutral: np.ndarray) -> _Crossings:
        own = triangles[lip[triangles].all(1)]
        edges = np.unique(np.sort(np.concatenate([own[:, [0, 1]], own[:, [1, 2]], own[:, [2, 0]]]), 1), axis=0)
        x = neutral[edges, 0]
        return cls(tuple(_crossed(edges, x, plane) for plane in PLANES))

    def heights(self, vertices: np.ndarray) -> list[np.ndarray]:
        return [
            vertices[:, edges[:, 0], 1] * (1 - part) + vertices[:, edges[:, 1], 1] * part for edges, part in self.planes
        ]


def _crossed(edges: np.ndarray, x: np.ndarray, plane: float) -> tuple[np.ndarray, np.ndarray]:
    crossing = (x[:, 0] - plane) * (x[:, 1] - plane) < 0
    return edges[crossing], (plane - x[crossing, 0]) / (x[crossing, 1] - x[crossing, 0])
