"""A GLB that plays a performance: clean for the Khronos validator; in three.js each vertex is where it is here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatars.export import glb
from morphable import Head, Performance
from morphable.editing import sampled
from morphable.playing import joint_motion

pytestmark = pytest.mark.readers


@pytest.fixture(scope="module")
def performance() -> Performance:
    random = np.random.default_rng(0)
    return Performance.of(
        5 + np.array([0, 0.04, 0.1, 0.2, 0.5]),
        random.random((5, 52)) * 0.3,
        head=random.normal(0, 0.3, (5, 3)),
        translation=random.normal(0, 0.02, (5, 3)),
    )


@pytest.fixture(scope="module")
def animated(head: Head, performance: Performance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("animated") / "head.glb"
    glb.save(head, path, performance)
    return path


def test_validator_finds_nothing(node: Callable[..., dict], animated: Path) -> None:
    report = node("validate.mjs", animated)
    assert not report["issues"]["messages"], report["issues"]["messages"][:5]
    assert report["info"]["animationCount"] == 1


def test_three_plays_it(
    node: Callable[..., dict], chromium: str, head: Head, performance: Performance, animated: Path, tmp_path: Path
) -> None:
    times = np.array([0, 0.04, 0.07, 0.1, 0.2])
    request = {"centre": [0, 0, 0], "width": 0.3, "poses": {}, "times": times.tolist()}
    found = node("three/render.mjs", chromium, animated, tmp_path, json.dumps(request))
    assert not found["complaints"]
    for index, played in enumerate(found["played"]):
        moment = sampled(performance, performance.times[:1] + times[index])
        motion = joint_motion(head, moment)
        posed = head.posed(head.layout, moment.weights[0], motion.rotations[0]).numpy() + motion.translations[0]
        on_a_frame = np.isclose(performance.times - performance.times[0], times[index]).any()
        close = 2e-5 if on_a_frame else 5e-3  # between frames glTF turns neck and head each the short way
        for name, part in head.layout.parts.items():
            expected = posed[part.vertices]
            assert np.abs(np.array(played[name])[: len(expected)] - expected).max() < close
