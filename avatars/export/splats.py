"""Gaussians for other programs' viewers: .ply in the layout of 3D Gaussian Splatting, and Niantic's .spz.

Viewers take .ply as x right, y down, z forward (COLMAP's axes), and .spz as x right, y up, z backward, which are ours.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from avatars.export.staging import staging

MAGIC, SPZ_VERSION, FRACTION_BITS = 0x5053474E, 2, 12
SPZ_COLOUR = 0.15
"""What .spz multiplies colours' constant coefficients by."""
SPZ_FINENESS = 1 << 3
"""Steps to which .spz rounds bytes of coefficients of order 1."""
HALF_TURN = np.array([1, -1, -1])
"""About x, between the two kinds of axes."""


@dataclass(frozen=True)
class Splats:
    """Gaussians at rest in the world: metres, y up, the face along +z.

    Attributes:
        means: metres.
        rotations: quaternions of length 1, w x y z.
        deviations: logarithms, of metres.
        opacities: logits.
        colours: coefficients of harmonics of order 1 as 3DGS defines them, of encoded sRGB.
    """

    means: Float[np.ndarray, "gaussian 3"]
    rotations: Float[np.ndarray, "gaussian 4"]
    deviations: Float[np.ndarray, "gaussian 3"]
    opacities: Float[np.ndarray, " gaussian"]
    colours: Float[np.ndarray, "gaussian 4 3"]


def save(splats: Splats, path: str | Path) -> None:
    """Write .ply or .spz.

    Raises:
        ValueError: another suffix.
        OSError: the file cannot be written; what was there before is left as it was.
    """
    path = Path(path)
    write = {".ply": _ply, ".spz": _spz}.get(path.suffix.lower())
    if write is None:
        raise ValueError(
            f"{path}: splats are saved as .ply and .spz, a page that plays as .html, "
            f"not as {path.suffix or 'a file without a suffix'}"
        )
    with staging(path) as folder:
        (folder / path.name).write_bytes(write(splats))


def _ply(splats: Splats) -> bytes:
    turned = _turned(splats)
    count = len(turned.means)
    rest = turned.colours[:, 1:].transpose(0, 2, 1).reshape(count, -1)
    columns = {
        ("x", "y", "z"): turned.means,
        ("nx", "ny", "nz"): np.zeros((count, 3)),
        tuple(f"f_dc_{k}" for k in range(3)): turned.colours[:, 0],
        tuple(f"f_rest_{k}" for k in range(rest.shape[1])): rest,
        ("opacity",): turned.opacities[:, None],
        tuple(f"scale_{k}" for k in range(3)): turned.deviations,
        tuple(f"rot_{k}" for k in range(4)): turned.rotations,
    }
    names = [f"property float {name}" for group in columns for name in group]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}", *names, "end_header\n"]
    return "\n".join(header).encode() + np.concatenate(list(columns.values()), 1).astype("<f4").tobytes()


def _spz(splats: Splats) -> bytes:
    count = len(splats.means)
    header = struct.pack("<IIIBBBB", MAGIC, SPZ_VERSION, count, 1, FRACTION_BITS, 0, 0)
    fixed = np.round(splats.means.astype(np.float64) * (1 << FRACTION_BITS)).astype("<i4")
    turns = splats.rotations * np.where(splats.rotations[:, :1] < 0, -1, 1)
    harmonics = _byte((np.round(splats.colours[:, 1:] * 128) + 128 + SPZ_FINENESS / 2) // SPZ_FINENESS * SPZ_FINENESS)
    parts = [
        np.ascontiguousarray(fixed[..., None]).view(np.uint8).reshape(count, 3, 4)[..., :3],
        _byte(np.round(255 / (1 + np.exp(-splats.opacities)))),
        _byte(np.round(splats.colours[:, 0] * SPZ_COLOUR * 255 + 0.5 * 255)),
        _byte(np.round((splats.deviations + 10) * 16)),
        _byte(np.round(turns[:, 1:] * 127.5 + 127.5)),
        harmonics,
    ]
    return gzip.compress(header + b"".join(np.ascontiguousarray(part).tobytes() for part in parts), mtime=0)


def _turned(splats: Splats) -> Splats:
    """Half around x."""
    w, x, y, z = splats.rotations.T
    signs = np.array([1, -1, -1, 1])[:, None]
    return replace(
        splats,
        means=splats.means * HALF_TURN,
        rotations=np.stack([-x, w, -z, y], 1),
        colours=splats.colours * signs,
    )


def _byte(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)
