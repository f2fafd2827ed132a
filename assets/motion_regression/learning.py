"""From pictures whose heads and motions are known to the regression of `face3d.track.motion_regression`."""

import numpy as np
import roma
import torch
from jaxtyping import Float64, Int

from assets.motion_regression.sampling import Filmed
from face3d.track.motion_regression import SHAPES, Looks, features, looks, off_axis

CHANGING, LASTING = 150, 50
"""Principal directions that are kept."""
DRAWS = 3
"""How often each head is learned from, with other frames as its usual ones."""
FEWEST_USUAL = 5
PENALTY, TURN_PENALTY = 100.0, 1000.0
"""Of the ridge, in pictures, for weights and for rotations: chosen on held-out heads."""
CHANGING_UNIT, LASTING_UNIT, SCORE_UNIT, TURN_UNIT = 0.004, 0.01, 0.1, 0.3
"""What counts as large of each kind of feature: metres, metres, of a score, radians. Directions of little variance are
small in it, so that the ridge holds them down."""
HELD_OUT = 0.15
LEAST_DEVIATION = 0.03
"""Of a weight: what never errs was never seen."""
SAMPLED = 3000
"""Rows from which principal directions are found."""


def learned(filmed: list[Filmed], seed: int = 0) -> dict[str, np.ndarray]:
    """The regression's arrays, from heads each of which was filmed in some pictures."""
    template = np.mean([each.neutral for each in filmed], axis=0)
    trained = filmed[: round((1 - HELD_OUT) * len(filmed))]
    tried = _regression(trained, template, seed)
    errors = []
    for each in filmed[len(trained) :]:
        seen = looks(each.landmarks, each.scores, template)
        rows = features(seen, seen.usual, tried["mean"], tried["changing"], tried["lasting"])
        errors.append((rows @ tried["map"] - _targets(each, seen))[:, :SHAPES])
    deviations = np.maximum(np.sqrt(np.square(np.concatenate(errors)).mean(0)), LEAST_DEVIATION)
    return _regression(filmed, template, seed) | {"template": template, "deviations": deviations}


def _regression(filmed: list[Filmed], template: Float64[np.ndarray, "478 3"], seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    pairs, targets = [], []
    for each in filmed:
        seen = looks(each.landmarks, each.scores, template)
        for _ in range(DRAWS):
            some = _usual_frames(seen, random)
            pairs.append((seen, Looks(seen.shape[some], seen.turn[some], seen.scores[some]).usual))
            targets.append(_targets(each, seen))
    mean = np.mean([usual.shape for _, usual in pairs], axis=0)
    changing = _directions(np.concatenate([seen.shape - usual.shape for seen, usual in pairs]), CHANGING, random)
    lasting = _directions(np.stack([usual.shape - mean for _, usual in pairs]), LASTING, random)
    rows = np.concatenate([features(*pair, mean, changing, lasting) for pair in pairs])
    goal = np.concatenate(targets)
    turn = [TURN_UNIT] * 3 + [TURN_UNIT**2] * 4
    scale = np.array(
        [CHANGING_UNIT] * CHANGING + [SCORE_UNIT] * SHAPES + turn + [LASTING_UNIT] * LASTING + turn + [1.0]
    )
    scaled = rows / scale
    normal, pull = scaled.T @ scaled, scaled.T @ goal
    solved = np.empty_like(pull)
    for columns, penalty in ((slice(0, SHAPES), PENALTY), (slice(SHAPES, None), TURN_PENALTY)):
        ridge = normal + penalty * DRAWS / 2 * np.eye(len(normal))
        solved[:, columns] = np.linalg.solve(ridge, pull[:, columns])
    return {"mean": mean, "changing": changing, "lasting": lasting, "map": solved / scale[:, None]}


def _usual_frames(seen: Looks, random: np.random.Generator) -> Int[np.ndarray, " some"]:
    """Frames that a clip may consist of: any, or such as show the head from about one side."""
    count = len(seen.turn)
    size = random.integers(min(FEWEST_USUAL, count), count + 1)
    if random.uniform() < 0.5:
        return random.choice(count, size, replace=False)
    one = seen.turn[random.integers(count)]
    return np.argsort(np.linalg.norm(seen.turn - one, axis=1))[:size]


def _targets(filmed: Filmed, seen: Looks) -> Float64[np.ndarray, "frame 55"]:
    """Weights, and the rotation from the similarity's to the true one."""
    flip = np.diag([1.0, -1.0, -1.0])
    on_axis = np.stack([off_axis(way).T @ turn for way, turn in zip(filmed.directions, filmed.rotations, strict=True)])
    similar = roma.rotvec_to_rotmat(torch.as_tensor(seen.turn)).numpy()
    missing = similar.transpose(0, 2, 1) @ flip @ on_axis
    return np.concatenate([filmed.weights, roma.rotmat_to_rotvec(torch.as_tensor(missing)).numpy()], axis=1)


def _directions(
    rows: Float64[np.ndarray, "row 1434"], count: int, random: np.random.Generator
) -> Float64[np.ndarray, "count 1434"]:
    some = rows[random.choice(len(rows), min(SAMPLED, len(rows)), replace=False)]
    return np.linalg.svd(some, full_matrices=False)[2][:count]
