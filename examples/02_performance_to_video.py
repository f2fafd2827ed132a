"""A head blinks and smiles in a video and a GLB: `python examples/02_performance_to_video.py [head.glb]`."""

import sys
from pathlib import Path

import numpy as np
import torch

import morphable
from avatars.export import glb
from avatars.media import write_video
from avatars.mesh_performer import frames
from morphable import ARKIT_NAMES, Head, Performance, default_textures

RATE = 30


def main() -> None:
    folder = Path("out/performance")
    folder.mkdir(parents=True, exist_ok=True)
    head = Head.load(sys.argv[1]) if len(sys.argv) > 1 else average_head()
    performance = smile_and_blink()
    performance.save(folder / "smile.csv")
    write_video(folder / "smile.mp4", frames(head, performance, RATE, background=np.full(3, 0.03)), RATE)
    glb.save(head, folder / "smile.glb", performance)
    print(f"Written: {', '.join(str(path) for path in sorted(folder.glob('smile.*')))}")


def average_head() -> Head:
    model = morphable.load()
    return Head.from_model(model, torch.zeros(model.identities), default_textures(model))


def smile_and_blink() -> Performance:
    times = np.arange(3 * RATE) / RATE
    weights = np.zeros((len(times), len(ARKIT_NAMES)))
    for side in ("Left", "Right"):
        weights[:, ARKIT_NAMES.index(f"eyeBlink{side}")] = bump(times, at=0.8, width=0.06)
        weights[:, ARKIT_NAMES.index(f"mouthSmile{side}")] = 0.8 * bump(times, at=1.8, width=0.4)
    turning = 0.3 * np.sin(2 * np.pi * times / 3)
    return Performance.of(times, weights, head=np.stack([0 * turning, turning, 0 * turning], axis=1))


def bump(times: np.ndarray, at: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((times - at) / width) ** 2)


if __name__ == "__main__":
    main()
