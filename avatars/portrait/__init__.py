"""One photo, moved by a performance.

>>> from avatars.portrait import frames, relative                 # doctest: +SKIP
>>> pictures = frames(photo, relative(photo, performance), 30.0)  # doctest: +SKIP
"""

from avatars.portrait.driving import CHOICES, absolute, relative, require_choices
from avatars.portrait.dubbing import Dubber, require_expression
from avatars.portrait.performer import PortraitPerformer, frames
from avatars.portrait.posed_photo import PosedPhoto

__all__ = [
    "CHOICES",
    "Dubber",
    "PortraitPerformer",
    "PosedPhoto",
    "absolute",
    "frames",
    "relative",
    "require_choices",
    "require_expression",
]
