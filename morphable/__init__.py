"""Head models behind one interface, and the Head: one person, ready to be moved."""

from morphable.appearance import default_textures, plain_textures
from morphable.arkit import ARKIT_NAMES
from morphable.catalogue import load, names
from morphable.head import Head
from morphable.model import JOINT_NAMES, JOINT_PARENTS, LandmarkEmbedding, MorphableModel, Part, on_surface
from morphable.performance import Performance
from morphable.texture import Texture

__all__ = [
    "ARKIT_NAMES",
    "JOINT_NAMES",
    "JOINT_PARENTS",
    "Head",
    "LandmarkEmbedding",
    "MorphableModel",
    "Part",
    "Performance",
    "Texture",
    "default_textures",
    "load",
    "names",
    "on_surface",
    "plain_textures",
]
