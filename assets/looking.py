"""Heads by the thousand before the detector, on all cores that help."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

import torch

import morphable
from face3d.perception import MediaPipeDetector
from morphable import MorphableModel

Seen = TypeVar("Seen")
Look = Callable[[MorphableModel, MediaPipeDetector, range], Iterable[Seen]]
"""What the detector makes of the default model's heads with these numbers."""
PROCESSES = 2


def looked_at(look: Look[Seen], heads: int, batch: int) -> list[Seen]:
    """What `look` gives for all heads, in order.

    Args:
        look: one that can be pickled.
        heads: how many.
        batch: how many a process looks at before it takes the next.
    """
    batches = [range(start, start + batch) for start in range(0, heads, batch)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        return [seen for some in pool.map(partial(_batch, look), batches) for seen in some]


def _batch(look: Look[Seen], heads: range) -> list[Seen]:
    torch.set_num_threads(1)
    with MediaPipeDetector() as detector:
        return list(look(morphable.load(), detector, heads))
