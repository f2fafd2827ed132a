"""Learn to tell expression and rotation from landmarks: `python -m assets.motion_regression.build`, half an hour on two
cores."""

import json
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from assets.looking import looked_at
from assets.motion_regression.learning import learned
from assets.motion_regression.sampling import filmed
from morphable import ARKIT_NAMES

HEADS, VIEWS, SEED, BATCH = 400, 24, 11, 10


def build(path: Path) -> None:
    arrays = learned(looked_at(partial(filmed, views=VIEWS, seed=SEED), HEADS, BATCH))
    save_file({name: np.ascontiguousarray(values, dtype=np.float32) for name, values in arrays.items()}, path)
    print(json.dumps(dict(zip(ARKIT_NAMES, arrays["deviations"].round(3).tolist(), strict=True))))


if __name__ == "__main__":
    build(Path(__file__).parent / "motion_regression.safetensors")
