"""The named stages of long work: told to whoever watches, and timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Progress = Callable[[str, float], None]
"""Told of a stage's name and how far it is, from 0 to 1."""


@dataclass
class Stages:
    """Tells of stages and times them, in seconds."""

    progress: Progress | None
    seconds: dict[str, float] = field(default_factory=dict)
    name: str = ""
    began: float = 0.0

    def __call__(self, name: str) -> None:
        self.finish()
        self.name, self.began = name, time.perf_counter()
        self.at(0.0)

    def at(self, fraction: float) -> None:
        if self.progress is not None:
            self.progress(self.name, fraction)

    def finish(self) -> dict[str, float]:
        if self.name:
            self.seconds[self.name] = round(time.perf_counter() - self.began, 3)
            self.at(1.0)
        return self.seconds
