"""Learn to tell identity from landmarks: `python -m assets.identity_regression.build`, half an hour on two cores."""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import save_file

import morphable
from assets.identity_regression.learning import learned
from assets.identity_regression.sampling import Sighting, sightings
from face3d.perception import MediaPipeDetector
from morphable.population import Population

HEADS, VIEWS, SEED, BATCH = 2400, 2, 1, 50
PROCESSES = 2


def build(path: Path) -> None:
    batches = [range(start, start + BATCH) for start in range(0, HEADS, BATCH)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        seen = [sighting for some in pool.map(_looked_at, batches) for sighting in some]
    people = Population.load()
    tensors, errors = learned(seen, people.mean, people.factor(morphable.load()))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    print(json.dumps({"pictures": len(seen), "mean square error by yaw": errors}))


def _looked_at(heads: range) -> list[Sighting]:
    torch.set_num_threads(1)
    with MediaPipeDetector() as detector:
        return list(sightings(morphable.load(), detector, heads, VIEWS, SEED))


if __name__ == "__main__":
    build(Path(__file__).parent / "identity_regression.safetensors")
