"""An avatar of a filmed clip, by the command that a person would use (FACE3D_CLIPS names the clip's folder, else it is
looked for beside the repository; without it there are no figures)."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from face3d.avatar import train

from .timing import figure
from .tracking import CLIPS

CLIP = "monocular_portrait.mp4"
HOLDOUT = 0.2


def filmed(name: str, kind: str, *, psnr: float, minutes: float, ssim: float | None = None) -> Iterator[dict]:
    """How near it comes to the clip's end, which it has not seen, and how long it takes, against limits; figures are
    called after `name`."""
    clip = CLIPS / CLIP
    if not clip.is_file():
        return
    with tempfile.TemporaryDirectory() as folder:
        started, used = time.perf_counter(), time.process_time()
        _, found = train(clip, Path(folder) / "avatar", kind=kind, holdout=HOLDOUT)
        taken, used = time.perf_counter() - started, time.process_time() - used
    yield figure(f"{name}_filmed_psnr", found["psnr"], "dB", "limit", psnr)
    yield figure(f"{name}_filmed_ssim", found["ssim"], "", "limit", ssim)
    yield figure(f"{name}_filmed_time", taken / 60, "minutes", "limit", minutes)
    yield figure(f"{name}_filmed_processor", used / 60, "minutes of one core")
