"""Laying a head model onto a surface: a scan, or the mesh of another head."""

from face3d.registration.alignment import Similarity
from face3d.registration.landmarks import SurfaceLandmarks, find_landmarks, outer_triangles
from face3d.registration.registration import Registration, register

__all__ = ["Registration", "Similarity", "SurfaceLandmarks", "find_landmarks", "outer_triangles", "register"]
