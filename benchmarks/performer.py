"""The mesh performer: frames a second of the default head at 512², drawn, and drawn and encoded as MP4 with sound.

Seconds of processor time a frame are told as well: they say the same on a machine that others use, too.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile

import morphable
from avatars.media import write_video
from avatars.mesh_performer import frames
from morphable import Head, Performance, default_textures

from .timing import figure

FRAMES, RATE = 240, 30


def figures() -> Iterator[dict]:
    model = morphable.load()
    head = Head.from_model(model, torch.zeros(model.identities), default_textures(model))
    performance = made_up(FRAMES)
    grey = np.full(3, 0.1)
    list(frames(head, made_up(8), RATE, background=grey))  # loads what is loaded once
    yield from timed("performer", lambda: sum(1 for _ in frames(head, performance, RATE, background=grey)))
    with tempfile.TemporaryDirectory() as folder:
        sound, video = Path(folder) / "line.wav", Path(folder) / "out.mp4"
        wavfile.write(sound, 48_000, np.random.default_rng(0).normal(0, 3000, 48_000 * 10).astype(np.int16))
        drawn = frames(head, performance, RATE, background=grey)
        yield from timed("performer_mp4", lambda: write_video(video, drawn, RATE, sound))


def timed(name: str, make: Callable[[], int]) -> Iterator[dict]:
    start, used = time.perf_counter(), time.process_time()
    count = make()
    yield figure(f"{name}_rate", count / (time.perf_counter() - start), "frames/s")
    yield figure(f"{name}_processor", 1e3 * (time.process_time() - used) / count, "ms of one core a frame")


def made_up(count: int) -> Performance:
    """A head that turns and speaks."""
    random, times = np.random.default_rng(0), np.arange(count) / RATE
    weights = 0.5 + 0.5 * np.sin(times[:, None] * random.uniform(1, 9, 52) + random.uniform(0, 6, 52))
    turns = 0.3 * np.sin(times[:, None] * [1.1, 0.7, 0.9])
    return Performance.of(times, 0.4 * weights, head=turns)
