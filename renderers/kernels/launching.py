"""Launching kernels on the CPU's threads or on CUDA.

Work is cut into *items*, and every kernel takes `first` and `step`: item = first + tid * step. On CUDA all items go in
one launch on torch's current stream; on the CPU each thread of a small pool launches its share (Warp runs a CPU launch
on the calling thread and releases the GIL).

Image kernels cut every image into `bands` of rows and every band into pieces of `segment` columns. On the CPU an item
is one of `BANDS` whole bands (for drawing, one of a few for each thread); on CUDA it is a single pixel. Gradients of
vertices are accumulated into `slots` private copies, one a band on the CPU, so that no two threads share one; the
copies are summed in fixed order afterwards. The result depends neither on timing nor on the number of threads. On CUDA
there is one slot and atomics, so the last bits of vertex and texel gradients may differ from run to run.
"""

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

import torch
import warp as wp
from torch import Tensor

from .compilation import load

BANDS = 16
"""Bands of rows an image is cut into on the CPU: the unit of parallel work, and the copies of vertex gradients."""


class Grid(NamedTuple):
    """How images are cut into items."""

    items: int
    bands: int
    segment: int
    slots: int


def image_grid(batch: int, height: int, width: int, device: torch.device) -> Grid:
    if device.type == "cpu":
        return Grid(batch * BANDS, BANDS, width, BANDS)
    return Grid(batch * height * width, height, 1, 1)


def spans(count: int, device: torch.device) -> tuple[int, int]:
    """Cut a list of vertices, triangles or samples: (how many an item, items). Many on the CPU, one on CUDA."""
    span = min(max((count + BANDS - 1) // BANDS, 1024), max(count, 1)) if device.type == "cpu" else 1
    return span, (count + span - 1) // span


def launch(kernel: wp.Kernel, items: int, arguments: Sequence[Any], device: torch.device) -> None:
    """Run `kernel` over `items`; `arguments` follow `first` and `step`, tensors paired with their Warp element type.

    The calling thread takes back shares that no other thread has begun: on a busy machine some wake up late.
    """
    if items == 0:
        return
    load(device)
    values = [_array(*a) if isinstance(a, tuple) else a for a in arguments]
    if device.type != "cpu":
        stream = wp.stream_from_torch(torch.cuda.current_stream(device))
        wp.launch(kernel, items, [0, 1, *values], stream=stream)
        return
    shares = min(items, torch.get_num_threads())
    commands = [_command(kernel, items, share, shares, values) for share in range(shares)]
    others = [(command, _pool(shares - 1).submit(command.launch)) for command in commands[1:]]
    commands[0].launch()
    for command, other in others:
        if other.cancel():
            command.launch()
        else:
            other.result()


def _command(kernel: wp.Kernel, items: int, share: int, shares: int, values: Sequence[Any]) -> wp.Launch:
    """A launch of every `shares`-th item on the CPU. `wp.launch` takes 50 µs to check and pack the arguments, and would
    for each thread; a recorded launch given other arguments takes 10."""
    with _recording:
        recorded = _recorded.get(kernel)
        if recorded is None:
            recorded = _recorded[kernel] = wp.launch(kernel, 1, [0, 1, *values], device="cpu", record_cmd=True)
    command = copy(recorded)
    packed = zip(recorded.params[1:], (share, shares, *values), strict=True)
    command.params = [None, *(v if isinstance(v, ctypes.Structure) else type(kind)(v) for kind, v in packed)]
    command.set_dim((items - share + shares - 1) // shares)
    return command


_recorded: dict[wp.Kernel, wp.Launch] = {}
_recording = Lock()


def _array(tensor: Tensor, dtype: Any) -> Any:
    return wp.from_torch(tensor, dtype=dtype, requires_grad=False, return_ctype=True)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="renderers")
