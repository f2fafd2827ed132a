"""The default head through the front door: `Head.save` and `Head.load`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

import morphable
from morphable import Head


@pytest.fixture(scope="module")
def default_head() -> Head:
    model = morphable.load()
    identity = torch.randn(model.identities, generator=torch.Generator().manual_seed(1))
    skin = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Head.from_model(model, identity, {"head": skin}, {"made": "by a test"})


def test_round_trip_is_exact(default_head: Head, tmp_path) -> None:
    default_head.save(tmp_path / "ä head.GLB")
    back = Head.load(tmp_path / "ä head.GLB")
    assert back == default_head
    for name in ("identity", "neutral", "expressions", "joints"):
        assert getattr(back, name).dtype == getattr(default_head, name).dtype
    assert (tmp_path / "ä head.GLB").stat().st_size < 4e6  # which leaves 6 MB to textures


def test_trimesh_measures_a_head(default_head: Head, tmp_path) -> None:
    default_head.save(tmp_path / "head.glb")
    scene = trimesh.load_scene(tmp_path / "head.glb")
    breadth, height, depth = scene.geometry[scene.graph["head"][1]].extents
    assert 0.13 < breadth < 0.25
    assert 0.2 < height < 0.4
    assert 0.15 < depth < 0.3


def test_obj_and_ply_are_written_but_not_read(default_head: Head, tmp_path) -> None:
    for suffix in ("obj", "ply"):
        default_head.save(tmp_path / f"head.{suffix}")
        with pytest.raises(ValueError, match=r"give a \.glb"):
            Head.load(tmp_path / f"head.{suffix}")
    with pytest.raises(ValueError, match=r"\.glb, \.obj, \.ply"):
        default_head.save(tmp_path / "head.stl")
