"""What the tests of the front door share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import morphable


@pytest.fixture
def read_only_directory(tmp_path: Path) -> Iterator[Path]:
    """A folder to which not even root can write."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        if not Path("/proc").is_dir():
            pytest.skip("root may write everywhere here")
        yield Path("/proc")
        return
    directory = tmp_path / "read only"
    directory.mkdir(mode=0o500)
    yield directory
    directory.chmod(0o700)


@pytest.fixture(scope="session")
def model() -> morphable.MorphableModel:
    return morphable.load()


@pytest.fixture(scope="session")
def skin_and_eyeballs(model: morphable.MorphableModel) -> Callable[[float, int], tuple[np.ndarray, np.ndarray]]:
    """Heads of the model, by how far from the average one and by seed: all its vertices (metres), these triangles."""
    triangles = torch.cat([model.triangles[model.parts[name].triangles] for name in ("head", "eye_left", "eye_right")])

    def made(size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        identity = size * torch.randn(1, model.identities, generator=torch.Generator().manual_seed(seed))
        return model.neutral(identity)[0].double().numpy(), triangles.long().numpy()

    return made


@pytest.fixture(scope="session")
def saved_head(model: morphable.MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The average head as a file."""
    path = tmp_path_factory.mktemp("head") / "me.glb"
    textures = morphable.default_textures(model, resolution=128)
    morphable.Head.from_model(model, torch.zeros(model.identities), textures).save(path)
    return path
