"""A game engine imports a head: Debian's headless Godot 3.2.3, with all 52 blend shapes and the skeleton.

It has no window, so a blend shape is checked by how far it moves the part's vertices, which Godot keeps to 16 bits.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import morphable
from morphable import ARKIT_NAMES, Head

pytestmark = pytest.mark.readers


@pytest.fixture(scope="module")
def found(godot: str, head_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    project = tmp_path_factory.mktemp("godot") / "project"
    shutil.copytree(Path(__file__).parent / "godot", project)
    shutil.copy(head_path, project / "head.glb")
    import_assets(godot, project)
    command = [godot, "--path", project, "--script", "read.gd"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(next(line for line in printed.splitlines() if line.startswith("FOUND ")).removeprefix("FOUND "))


def import_assets(godot: str, project: Path) -> None:
    """Opens the project in the editor, which imports its assets; the headless editor then never quits by itself."""
    with (project / "log.txt").open("w") as log:
        editor = subprocess.Popen([godot, "--path", project, "--editor"], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not list((project / ".import").glob("head.glb-*.md5")):
                assert editor.poll() is None, (project / "log.txt").read_text()
                assert time.monotonic() < deadline, (project / "log.txt").read_text()
                time.sleep(0.1)
        finally:
            editor.kill()
            editor.wait()
    assert "gltf" not in (project / "log.txt").read_text()  # its complaints name the importer's source file


def test_godot_finds_the_skeleton(found: dict, head: Head) -> None:
    assert [bone["name"] for bone in found["bones"]] == [
        "neck_joint",
        "head_joint",
        "eye_left_joint",
        "eye_right_joint",
    ]
    assert np.allclose([bone["place"] for bone in found["bones"]], head.joints, atol=1e-6)
    assert all(mesh["bones"] for mesh in found["meshes"].values())


def test_godot_finds_the_parts_in_metres(found: dict, head: Head) -> None:
    parts = morphable.load(head.model).parts
    assert list(found["meshes"]) == list(parts)
    for name, part in parts.items():
        vertices = head.neutral[part.vertices]
        assert np.allclose(found["meshes"][name]["size"], np.ptp(vertices, axis=0), atol=1e-4)


def test_godot_plays_the_52_blend_shapes(found: dict, head: Head) -> None:
    for name, part in morphable.load(head.model).parts.items():
        offsets = head.expressions[:, part.vertices]
        if np.any(offsets):
            assert found["meshes"][name]["shapes"] == list(ARKIT_NAMES)
            assert np.allclose(found["meshes"][name]["moves"], np.linalg.norm(offsets, axis=2).max(axis=1), atol=1e-4)
