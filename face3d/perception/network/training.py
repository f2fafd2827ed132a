"""How the network that sees faces is taught."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from face3d.perception.network.architecture import SIZES, FaceNetwork
from face3d.perception.network.examples import Batch, Stream, landmarks_of_people
from face3d.perception.network.losses import SHARES, losses
from face3d.perception.network.weights import load_network, save_network
from face3d.perception.teaching import Lesson

PEOPLE = 2000
"""Whose landmarks say how landmarks lie."""


@dataclass(frozen=True)
class Preset:
    """How a network is taught.

    Attributes:
        size: one of SIZES.
        steps, batch: crops in all, by batch, on each process.
        rate: of learning, at its highest.
        block: photos that are shuffled together.
        workers: processes that render.
        kept_every: steps between checkpoints.
    """

    size: str
    steps: int
    batch: int
    rate: float
    block: int
    workers: int
    kept_every: int


PRESETS = {
    "cpu": Preset("full", 30_000, 16, 1.2e-3, 256, 1, 100),
    "cpu-small": Preset("small", 30_000, 16, 2e-3, 256, 1, 100),
    "gpu": Preset("large", 60_000, 128, 2e-3, 2048, 14, 1000),
}


def lesson(preset: Preset, seed: int, start: Path | None = None) -> Lesson[Batch]:
    """
    Args:
        start: a network of the preset's size to begin with; else weights are drawn from the seed.
    """
    size = SIZES[preset.size]

    def first() -> nn.Module:
        if start is not None:
            return load_network(start).requires_grad_(True)
        network = FaceNetwork(size)
        network.whiten(landmarks_of_people(seed, PEOPLE))
        return network

    def batches(step: int, rank: int, world: int) -> Iterator[Batch]:
        return Stream(seed, preset.batch, size.side, preset.block, preset.workers, rank, world).batches(step)

    def save(network: nn.Module, path: Path, notes: dict[str, str]) -> None:
        save_network(network, preset.size, path, notes)

    return Lesson(
        setting={"preset": {k: v for k, v in asdict(preset).items() if k != "steps"}, "seed": seed}
        | ({"start": str(start)} if start else {}),
        seed=seed,
        network=first,
        batches=batches,
        losses=losses,
        shares=SHARES,
        steps=preset.steps,
        batch=preset.batch,
        rate=preset.rate,
        kept_every=preset.kept_every,
        weights="perception.safetensors",
        save=save,
    )
