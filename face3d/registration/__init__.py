"""Laying a head model onto a surface: a scan, or the mesh of another head."""

from face3d.registration.alignment import Similarity
from face3d.registration.fitted import FittedHead, fitted_head
from face3d.registration.landmarks import SurfaceLandmarks, find_landmarks, outer_triangles
from face3d.registration.registration import Registration, register

__all__ = [
    "FittedHead",
    "Registration",
    "Similarity",
    "SurfaceLandmarks",
    "find_landmarks",
    "fitted_head",
    "outer_triangles",
    "register",
]
