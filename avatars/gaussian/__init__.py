"""Avatars of Gaussians bound to a head's triangles (Qian et al., "GaussianAvatars", 2024).

>>> from avatars.neural.performer import frames                              # doctest: +SKIP
>>> avatar = GaussianAvatar.load("ada.avatar")                             # doctest: +SKIP
>>> write_video("out.mp4", frames(avatar, performance, rate=25), rate=25)  # doctest: +SKIP
"""

from avatars.gaussian.avatar import GaussianAvatar
from avatars.gaussian.exporting import splats
from avatars.gaussian.lifting import lifted
from avatars.gaussian.training import PRESETS, Preset, trained
from avatars.gaussian.web import save_page

__all__ = [
    "PRESETS",
    "GaussianAvatar",
    "Preset",
    "lifted",
    "save_page",
    "splats",
    "trained",
]
