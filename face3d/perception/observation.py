"""What perception says about one face, and the interface of whatever says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float64, UInt8

from face3d.errors import Face3DError

if TYPE_CHECKING:
    from face3d.perception.network import FaceReading

SMALLEST_FACE = 40
"""Pixels. A narrower face shows too little to reconstruct."""


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """One face in an image of height H and width W, in that image's pixels: x right, y down.

    The centre of the top-left pixel is at (0.5, 0.5), so x runs from 0 to W and y from 0 to H.
    """

    box: tuple[float, float, float, float]
    """x0, y0, x1, y1: the extent of the landmarks."""
    landmarks: Float64[np.ndarray, "478 3"]
    """MediaPipe's 478 points: x, y, and a relative depth on the same scale, smaller towards the camera."""
    expression_scores: Mapping[str, float]
    """ARKit's 52 expression names, each from 0 to 1."""
    head_transform: Float64[np.ndarray, "4 4"] | None
    """Canonical face to camera as the detector sees it (y up, looking along -z). The rotation is a good start for
    the head's pose; the translation belongs to the detector's own camera and says nothing about the photo's."""
    score: float
    """How sure the detector is that this is a face, from 0 to 1."""
    reading: "FaceReading | None" = None
    """What the project's own network says of the face, where it was asked."""

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]


class FaceDetector(Protocol):
    """Anything that finds faces."""

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[FaceObservation]:
        """All faces of an sRGB image, most prominent first; an empty list where there are none."""
        ...

    def measure(
        self, image: UInt8[np.ndarray, "height width 3"], box: tuple[float, float, float, float]
    ) -> FaceObservation | None:
        """The face at a place that is known already, without a search; None if there is none."""
        ...


def by_prominence(faces: Sequence[FaceObservation], width: int, height: int) -> list[FaceObservation]:
    """Faces of a width x height image, largest and most central first."""
    return sorted(faces, key=lambda face: _prominence(face, width, height), reverse=True)


def select(faces: Sequence[FaceObservation], index: int = 0, photo: str = "the photo") -> FaceObservation:
    """The face that the user means; 0 is the most prominent.

    Raises Face3DError, which names the photo, if there are not that many faces or that one is too small to measure.
    """
    if not faces:
        raise Face3DError(f"No face found in {photo}; use one in which a face is larger, sharper or better lit.")
    if not 0 <= index < len(faces):
        count, allowed = ("1 face", "0") if len(faces) == 1 else (f"{len(faces)} faces", f"0 to {len(faces) - 1}")
        raise Face3DError(f"There is no face {index} in {photo}, which shows {count}; choose {allowed}.")
    face = faces[index]
    if face.width < SMALLEST_FACE:
        raise Face3DError(
            f"The face in {photo} is only {face.width:.0f} px wide; at least {SMALLEST_FACE} px are needed."
        )
    return face


def _prominence(face: FaceObservation, width: int, height: int) -> float:
    """Area, halved on the way from the centre of the image to its corners."""
    x = (face.box[0] + face.box[2]) / width - 1
    y = (face.box[1] + face.box[3]) / height - 1
    distance = min(np.hypot(x, y) / np.sqrt(2), 1.0)
    return float(face.width * face.height * (1 - 0.5 * distance))
