"""Synthetic photos as WebDataset shards: tar files in which files of one stem are one example.

Of each example: `jpg`, the photo; `classes.png`, the class of each pixel; `depth.png`, tenths of a millimetre in 16
bits, 0 on the background; `normals.png`, (n + 1) / 2 of unit normals; `json`, all numbers.
"""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from face3d.output import atomic_directory
from face3d.synth.classes import CLASSES
from face3d.synth.photo import SyntheticPhoto, synthetic_photo

SHARD = 1000
"""Examples in a file."""
QUALITY = 95
DEPTH_UNIT = 1e-4
"""Metres."""


def write_shards(
    folder: Path, count: int, seed: int, size: int, progress: Callable[[float], None] = lambda done: None
) -> list[Path]:
    """Write photos 0 to count - 1 of a seed; returns the files, `photos-000000.tar` and so on.

    Raises:
        Face3DError: the folder cannot be written.
    """
    with atomic_directory(folder) as fresh:
        for first in range(0, count, SHARD):
            with tarfile.open(fresh / f"photos-{first // SHARD:06d}.tar", "w") as shard:
                for index in range(first, min(first + SHARD, count)):
                    for suffix, content in example_files(synthetic_photo(seed, index, size)).items():
                        entry = tarfile.TarInfo(f"{index:08d}.{suffix}")
                        entry.size = len(content)
                        shard.addfile(entry, io.BytesIO(content))
                    progress((index + 1) / count)
    return sorted(folder.glob("photos-*.tar"))[: -(-count // SHARD)]


def example_files(photo: SyntheticPhoto) -> dict[str, bytes]:
    """The files of one example, by suffix."""
    depth = np.round(photo.depth / DEPTH_UNIT).clip(0, 65535).astype(np.uint16)
    normals = np.round(127.5 * (photo.normals + 1)).astype(np.uint8)
    return {
        "jpg": _encoded(photo.pixels(), "JPEG", quality=QUALITY),
        "classes.png": _encoded(photo.classes, "PNG"),
        "depth.png": _encoded(depth, "PNG"),
        "normals.png": _encoded(normals, "PNG"),
        "json": json.dumps(_numbers(photo)).encode(),
    }


def _numbers(photo: SyntheticPhoto) -> dict:
    """Landmarks in pixels and in metres, the camera, and the parameters of the head and the light."""
    camera = photo.view.camera
    return {
        "classes": CLASSES,
        "landmarks": np.round(photo.landmarks, 3).tolist(),
        "visible": photo.visible.astype(int).tolist(),
        "points": np.round(photo.points, 5).tolist(),
        "camera": {name: getattr(camera, name).tolist() for name in ("focal", "principal", "rotation", "translation")},
        "head_to_camera": photo.view.rotation.tolist(),
        "identity": photo.person.identity.tolist(),
        "expression": photo.person.expression.tolist(),
        "pose": photo.person.pose.tolist(),
        "sky": photo.light.sky.tolist(),
        "lamps": [{"towards": x.towards.tolist(), "radiance": x.radiance.tolist()} for x in photo.light.lamps],
    }


def _encoded(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()
