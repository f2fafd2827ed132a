"""Learn to tell identity from landmarks: `python -m assets.identity_regression.build`, half an hour on two cores."""

import json
from functools import partial
from pathlib import Path

from safetensors.torch import save_file

import morphable
from assets.identity_regression.learning import learned
from assets.identity_regression.sampling import sightings
from assets.looking import looked_at
from morphable.population import Population

HEADS, VIEWS, SEED, BATCH = 2400, 2, 1, 50


def build(path: Path) -> None:
    seen = looked_at(partial(sightings, views=VIEWS, seed=SEED), HEADS, BATCH)
    people = Population.load()
    tensors, errors = learned(seen, people.mean, people.factor(morphable.load()))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    print(json.dumps({"pictures": len(seen), "mean square error by yaw": errors}))


if __name__ == "__main__":
    build(Path(__file__).parent / "identity_regression.safetensors")
