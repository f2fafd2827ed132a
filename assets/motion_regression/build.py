"""Learn to tell expression and rotation from landmarks: `python -m assets.motion_regression.build`, half an hour on two
cores."""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import morphable
from assets.motion_regression.learning import learned
from assets.motion_regression.sampling import Filmed, filmed
from face3d.perception import MediaPipeDetector
from morphable import ARKIT_NAMES

HEADS, VIEWS, SEED, BATCH = 400, 24, 11, 10
PROCESSES = 2


def build(path: Path) -> None:
    batches = [range(start, start + BATCH) for start in range(0, HEADS, BATCH)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        heads = [head for some in pool.map(_looked_at, batches) for head in some]
    arrays = learned(heads)
    save_file({name: np.ascontiguousarray(values, dtype=np.float32) for name, values in arrays.items()}, path)
    print(json.dumps(dict(zip(ARKIT_NAMES, arrays["deviations"].round(3).tolist(), strict=True))))


def _looked_at(heads: range) -> list[Filmed]:
    torch.set_num_threads(1)
    with MediaPipeDetector() as detector:
        return list(filmed(morphable.load(), detector, heads, VIEWS, SEED))


if __name__ == "__main__":
    build(Path(__file__).parent / "motion_regression.safetensors")
