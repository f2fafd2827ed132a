"""The first pictures of a process may be asked for by several threads at once."""

import subprocess
import sys

FIRST_PICTURES = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import torch
from renderers import rasterize

corners = torch.tensor([[[-0.5, -0.5, 0.0, 1.0], [0.5, -0.5, 0.0, 1.0], [0.0, 0.5, 0.0, 1.0]]])
triangles = torch.tensor([[0, 1, 2]], dtype=torch.int32)
together = Barrier(8)

def covered(_):
    together.wait()
    return int((rasterize(corners, triangles, (64, 64)).triangle >= 0).sum())

with ThreadPoolExecutor(8) as pool:
    print(len(set(pool.map(covered, range(8)))))
"""


def test_kernels_load_once() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_PICTURES], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "1"
