"""People of the population filmed before cameras of their own: faces that do things, and what the detector sees."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from assets.identity_regression.sampling import TEXELS, background, colours, lights
from avatars.painting import draw_head, paint, to_srgb8
from face3d.perception import MediaPipeDetector
from morphable import ARKIT_NAMES, MorphableModel, on_surface
from morphable.population import Population
from renderers import Camera

SIZE = 320
"""Pixels a side of a picture."""
RESTING = 3
"""Pictures of each head that show it without an expression."""
SCENE = 8
"""Pictures between changes of light and background."""
OFTEN = {
    **{"jawOpen": 0.4, "eyeBlink": 0.25, "mouthSmile": 0.25, "mouthPucker": 0.2, "browInnerUp": 0.25, "browDown": 0.2},
    **{"mouthFunnel": 0.15, "browOuterUp": 0.15, "eyeSquint": 0.15},
}
"""How often shapes are seen; the others SELDOM."""
SELDOM = 0.07
SMALL = ("jawLeft", "jawRight", "mouthLeft", "mouthRight", "jawForward", "cheekPuff", "mouthShrugUpper")
SMALL = (*SMALL, "mouthShrugLower")
"""Shapes of which faces show a little."""
PAIRS = [
    name.removesuffix("Left")
    for name in ARKIT_NAMES
    if name.endswith("Left") and not name.startswith(("eyeLook", "jaw")) and name != "mouthLeft"
]
ALONE = [
    name
    for name in ARKIT_NAMES
    if not name.startswith("eyeLook")
    and name != "tongueOut"
    and name not in {pair + side for pair in PAIRS for side in ("Left", "Right")}
]


@dataclass(frozen=True)
class Filmed:
    """Pictures of one head, and what the detector makes of them.

    Attributes:
        neutral: the landmarks' places on the head at rest, metres.
        landmarks: pixels.
        rotations: head to camera.
        directions: of the middle of the landmarks in camera axes.
    """

    neutral: Float[np.ndarray, "478 3"]
    landmarks: Float[np.ndarray, "picture 478 3"]
    scores: Float[np.ndarray, "picture 52"]
    weights: Float[np.ndarray, "picture 52"]
    rotations: Float[np.ndarray, "picture 3 3"]
    directions: Float[np.ndarray, "picture 3"]


def filmed(model: MorphableModel, detector: MediaPipeDetector, heads: range, views: int, seed: int) -> Iterator[Filmed]:
    """`views` pictures of each head, less those on which no face is found. Each head is its own random draw."""
    people = Population.load()
    factor = people.factor(model)
    embedding = model.landmarks["mediapipe"]
    for head in heads:
        random = np.random.default_rng([seed, head])
        identity = (people.mean + factor @ torch.as_tensor(random.normal(size=model.identities))).float()[None]
        painted = paint(model, colours(model, random), TEXELS)
        weights = np.stack([expression(random) for _ in range(views)])
        weights[:RESTING] = 0
        with torch.no_grad():
            neutral, joints = model.neutral(identity), model.joints(identity)
            faces = neutral + model.shape_offsets(neutral, joints, torch.tensor(weights).float()[None])[0]
        distance = random.uniform(0.4, 1.5)
        focal = float(SIZE * random.uniform(0.42, 0.6) * distance / 0.15)
        lamps, blur, noise = lights(random), random.uniform(0, 1.2), random.uniform(0, 6)
        rows = []
        for index in range(views):
            if index % SCENE == 0:
                behind = background(random)[: 2 * SIZE, : 2 * SIZE].contiguous()
            if index % SCENE == SCENE - 1:
                lamps = lights(random)
            points = on_surface(embedding, faces[index], model.triangles)
            camera = _camera(points, random, distance, focal)
            drawn = to_srgb8(draw_head(camera, faces[index], model, painted, lights=lamps, background=behind).colour)[0]
            pixels = gaussian_filter(drawn.astype(float), (blur, blur, 0)) + random.normal(0, noise, drawn.shape)
            place = camera.project(points)[..., :2].numpy()
            corners = np.concatenate([place.min(0), place.max(0)])
            box = corners + random.normal(0, 0.03, 4) * np.tile(corners[2:] - corners[:2], 2)
            found = detector.follow(pixels.clip(0, 255).astype(np.uint8), tuple(box.tolist()))
            if found is not None:
                scores = [found.expression_scores[name] for name in ARKIT_NAMES]
                middle = (found.landmarks[:, :2].mean(0) - camera.principal.numpy()) / camera.focal.numpy()
                rows.append((found.landmarks, scores, weights[index], camera.rotation.numpy(), [*middle, 1.0]))
        at_rest = on_surface(embedding, neutral[0], model.triangles).double().numpy()
        yield Filmed(at_rest, *(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)))


def expression(random: np.random.Generator) -> Float[np.ndarray, "52"]:
    """Some shapes at once, mostly the same on both sides, and eyes that look somewhere; one in eight at rest."""
    weights = dict.fromkeys(ARKIT_NAMES, 0.0)
    for name in (*PAIRS, *ALONE):
        if random.uniform() >= OFTEN.get(name, SELDOM):
            continue
        strength = random.uniform(0.05, 1) ** 1.3 * (0.6 if name in SMALL else 1.0)
        if name in ALONE:
            weights[name] = strength
        else:
            weights[f"{name}Left"], weights[f"{name}Right"] = strength * np.array(_sides(random))
    weights["mouthClose"] = min(weights["mouthClose"], weights["jawOpen"])
    if random.uniform() < 0.12:
        weights = dict.fromkeys(ARKIT_NAMES, 0.0)
    across, up = random.normal(0, 0.35, 2).clip(-1, 1)
    for names, value in (
        (("OutLeft", "InRight"), across),
        (("InLeft", "OutRight"), -across),
        (("UpLeft", "UpRight"), up),
        (("DownLeft", "DownRight"), -up),
    ):
        weights |= {f"eyeLook{name}": max(value, 0.0) for name in names}
    return np.array(list(weights.values()))


def _sides(random: np.random.Generator) -> tuple[float, float]:
    kind = random.uniform()
    if kind < 0.6:
        return 1.0, 1.0
    if kind < 0.85:
        return random.uniform(0.5, 1), random.uniform(0.5, 1)
    weak = random.uniform(0, 0.4)
    return (1.0, weak) if kind < 0.925 else (weak, 1.0)


def _camera(
    points: Float[torch.Tensor, "landmark 3"], random: np.random.Generator, distance: float, focal: float
) -> Camera:
    turned = torch.tensor([random.normal(0, spread) for spread in (0.3, 0.17, 0.12)]).float()
    rotation = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ roma.rotvec_to_rotmat(roma.euler_to_rotvec("yxz", turned))
    away = float(distance * np.exp(random.normal(0, 0.04)))
    principal = SIZE / 2 + torch.tensor(random.uniform(-0.06, 0.06, 2) * SIZE).float()
    translation = torch.tensor([0.0, 0.0, away]) - rotation @ points.mean(0)
    return Camera(torch.full((2,), focal), principal, rotation, translation, (SIZE, SIZE))
