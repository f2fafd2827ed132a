"""Teaching a network on synthetic pictures: the same state after any number of interruptions.

Everything a step sees follows from the seed and the step's number, so a checkpoint holds no more than the network, its
running average, the optimizer and that number.
"""

import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from face3d.errors import Face3DError

STATE, LOG, CURVES = "state.pt", "log.jsonl", "curves.png"
WARM_UP = 300
"""Steps in which the rate of learning rises."""
FALL = 0.25
"""The last part of the steps, in which it falls."""
LOWEST = 0.02
"""Share of its highest to which it falls."""
AVERAGED = 0.998
"""Share of the running average that each step keeps, once there have been many."""
LARGEST_GRADIENT = 5.0
"""Norm over all parameters; longer gradients are cut to it."""


class Batch(Protocol):
    """Pictures and what is true of them."""

    @property
    def pixels(self) -> Tensor: ...

    def to(self, device: torch.device) -> Self: ...


B = TypeVar("B", bound=Batch)
Report = Callable[[int, int, float], None]
"""Told of the step, how many there are, and the loss."""


@dataclass(frozen=True)
class Lesson(Generic[B]):
    """What is taught, and how.

    Attributes:
        setting: all but `steps` that decides what is learned; plain values. A folder is gone on with only by the same
            one.
        seed: of the network's start.
        network: makes it.
        batches: from a step on, for a process of several: step, its number, how many there are.
        losses: of what the network says of a batch's pixels, term by term.
        shares: weights of the terms.
        steps, batch: in all, and pictures in each, on each process.
        rate: of learning, at its highest.
        kept_every: steps between checkpoints.
        weights: the name of the file with the network.
        save: writes it, with notes on how it came about.
    """

    setting: dict[str, Any]
    seed: int
    network: Callable[[], nn.Module]
    batches: Callable[[int, int, int], Iterator[B]]
    losses: Callable[[Any, B], dict[str, Tensor]]
    shares: dict[str, float]
    steps: int
    batch: int
    rate: float
    kept_every: int
    weights: str
    save: Callable[[nn.Module, Path, dict[str, str]], None]


def teach(folder: Path, lesson: Lesson, report: Report | None = None) -> None:
    """Go on from where the folder's checkpoint left off, else from the start; write weights, log and curves.

    With several processes (torchrun), each takes its own photos and the first one writes.

    A lesson with more steps goes on from where one with fewer ended, at the highest rate again.

    Raises:
        Face3DError: the folder's checkpoint is of another setting.
    """
    rank, world = _join()
    device = (
        torch.device("cuda", rank % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")
    )
    torch.manual_seed(lesson.seed)
    network = lesson.network().to(device)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lesson.rate, weight_decay=1e-4)
    step = _restored(folder / STATE, lesson.setting, network, average, optimizer, device)
    taught: nn.Module = DistributedDataParallel(network) if world > 1 else network
    network.train()
    sums: dict[str, float] = {}
    began, first = time.perf_counter(), step
    for batch in lesson.batches(step, rank, world):
        if step >= lesson.steps:
            break
        terms = learn(taught, lesson, batch.to(device), optimizer, rate_of_learning(lesson, step))
        _follow(average, network, step)
        step += 1
        total = float(sum(lesson.shares[name] * term for name, term in terms.items()))
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + float(term)
        sums["total"] = sums.get("total", 0.0) + total
        if report is not None:
            report(step, lesson.steps, total)
        if rank == 0 and (step % lesson.kept_every == 0 or step == lesson.steps):
            count = (step - first - 1) % lesson.kept_every + 1
            means = {name: round(value / count, 5) for name, value in sums.items()}
            speed = round((step - first) * lesson.batch * world / (time.perf_counter() - began), 2)
            _keep(folder, lesson, network, average, optimizer, step, means | {"pictures_per_second": speed})
            sums = {}
    if world > 1:
        torch.distributed.destroy_process_group()


def learn(
    network: nn.Module, lesson: Lesson[B], batch: B, optimizer: torch.optim.Optimizer, rate: float
) -> dict[str, Tensor]:
    """One step; the terms of its loss."""
    device = batch.pixels.device.type
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        sight = network(batch.pixels)
    with torch.autocast(device, enabled=False):
        terms = lesson.losses(sight, batch)
        total = torch.stack([lesson.shares[name] * term for name, term in terms.items()]).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimizer.step()
    return {name: term.detach() for name, term in terms.items()}


def rate_of_learning(lesson: Lesson, step: int) -> float:
    """Of a step: up in WARM_UP steps, down along a line over the last part, FALL. Between them it does not matter how
    many there are in all (Hägele et al. 2024), so that a run may be made longer."""
    left = (lesson.steps - step) / (FALL * lesson.steps)
    return lesson.rate * min((step + 1) / WARM_UP, max(LOWEST, min(1.0, left)))


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, step: int) -> None:
    share = min(AVERAGED, (step + 1) / (step + 10))
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - share)
        else:
            kept.copy_(new)


def _join() -> tuple[int, int]:
    """This process's number and how many there are; torchrun says so in the environment."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return int(os.environ.get("RANK", "0")), world


def _restored(
    path: Path,
    setting: dict,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    if state["setting"] != setting:
        raise Face3DError(f"{path} was taught with other settings ({state['setting']}); choose another folder.")
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _keep(
    folder: Path,
    lesson: Lesson,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    means: dict,
) -> None:
    """A checkpoint, the weights, a line of the log and the curves; a state is never half-written."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    fresh = folder / (STATE + ".new")
    torch.save(state | {"step": step, "setting": lesson.setting}, fresh)
    fresh.replace(folder / STATE)
    lesson.save(average, folder / lesson.weights, {"step": str(step), "seed": str(lesson.seed)})
    lines = [line for line in _logged(folder) if line["step"] < step] + [{"step": step} | means]
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    _plot(folder / CURVES, lines)


def _logged(folder: Path) -> list[dict]:
    path = folder / LOG
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _plot(path: Path, lines: list[dict]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in lines[-1] if name not in ("step", "pictures_per_second")]
    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(3, 3).flat, names, strict=False):
        axes.plot([line["step"] for line in lines], [line[name] for line in lines])
        axes.set_title(name)
    figure.savefig(path, dpi=80)
