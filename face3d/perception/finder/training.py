"""How the network that finds faces is taught."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from face3d.perception.finder.architecture import FinderNetwork
from face3d.perception.finder.losses import SHARES, losses
from face3d.perception.finder.scenes import Scenes, scenes
from face3d.perception.finder.weights import save_finder
from face3d.perception.teaching import Lesson


@dataclass(frozen=True)
class Preset:
    """How a finder is taught.

    Attributes:
        side: pixels a side of a picture.
        steps, batch: pictures in all, by batch, on each process.
        rate: of learning, at its highest.
        workers: processes that render.
        kept_every: steps between checkpoints.
    """

    side: int
    steps: int
    batch: int
    rate: float
    workers: int
    kept_every: int


PRESETS = {
    "cpu": Preset(320, 12_000, 8, 2e-3, 1, 100),
    "gpu": Preset(640, 30_000, 64, 2e-3, 14, 1000),
}


def lesson(preset: Preset, seed: int) -> Lesson[Scenes]:
    def batches(step: int, rank: int, world: int) -> Iterator[Scenes]:
        return scenes(seed, preset.batch, preset.side, step, preset.workers, rank, world)

    return Lesson(
        setting={"preset": {k: v for k, v in asdict(preset).items() if k != "steps"}, "seed": seed},
        seed=seed,
        network=FinderNetwork,
        batches=batches,
        losses=losses,
        shares=SHARES,
        steps=preset.steps,
        batch=preset.batch,
        rate=preset.rate,
        kept_every=preset.kept_every,
        weights="detector.safetensors",
        save=save_finder,
    )
