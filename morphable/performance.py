"""How a head moves, whoever wears it."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from morphable.arkit import ARKIT_NAMES

FORMATS = "morphable.performance_formats"
"""The package with a module per file format, which stands on this one."""


@dataclass(frozen=True, eq=False)
class Performance:
    """Motion over time: plain data. Drivers (video, voice, live) write it, performers read it.

    Attributes:
        times: of the frames, seconds, rising; they need not be evenly spaced.
        weights: of ARKIT_NAMES, normally in [0, 1].
        head: rotation of the skull against its rest, axis-angle in the world frame (y up, the face along +z), radians.
        translation: of the head joint against its rest, metres.
        gaze: rotation of the left and the right eyeball against the head, axis-angle, radians. The eyeLook weights show
            the same: a performer turns eyeballs by one of the two, never by both.
        confidence: from 0, nothing was seen and the frame is filled in, to 1.
        provenance: how it was made; anything that JSON can hold.
    """

    times: Float[np.ndarray, " frame"]
    weights: Float[np.ndarray, "frame 52"]
    head: Float[np.ndarray, "frame 3"]
    translation: Float[np.ndarray, "frame 3"]
    gaze: Float[np.ndarray, "frame 2 3"]
    confidence: Float[np.ndarray, " frame"]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frames = len(self.times)
        shapes = {
            "times": (frames,),
            "weights": (frames, len(ARKIT_NAMES)),
            "head": (frames, 3),
            "translation": (frames, 3),
            "gaze": (frames, 2, 3),
            "confidence": (frames,),
        }
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise ValueError(f"a performance of {frames} frames needs {name} of shape {shape}, not {found.shape}")
            if not np.isfinite(found).all():
                raise ValueError(f"a performance's {name} must be finite numbers")
        if np.any(np.diff(self.times) <= 0):
            raise ValueError("the times of a performance must rise from frame to frame")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return float(self.times[-1] - self.times[0]) if len(self) else 0.0

    def save(self, path: str | Path) -> None:
        """Write as .csv (Live Link Face), .json or .npz; the last two hold everything, exactly.

        Raises:
            ValueError: no such format.
            OSError: the file cannot be written; what was there before is left as it was.
        """
        import_module(FORMATS).save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Performance:
        """Read a .csv (of the iPhone app, too), .json or .npz.

        Raises:
            ValueError: no such format, or the file is damaged or of another kind.
            OSError: the file cannot be read.
        """
        performance: Performance = import_module(FORMATS).load(path)
        return performance

    @classmethod
    def of(
        cls,
        times: Float[np.ndarray, " frame"],
        weights: Float[np.ndarray, "frame 52"],
        head: Float[np.ndarray, "frame 3"] | None = None,
        translation: Float[np.ndarray, "frame 3"] | None = None,
        gaze: Float[np.ndarray, "frame 2 3"] | None = None,
        confidence: Float[np.ndarray, " frame"] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> Performance:
        """A performance in which what is not given keeps still and is certain."""
        frames = len(times)
        return cls(
            np.asarray(times, dtype=np.float64),
            np.asarray(weights, dtype=np.float32),
            np.zeros((frames, 3), np.float32) if head is None else np.asarray(head, dtype=np.float32),
            np.zeros((frames, 3), np.float32) if translation is None else np.asarray(translation, dtype=np.float32),
            np.zeros((frames, 2, 3), np.float32) if gaze is None else np.asarray(gaze, dtype=np.float32),
            np.ones(frames, np.float32) if confidence is None else np.asarray(confidence, dtype=np.float32),
            provenance or {},
        )
