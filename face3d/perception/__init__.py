"""Finding faces in a photo: boxes, 478 landmarks, 52 expression scores.

>>> with MediaPipeDetector() as detector:      # doctest: +SKIP
...     faces = detector.detect(photo.pixels)  # most prominent first
...     face = select(faces, 0)
"""

from face3d.perception.mediapipe_detector import MediaPipeDetector
from face3d.perception.observation import FaceDetector, FaceObservation, select

__all__ = ["FaceDetector", "FaceObservation", "MediaPipeDetector", "select"]
