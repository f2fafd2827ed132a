"""A detector whose faces the project's own network reads."""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from face3d.perception.network.reading import FaceReader
from face3d.perception.observation import FaceDetector, FaceObservation

MEDIAPIPE = 478
"""Landmarks that both have, first in the network's order."""


class NetworkDetector:
    """A FaceDetector: another one finds the faces; their landmarks are the network's, and all else that it says is in
    `FaceObservation.reading`. Depths and scores stay the other one's."""

    def __init__(self, finder: FaceDetector, reader: FaceReader) -> None:
        self.finder, self.reader = finder, reader

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[FaceObservation]:
        """All faces of an sRGB image, most prominent first."""
        return [self._read(image, face) for face in self.finder.detect(image)]

    def measure(
        self, image: UInt8[np.ndarray, "height width 3"], box: tuple[float, float, float, float]
    ) -> FaceObservation | None:
        """The face at a place that is known already; None if there is none."""
        face = self.finder.measure(image, box)
        return None if face is None else self._read(image, face)

    def _read(self, image: UInt8[np.ndarray, "height width 3"], face: FaceObservation) -> FaceObservation:
        reading = self.reader.read(image, face.box)
        landmarks = face.landmarks.copy()
        landmarks[:, :2] = reading.landmarks[:MEDIAPIPE]
        (x0, y0), (x1, y1) = landmarks[:, :2].min(0).tolist(), landmarks[:, :2].max(0).tolist()
        return replace(face, box=(x0, y0, x1, y1), landmarks=landmarks, reading=reading)
