"""Work on the processor's cores side by side: each item on one thread, rather than one item on all threads."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Made = TypeVar("Made")


def in_parallel(make: Callable[..., Made], *arguments: Sequence[Any]) -> Iterator[Made]:
    """make(a[0], b[0]), make(a[1], b[1]), ... in order, for sequences of one length; one on each core, few waiting."""
    cores = torch.get_num_threads()
    items = zip(*arguments, strict=True)
    if cores == 1 or len(arguments[0]) == 1:
        yield from (make(*item) for item in items)
        return
    pool = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))
    ahead: deque[Future[Made]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(make, *item))
            if len(ahead) > 2 * cores:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)  # what the pool's threads set is also the default of threads to come
