"""The default head as a file, and the programs that open it; where a program is missing, its tests skip."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import morphable
from morphable import Head

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def make_head() -> Callable[[float], Head]:
    """A head of the default model in plain colours, `spread` standard deviations from the mean."""
    model = morphable.load()
    colours = {"head": (205, 160, 140), "eyes": (235, 235, 235), "teeth": (225, 220, 205), "tongue": (190, 100, 100)}
    textures = {name: np.full((64, 64, 3), colour, dtype=np.uint8) for name, colour in colours.items()}
    textures["lashes"] = np.full((64, 64, 4), 60, dtype=np.uint8)

    def make(spread: float) -> Head:
        direction = torch.randn(model.identities, generator=torch.Generator().manual_seed(0))
        deviation = np.linspace(0, 2e-3, len(model.mean))
        factor = np.eye(model.identities)[:, :20]
        return Head.from_model(model, spread * direction, textures, deviation=deviation, identity_factor=factor)

    return make


@pytest.fixture(scope="session")
def head(make_head: Callable[[float], Head]) -> Head:
    return make_head(0)


@pytest.fixture(scope="session")
def head_path(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readers") / "head.glb"
    head.save(path)
    return path


@pytest.fixture(scope="session")
def node() -> Callable[..., dict]:
    """Runs a script of this folder with Node.js and returns the JSON that it prints."""
    program = find_program("node")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("Node's packages are not installed: run `npm ci` in tests/readers")

    def run(script: str, *arguments: object) -> dict:
        command = [program, str(HERE / script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def chromium() -> str:
    return find_program("chromium")


@pytest.fixture(scope="session")
def godot() -> str:
    return find_program("godot3-server")


def find_program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program
