"""Who is in the photo, and what the face does."""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import roma
import torch
from jaxtyping import Float

from face3d.synth.anatomy import anatomy
from morphable import ARKIT_NAMES
from morphable.population import Population

TOGETHER = 8
"""People made at once."""
PEOPLE = 2
"""Sets the chances of people apart from those of the rest of their photos."""
EXTREME, PLAIN = 0.12, 0.3
"""Shares of faces with strong expressions and with none."""
ASIDE = ("mouthLeft", "jawLeft")
SIDES = [
    (ARKIT_NAMES.index(name), ARKIT_NAMES.index(name.removesuffix("Left") + "Right"))
    for name in ARKIT_NAMES
    if name.endswith("Left") and name not in ASIDE
]
GAZE = [ARKIT_NAMES.index(name) for name in ARKIT_NAMES if name.startswith("eyeLook")]
MOTIONS = {
    "smile": {"mouthSmileLeft": 0.9, "cheekSquintLeft": 0.5, "mouthDimpleLeft": 0.3, "mouthUpperUpLeft": 0.35},
    "laugh": {"mouthSmileLeft": 0.9, "jawOpen": 0.45, "cheekSquintLeft": 0.8, "mouthUpperUpLeft": 0.5},
    "talk": {"jawOpen": 0.35, "mouthLowerDownLeft": 0.4, "mouthUpperUpLeft": 0.2},
    "shout": {"jawOpen": 0.9, "mouthStretchLeft": 0.5, "browDownLeft": 0.5},
    "surprise": {"browInnerUp": 0.9, "browOuterUpLeft": 0.8, "eyeWideLeft": 0.8, "jawOpen": 0.5},
    "frown": {"browDownLeft": 0.9, "mouthFrownLeft": 0.6, "eyeSquintLeft": 0.4, "noseSneerLeft": 0.3},
    "disgust": {"noseSneerLeft": 0.9, "mouthUpperUpLeft": 0.6, "browDownLeft": 0.6, "cheekSquintLeft": 0.5},
    "sad": {"browInnerUp": 0.8, "mouthFrownLeft": 0.7, "mouthShrugLower": 0.4},
    "pucker": {"mouthPucker": 0.9, "mouthFunnel": 0.2},
    "funnel": {"mouthFunnel": 0.8, "jawOpen": 0.2},
    "press": {"mouthPressLeft": 0.7, "mouthRollLower": 0.4, "mouthRollUpper": 0.3},
    "puff": {"cheekPuff": 0.8},
    "blink": {"eyeBlinkLeft": 1.0},
    "squint": {"eyeSquintLeft": 0.9, "cheekSquintLeft": 0.6},
    "aside": {"mouthLeft": 0.6, "jawLeft": 0.3},
}
"""What faces do, by shapes of the left side, which the right side shares."""


@dataclass(frozen=True, eq=False)
class Person:
    """A head and what it does.

    Attributes:
        identity: coefficients of the default head.
        expression: weights of ARKIT_NAMES.
        pose: axis-angle rotations of the model's joints, radians.
        vertices: of the head, posed, in metres.
        rotation, translation: of the skull: from its place at rest to that in the world.
    """

    identity: Float[np.ndarray, " identity"]
    expression: Float[np.ndarray, "52"]
    pose: Float[np.ndarray, "4 3"]
    vertices: Float[np.ndarray, "vertex 3"]
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]

    def posed(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        """Points fixed to a skull at rest as it is turned."""
        return points @ self.rotation.T + self.translation

    def at_rest(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        """Points in the world as they would lie about the skull at rest."""
        return (points - self.translation) @ self.rotation


def person(seed: int, index: int) -> Person:
    """Drawn from the population, with an expression, a gaze and a bent neck: always the same one for seed and index."""
    return _neighbours(seed, index // TOGETHER)[index % TOGETHER]


@lru_cache(maxsize=2)
def _neighbours(seed: int, block: int) -> tuple[Person, ...]:
    """Those of TOGETHER indices in a row, whose heads take half the time when they are made at once."""
    mean, factor = population()
    model = anatomy().model
    drawn = []
    for index in range(block * TOGETHER, (block + 1) * TOGETHER):
        random = np.random.default_rng([seed, index, PEOPLE])
        identity = (mean + factor @ random.normal(size=len(mean))).astype(np.float32)
        drawn.append((identity, expression(random), neck(random)))
    identities, weights, necks = (np.stack(each) for each in zip(*drawn, strict=True))
    turned = roma.euler_to_rotvec("yxz", torch.from_numpy(necks)).numpy()[:, None]
    poses = (turned * np.array([0.4, 0.6, 0, 0])[:, None]).astype(np.float32)
    top = int(model.mean[:, 1].argmax())
    with torch.no_grad():
        vertices = model(*(torch.from_numpy(each) for each in (identities, weights, poses)))[0].numpy()
        turns = roma.rotvec_to_rotmat(torch.from_numpy(poses[:, :2])).numpy()
        at_rest = (model.mean[top] + torch.from_numpy(identities) @ model.identity_basis[:, top]).numpy()
    rotations = turns[:, 0] @ turns[:, 1]
    shifts = vertices[:, top] - np.einsum("nij,nj->ni", rotations, at_rest)
    return tuple(Person(*each) for each in zip(identities, weights, poses, vertices, rotations, shifts, strict=True))


@cache
def population() -> tuple[Float[np.ndarray, " identity"], Float[np.ndarray, "identity identity"]]:
    """Mean and `Population.factor` of the default head's coefficients, which takes longer than a block of heads."""
    people = Population.load()
    return people.mean.float().numpy(), people.factor(anatomy().model).float().numpy()


def expression(random: np.random.Generator) -> Float[np.ndarray, "52"]:
    """Weights of ARKIT_NAMES: a common motion or two, some shapes each a little, sides that differ, and a gaze."""
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    kind = random.uniform()
    if kind > PLAIN:
        strength = random.uniform(0.8, 1.2) if kind > 1 - EXTREME else random.uniform(0.15, 0.9)
        for name in random.choice(list(MOTIONS), random.integers(1, 3), replace=False):
            for shape, weight in MOTIONS[name].items():
                weights[ARKIT_NAMES.index(shape)] += strength * weight * random.uniform(0.6, 1.1)
        some = random.choice(len(ARKIT_NAMES), random.integers(0, 7), replace=False)
        weights[some] += random.uniform(0.0, 0.5, len(some)) * (1.5 if kind > 1 - EXTREME else 0.8)
    _spread_to_right(random, weights)
    weights[GAZE] = 0
    _look(random, weights)
    if random.uniform() < 0.25:
        weights[[ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]] += random.uniform(0, 0.6)
    return weights.clip(0, 1)


def neck(random: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Yaw, pitch and roll of a head on a body that faces elsewhere, radians."""
    return random.normal(0, (0.3, 0.13, 0.09)).clip(-0.7, 0.7)


def _spread_to_right(random: np.random.Generator, weights: np.ndarray) -> None:
    """A quarter of faces does more on one side."""
    lopsided = random.uniform() < 0.25
    for left, right in SIDES:
        share = random.uniform(0, 1.3) if lopsided else random.uniform(0.9, 1.1)
        weights[right] += weights[left] * share
        if lopsided and random.uniform() < 0.5:
            weights[left], weights[right] = weights[right], weights[left]


def _look(random: np.random.Generator, weights: np.ndarray) -> None:
    across, up = random.normal(0, (0.35, 0.2)).clip(-1, 1)
    for side, outwards in (("Left", across), ("Right", -across)):
        for name, amount in (("Out", outwards), ("In", -outwards), ("Up", up), ("Down", -up)):
            weights[ARKIT_NAMES.index(f"eyeLook{name}{side}")] = max(amount, 0.0)
