"""Splats as other programs read them."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from avatars.export.splats import Splats, save

HALF_TURN = np.diag([1.0, -1.0, -1.0])


@pytest.fixture
def made() -> Splats:
    random = np.random.default_rng(0)
    turns = random.normal(size=(50, 4))
    return Splats(
        random.uniform(-0.2, 0.2, (50, 3)).astype(np.float32),
        (turns / np.linalg.norm(turns, axis=1, keepdims=True)).astype(np.float32),
        random.uniform(-7, -4, (50, 3)).astype(np.float32),
        random.normal(size=50).astype(np.float32),
        random.uniform(-0.9, 0.9, (50, 4, 3)).astype(np.float32),
    )


def matrices(quaternions: np.ndarray) -> np.ndarray:
    """Of w x y z."""
    w, x, y, z = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def covariances(quaternions: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    axes = matrices(quaternions) * np.exp(deviations)[:, None]
    return axes @ axes.transpose(0, 2, 1)


def linear_colour(colours: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """3DGS's terms of order 1."""
    x, y, z = directions.T[..., None]
    return -y * colours[:, 1] + z * colours[:, 2] - x * colours[:, 3]


def test_a_ply_is_what_3dgs_writes(made: Splats, tmp_path: Path) -> None:
    """Read by trimesh; x right, y down, z forward, coefficients channel by channel."""
    save(made, tmp_path / "ada.ply")
    read = trimesh.load(tmp_path / "ada.ply").metadata["_ply_raw"]["vertex"]["data"]
    assert list(read.dtype.names) == [
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{k}" for k in range(9)),
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    ]

    def columns(*names: str) -> np.ndarray:
        return np.stack([np.asarray(read[name]).ravel() for name in names], -1).astype(float)

    np.testing.assert_allclose(columns("x", "y", "z"), made.means @ HALF_TURN, atol=1e-7)
    np.testing.assert_allclose(columns("opacity")[:, 0], made.opacities)
    turned = covariances(columns(*(f"rot_{k}" for k in range(4))), columns(*(f"scale_{k}" for k in range(3))))
    expected = HALF_TURN @ covariances(made.rotations.astype(float), made.deviations) @ HALF_TURN
    np.testing.assert_allclose(turned, expected, atol=1e-9)
    rest = columns(*(f"f_rest_{k}" for k in range(9))).reshape(-1, 3, 3).transpose(0, 2, 1)
    colours = np.concatenate([columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None], rest], 1)
    directions = np.random.default_rng(1).normal(size=(50, 3))
    np.testing.assert_allclose(
        linear_colour(colours, directions @ HALF_TURN), linear_colour(made.colours, directions), atol=1e-6
    )


def test_an_spz_holds_the_same_to_its_precision(made: Splats, tmp_path: Path) -> None:
    """Taken apart as the format's description says (version 2)."""
    save(made, tmp_path / "ada.spz")
    data = gzip.decompress((tmp_path / "ada.spz").read_bytes())
    magic, version, count, degree, fraction, flags, reserved = struct.unpack("<IIIBBBB", data[:16])
    assert (magic, version, count, degree, flags, reserved) == (0x5053474E, 2, 50, 1, 0, 0)
    assert len(data) == 16 + 50 * (9 + 1 + 3 + 3 + 3 + 9)
    body = np.frombuffer(data[16:], np.uint8)
    parts = np.split(body, 50 * np.cumsum([9, 1, 3, 3, 3]))
    low, middle, high = parts[0].reshape(50, 3, 3).astype(int).transpose(2, 0, 1)
    fixed = low + (middle << 8) + (high << 16)
    means = np.where(fixed >= 1 << 23, fixed - (1 << 24), fixed) / 2**fraction
    np.testing.assert_allclose(means, made.means, atol=0.51 / 2**fraction)
    np.testing.assert_allclose(parts[1] / 255, 1 / (1 + np.exp(-made.opacities)), atol=0.51 / 255)
    colours = (parts[2].reshape(50, 3) / 255 - 0.5) / 0.15
    np.testing.assert_allclose(colours, made.colours[:, 0], atol=0.51 / 255 / 0.15)
    np.testing.assert_allclose(parts[3].reshape(50, 3) / 16 - 10, made.deviations, atol=0.51 / 16)
    vector = parts[4].reshape(50, 3) / 127.5 - 1
    scalar = np.sqrt(np.clip(1 - (vector**2).sum(1), 0, None))
    alike = np.abs((np.concatenate([scalar[:, None], vector], 1) * made.rotations).sum(1))
    assert alike.min() > math.cos(0.1)
    harmonics = (parts[5].reshape(50, 3, 3).astype(float) - 128) / 128
    np.testing.assert_allclose(harmonics, made.colours[:, 1:], atol=4.6 / 128)


def test_other_suffixes_are_named(made: Splats, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.ply and \.spz"):
        save(made, tmp_path / "ada.obj")
    assert not list(tmp_path.iterdir())
