"""Texture avatars: of a drawn clip, as Gaussian ones, and of a filmed clip, as benchmarks/filmed.py says."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from avatars.texture import PRESETS, trained

from .filmed import filmed
from .gaussian_avatar import learned_from_drawn
from .timing import figure

STEPS = 1000
"""For the drawn clip."""
FILMED_LIMIT, MINUTES_LIMIT = 25.0, 30.0


def figures() -> Iterator[dict]:
    preset = replace(PRESETS["cpu"], steps=STEPS)
    own, other = learned_from_drawn(preset.size, partial(trained, preset=preset))
    yield figure("texture_drawn_psnr", own["psnr"], "dB")
    yield figure("texture_driven_psnr", other["psnr"], "dB")
    yield from filmed("texture", "texture", psnr=FILMED_LIMIT, minutes=MINUTES_LIMIT)
