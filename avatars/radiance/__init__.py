"""Avatars of radiance fields about a head (Gao et al., "Reconstructing Personalized Semantic Facial NeRF Models From
Monocular Video", 2022; Zielonka et al., "Instant Volumetric Head Avatars", 2023)."""

from avatars.radiance.avatar import RadianceAvatar
from avatars.radiance.training import PRESETS, Preset, trained

__all__ = ["PRESETS", "Preset", "RadianceAvatar", "trained"]
