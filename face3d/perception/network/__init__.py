"""The project's own network for faces, and how it is taught on synthetic photos."""

from face3d.perception.network.detector import NetworkDetector
from face3d.perception.network.reading import FaceReader, FaceReading

__all__ = ["FaceReader", "FaceReading", "NetworkDetector"]
