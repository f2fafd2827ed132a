"""Measuring: medians of interleaved repetitions, growth exponents."""

import math
import statistics
import time
from collections.abc import Callable, Sequence


def medians(actions: Sequence[Callable[[], object]], repetitions: int = 25) -> list[float]:
    """Milliseconds of each action. Actions take turns, so that a busy machine slows all of them alike; each runs twice
    in its turn and the second run counts, so that none has to bring its data back into caches that another filled."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repetitions):
        for action, taken in zip(actions, times, strict=True):
            action()
            start = time.perf_counter()
            action()
            taken.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in times]


def growth(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost over log size by least squares: 1 is linear."""
    x, y = [math.log(s) for s in sizes], [math.log(c) for c in costs]
    x_mean, y_mean = statistics.mean(x), statistics.mean(y)
    return sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / sum((a - x_mean) ** 2 for a in x)


def figure(name: str, value: float, unit: str, peer: str | None = None, peer_value: float | None = None) -> dict:
    """One line of output. For times, ratio is how many times faster than the peer."""
    line = {"name": name, "value": round(value, 4), "unit": unit}
    if peer is not None and peer_value is not None:
        line |= {"peer": peer, "peer_value": round(peer_value, 4), "ratio": round(peer_value / value, 2)}
    return line
