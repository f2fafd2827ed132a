"""How long a photo takes to become a head, against the stated limits: scikit-image's portrait at full quality."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import figure
from face3d.fitting.evidence import OUTER_EYE_CORNERS
from face3d.perception import MediaPipeDetector
from face3d.photo import Photo, load_photo
from face3d.reconstruction import run_reconstruction

WARM_LIMIT, COLD_LIMIT = 8.0, 20.0
"""Seconds, of one photo."""
SEVERAL, SEVERAL_LIMIT = 5, 20.0
"""Photos, and seconds for them all."""
MEMORY_LIMIT = 2.0
"""Gigabytes."""
ERROR_LIMIT = 3.0
"""Per cent of the distance between the outer eye corners."""
REPETITIONS = 3


def figures() -> Iterator[dict]:
    with tempfile.TemporaryDirectory() as folder:
        path = _portrait(Path(folder) / "portrait.png")
        seconds, gigabytes = _cold(path, Path(folder))
        yield figure("reconstruct_cold", seconds, "s", "limit", COLD_LIMIT)
        yield figure("reconstruct_peak_memory", gigabytes, "GB", "limit", MEMORY_LIMIT)
        yield figure("closed_loop_error", _closed_loop_error(load_photo(path)), "%", "limit", ERROR_LIMIT)
        one, several = (_warm([load_photo(path)] * count, Path(folder)) for count in (1, SEVERAL))
        yield figure("reconstruct_warm", one, "s", "limit", WARM_LIMIT)
        yield figure("reconstruct_five_warm", several, "s", "limit", SEVERAL_LIMIT)
        yield figure("reconstruct_five_warm", several, "s", "one photo, five times", SEVERAL * one)


def _portrait(path: Path) -> Path:
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(path)
    return path


def _closed_loop_error(photo: Photo) -> float:
    """Median distance between the landmarks detected on the photo and on the picture of its fit, in per cent."""
    with MediaPipeDetector() as detector:
        fit = run_reconstruction(photo, texture_size=64, detector=detector).fit
        seen, drawn = (detector.detect(image)[0].landmarks[:, :2] for image in (photo.pixels, fit))
    right, left = (seen[corner] for corner in OUTER_EYE_CORNERS)
    return float(100 * np.median(np.linalg.norm(seen - drawn, axis=1)) / np.linalg.norm(left - right))


def _warm(photos: list[Photo], folder: Path) -> float:
    """Seconds of a later reconstruction in one process, saving included."""
    times = []
    with MediaPipeDetector() as detector:
        for _ in range(1 + REPETITIONS):
            start = time.perf_counter()
            run_reconstruction(photos, detector=detector).save(folder / "warm")
            times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _cold(path: Path, folder: Path) -> tuple[float, float]:
    """Seconds and peak memory of a whole process; on Linux, if this one has needed less so far."""
    command = [sys.executable, "-m", "face3d", "reconstruct", str(path), "-o", str(folder / "cold")]
    times, peak = [], 0
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        times.append(time.perf_counter() - start)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"face3d reconstruct failed with exit code {process.returncode}")
        peak = max(peak, usage.ru_maxrss)
    return statistics.median(times), peak * (1 if sys.platform == "darwin" else 1024) / 1e9
