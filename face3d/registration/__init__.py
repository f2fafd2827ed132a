"""Laying a head model onto a surface: a scan, or the mesh of another head."""

from face3d.registration.landmarks import SurfaceLandmarks, find_landmarks
from face3d.registration.registration import Registration, register

__all__ = ["Registration", "SurfaceLandmarks", "find_landmarks", "register"]
