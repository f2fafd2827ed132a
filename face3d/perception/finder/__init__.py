"""The project's own face detector, and how it is taught on synthetic pictures."""

from face3d.perception.finder.finding import FaceFinder, FoundFace

__all__ = ["FaceFinder", "FoundFace"]
