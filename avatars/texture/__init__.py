"""Avatars of a mesh with a neural texture (Thies et al., "Deferred Neural Rendering: Image Synthesis using Neural
Textures", 2019)."""

from avatars.texture.avatar import TextureAvatar
from avatars.texture.training import PRESETS, Preset, trained

__all__ = ["PRESETS", "Preset", "TextureAvatar", "trained"]
