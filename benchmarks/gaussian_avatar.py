"""Gaussian avatars: a clip of a drawn head, whose shape, poses and expressions are known, learned and compared with
held-out frames and with the true head driven by another performance; and a filmed clip, as benchmarks/filmed.py says.

Figures are means over frames of the PSNR (dB) and SSIM over the head.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from avatars.capture import Capture, still_background
from avatars.gaussian import PRESETS, Preset, trained
from avatars.mesh_performer import MeshPerformer
from avatars.neural.avatar import NeuralAvatar
from avatars.neural.evaluation import report
from avatars.painting import studio_lights
from morphable import Head, Performance
from morphable.editing import sampled
from renderers import Camera

from .filmed import filmed
from .timing import figure
from .tracking import acted, unknown_head

SIZE, FRAMES, STEPS = 256, 150, 1500
DRAWN_LIMIT, DRIVEN_LIMIT = 32.0, 2.0
FILMED_LIMIT, SIMILARITY_LIMIT, MINUTES_LIMIT = 27.0, 0.9, 25.0


def figures() -> Iterator[dict]:
    yield from drawn()
    yield from filmed("avatar", "gaussian", psnr=FILMED_LIMIT, ssim=SIMILARITY_LIMIT, minutes=MINUTES_LIMIT)


def drawn() -> Iterator[dict]:
    """From what is known: nothing is tracked."""
    own, other = learned_from_drawn(SIZE, partial(trained, preset=Preset(SIZE, STEPS, PRESETS["cpu"].capacity)))
    yield figure("avatar_drawn_psnr", own["psnr"], "dB", "limit", DRAWN_LIMIT)
    yield figure("avatar_drawn_ssim", own["ssim"], "")
    yield figure("avatar_driven_psnr", other["psnr"], "dB")
    yield figure("avatar_driven_loss", own["psnr"] - other["psnr"], "dB", "limit", DRIVEN_LIMIT)


def learned_from_drawn(size: int, learner: Callable[..., NeuralAvatar]) -> tuple[dict, dict]:
    """Reports on what is learned from a drawn clip: of frames held out, and of the true head in another performance."""
    capture = drawn_clip(unknown_head(0), acted(0, FRAMES), size)
    held_out = np.arange(round(0.8 * FRAMES), FRAMES)
    with tempfile.TemporaryDirectory() as folder:
        avatar = learner([capture], Path(folder), held_out=held_out)
        own = report(avatar, [capture], held_out, Path(folder))
        other = report(avatar, [drawn_clip(capture.head, acted(5, 30), size)], np.arange(30), Path(folder))
    return own, other


def drawn_clip(head: Head, performance: Performance, size: int) -> Capture:
    """A capture whose head, camera and performance are exactly those that it was drawn with, before grey."""
    camera = Camera.looking_at((0.0, 0.0, 0.85), (0, -0.02, 0), (0, 1, 0), 0.42, (size, size))
    performer, lights = MeshPerformer(head, 1024), studio_lights()
    layers = np.stack(
        [
            performer.draw(sampled(performance, performance.times[i : i + 1]), camera, lights)
            for i in range(len(performance))
        ]
    )
    opacity = layers[..., 3:] / 255
    frames = (layers[..., :3] * opacity + 128 * (1 - opacity) + 0.5).astype(np.uint8)
    return Capture(frames, layers[..., 3], still_background(frames, layers[..., 3]), camera, head, performance)
