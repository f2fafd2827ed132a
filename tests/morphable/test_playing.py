"""What joints do when a head plays a performance."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from morphable import JOINT_NAMES, Head, Performance, plain_textures
from morphable.playing import joint_motion


@pytest.fixture(scope="module")
def head(model) -> Head:
    return Head.from_model(model, torch.zeros(model.identities), plain_textures(model, resolution=16))


def test_the_skull_does_what_the_performance_says(head: Head, model) -> None:
    random = np.random.default_rng(0)
    turns, moves = random.normal(0, 0.5, (5, 3)), random.normal(0, 0.05, (5, 3))
    motion = joint_motion(head, Performance.of(np.arange(5.0), np.zeros((5, 52)), head=turns, translation=moves))
    skull = model.skinning_weights[:, 1:].sum(1).numpy() > 0.9999
    pivot = head.joints[JOINT_NAMES.index("head")]
    for turn, move, rotations, translation in zip(turns, moves, motion.rotations, motion.translations, strict=True):
        posed = head.posed(model, np.zeros(52), rotations).numpy() + translation
        expected = Rotation.from_rotvec(turn).apply(head.neutral - pivot) + pivot + move
        assert np.allclose(posed[skull], expected[skull], atol=2e-6)


def test_the_neck_turns_half_way_and_the_eyes_rest(head: Head) -> None:
    performance = Performance.of(np.zeros(1), np.zeros((1, 52)), head=[[0, 0.6, 0]], gaze=np.ones((1, 2, 3)))
    motion = joint_motion(head, performance)
    assert np.allclose(motion.rotations[0], [[0, 0.3, 0], [0, 0.3, 0], [0, 0, 0], [0, 0, 0]])
    assert np.allclose(motion.translations[0, 1], 0, atol=1e-6)


def test_stillness_moves_nothing(head: Head) -> None:
    still = Performance.of(np.arange(3.0), np.ones((3, 52)))
    motion = joint_motion(replace(head, provenance={}), still)
    assert not motion.rotations.any()
    assert not motion.translations.any()
