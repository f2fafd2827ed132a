"""How fast synthetic photos are made: CPU time of one process, and from it those a second on two cores."""

import time
from collections.abc import Iterator

import torch

from benchmarks.timing import figure
from face3d.synth import synthetic_photo

PHOTOS, CORES = 48, 2
LIMIT = 40.0
"""Photos of 256 x 256 pixels a second on two cores, one process on each."""


def figures() -> Iterator[dict]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for index in range(8):
            synthetic_photo(1, index).pixels()
        began = time.process_time()
        for index in range(PHOTOS):
            synthetic_photo(0, index).pixels()
        each = (time.process_time() - began) / PHOTOS
    finally:
        torch.set_num_threads(threads)
    yield figure("synthetic_photo", 1e3 * each, "ms of CPU time")
    yield figure("synthetic_photos_on_two_cores", CORES / each, "photos/s", "limit", LIMIT)
