"""three.js in headless Chromium opens a head, and its expressions move the right region of the picture.

The camera is orthographic and in front of the face, so a changed pixel is a place on the face: x to the person's left,
y up, metres from the point between the eyes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from PIL import Image

from morphable import ARKIT_NAMES, Head

pytestmark = pytest.mark.readers

WIDTH = 0.3
"""Metres across a picture."""

CHANGED = 12
"""Levels of 255 by which a pixel differs that something moved across."""


@dataclass
class Pictures:
    folder: Path
    found: dict

    def changes(self, name: str) -> Float[np.ndarray, "pixel 2"]:
        """Where the picture differs from the neutral one, metres."""
        neutral, moved = (
            np.asarray(Image.open(self.folder / f"{pose}.png").convert("RGB")).astype(int) for pose in ("neutral", name)
        )
        row, column = np.nonzero(np.abs(moved - neutral).max(axis=2) > CHANGED)
        size = len(neutral)
        return np.stack([column + 0.5 - size / 2, size / 2 - row - 0.5], axis=1) * WIDTH / size


@pytest.fixture(scope="module")
def pictures(
    node: Callable[..., dict], chromium: str, head: Head, head_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Pictures:
    folder = tmp_path_factory.mktemp("three")
    poses = {"neutral": {}} | {name: {name: 1} for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight")}
    request = {"centre": head.joints[2:].mean(axis=0).tolist(), "width": WIDTH, "poses": poses}
    return Pictures(folder, node("three/render.mjs", chromium, head_path, folder, json.dumps(request)))


def test_three_finds_everything(pictures: Pictures, head: Head) -> None:
    assert not pictures.found["complaints"]
    assert pictures.found["parts"]["head"] == list(ARKIT_NAMES)
    joints = pictures.found["joints"]
    assert [joint["name"] for joint in joints] == ["neck_joint", "head_joint", "eye_left_joint", "eye_right_joint"]
    assert np.allclose([joint["place"] for joint in joints], head.joints, atol=1e-6)


def test_jaw_open_moves_the_lower_face(pictures: Pictures) -> None:
    x, y = pictures.changes("jawOpen").T
    assert area(x) > 500
    assert np.mean(y < -0.02) > 0.98
    assert abs(x.mean()) < 0.005


def test_left_blink_moves_the_left_eye(pictures: Pictures, head: Head) -> None:
    places = pictures.changes("eyeBlinkLeft")
    left_eye = (head.joints[2] - head.joints[2:].mean(axis=0))[:2]
    assert area(places) > 50
    assert np.mean(np.linalg.norm(places - left_eye, axis=1) < 0.03) > 0.98


def test_right_smile_moves_the_right_side_of_the_mouth(pictures: Pictures) -> None:
    x, y = pictures.changes("mouthSmileRight").T
    assert area(x) > 100
    assert np.mean(y < 0) > 0.95
    assert np.mean(x < 0.01) > 0.9  # the lips pull a little across the middle
    assert x.mean() < -0.01


def area(pixels: np.ndarray) -> float:
    """Square millimetres."""
    return len(pixels) * (WIDTH * 1000 / 512) ** 2
