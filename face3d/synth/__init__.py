"""Synthetic photos of people with exact labels, drawn from the default head: the same for the same seed and index."""

from face3d.synth.classes import CLASSES
from face3d.synth.photo import SyntheticPhoto, synthetic_photo

__all__ = ["CLASSES", "SyntheticPhoto", "synthetic_photo"]
