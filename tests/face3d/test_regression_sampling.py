"""What the regressions of `assets` learn from."""

import numpy as np

import morphable
from assets.identity_regression.sampling import SIZE, sightings
from assets.motion_regression.sampling import RESTING, filmed
from face3d.perception import MediaPipeDetector


def test_a_head_is_seen_in_the_picture_that_it_was_drawn_into(detector: MediaPipeDetector) -> None:
    seen = list(sightings(morphable.load(), detector, range(1), views=2, seed=1))
    assert len(seen) == 2
    for sighting in seen:
        middle = sighting.observation.landmarks[:, :2].mean(0)
        assert (np.abs(middle - SIZE / 2) < 0.2 * SIZE).all()


def test_a_filmed_head_rests_then_moves_and_the_detector_sees_it(detector: MediaPipeDetector) -> None:
    (head,) = filmed(morphable.load(), detector, range(1), views=RESTING + 5, seed=11)
    assert len(head.weights) == RESTING + 5
    assert not head.weights[:RESTING].any() and head.weights[RESTING:].any(1).all()
    turned = head.neutral @ head.rotations.transpose(0, 2, 1)
    for landmarks, points in zip(head.landmarks[:RESTING], turned, strict=False):
        assert np.corrcoef(landmarks[:, 0], points[:, 0])[0, 1] > 0.98
        assert np.corrcoef(landmarks[:, 1], points[:, 1])[0, 1] > 0.98
