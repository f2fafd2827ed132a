"""Pictures with several faces, put together from synthetic photos of one person each, and what is true of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from face3d.perception.finder.architecture import POINTS
from face3d.perception.network.crop import Crop
from face3d.perception.network.examples import Rendered, as_input, rendered_blocks
from face3d.synth.background import background
from face3d.synth.classes import INDEX
from face3d.synth.faults import with_faults

COUNTS = (0.12, 0.3, 0.2, 0.14, 0.1, 0.08, 0.06)
"""Shares of pictures with no face, one, two …"""
MOST_FACES = len(COUNTS) - 1
ON_FACE = 468
"""Landmarks before the irises'."""
MIRRORED_POINTS = [1, 0, 2, 4, 3]
SMALLEST, LARGEST = 9.0, 1.2
"""Side of a face's box: pixels; and a part of the picture's side, divided by the number of faces."""
APART = 0.8
"""How near the middles of two faces may be, over the mean of their sides."""
LEAST_SHOWN = 0.4
"""Of a face's box, for the face to count."""
WHOLE = 0.5
"""Share of people who come with what is behind them."""
BLOCK, SCENES = 512, 4096
"""Photos that pictures are put together from before others are rendered; and how many pictures."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """A batch of pictures; faces beyond a picture's own are padding.

    Attributes:
        pixels: sRGB in [-1, 1].
        there: which faces are no padding.
        box: x0, y0, x1, y1 of the landmarks, pixels.
        points: of `architecture.POINTS`, pixels.
        rotation: of the skull, to the camera's axes with y up and z towards it.
    """

    pixels: Float[Tensor, "batch 3 side side"]
    there: Bool[Tensor, "batch face"]
    box: Float[Tensor, "batch face 4"]
    points: Float[Tensor, "batch face 5 2"]
    rotation: Float[Tensor, "batch face 3 3"]

    def to(self, device: torch.device) -> "Scenes":
        return Scenes(*(each.to(device) for each in vars(self).values()))


def scenes(
    seed: int, batch: int, side: int, first_step: int, workers: int, rank: int = 0, world: int = 1
) -> Iterator[Scenes]:
    """Batches without end, always the same ones, from a step on as if all before it had been drawn."""
    steps = SCENES // batch
    start, skipped = divmod(first_step, steps)
    for number, block in enumerate(rendered_blocks(seed, BLOCK, start, workers, rank, world), start):
        for step in range(skipped, steps):
            seeds = ([seed, number, rank, step, item, 11] for item in range(batch))
            yield _batched([scene(block, np.random.default_rng(each), side) for each in seeds])
        skipped = 0


def scene(people: list[Rendered], random: np.random.Generator, side: int) -> dict[str, np.ndarray]:
    """One picture with up to MOST_FACES of the people, the nearer before the farther."""
    picture = background(random, side) * np.float32(random.uniform(0.5, 1.5))
    points = np.zeros((MOST_FACES, len(POINTS), 2), np.float32)
    box, rotation = np.zeros((MOST_FACES, 4), np.float32), np.zeros((MOST_FACES, 3, 3), np.float32)
    owner = np.full((side, side), -1)
    count, there = int(random.choice(MOST_FACES + 1, p=COUNTS)), 0
    largest = LARGEST * side / max(count, 1)
    sizes = np.exp(random.uniform(np.log(SMALLEST), np.log(largest), count))
    for size in np.sort(sizes):
        middle = random.uniform(-0.1 * size, side + 0.1 * size, 2)
        others = (box[:there, :2] + box[:there, 2:]) / 2, (box[:there, 2:] - box[:there, :2]).max(1)
        if (np.linalg.norm(middle - others[0], axis=1) < APART * (others[1] + size) / 2).any():
            continue
        who = people[random.integers(len(people))]
        landmarks, rotation[there], where = _put(picture, who, size, middle, random)
        owner[where] = there
        points[there] = landmarks[list(POINTS)]
        box[there] = *landmarks[:ON_FACE].min(0), *landmarks[:ON_FACE].max(0)
        there += 1
    result = {
        "pixels": with_faults(random, picture),
        "there": np.array([index < there and _shown(owner == index, box[index]) for index in range(MOST_FACES)]),
        "box": box,
        "points": points,
        "rotation": rotation,
    }
    return _mirrored(result) if random.uniform() < 0.5 else result


def _put(
    picture: Float[np.ndarray, "side side 3"],
    who: Rendered,
    size: float,
    middle: Float[np.ndarray, "2"],
    random: np.random.Generator,
) -> tuple[Float[np.ndarray, "landmark 2"], Float[np.ndarray, "3 3"], Bool[np.ndarray, "side side"]]:
    """Draw a person into the picture, a little turned, with or without what is behind; landmarks and rotation there,
    and which pixels are covered."""
    low, high = who["landmarks"][:ON_FACE].min(0), who["landmarks"][:ON_FACE].max(0)
    scale = size / (high - low).max()
    reach = int(np.ceil(0.75 * scale * len(who["classes"])))
    corner = np.floor(middle).astype(int) - reach
    x, y = (low + high) / 2
    about = Crop(x, y, 2 * reach / scale, random.normal(0, 0.2))
    x, y = about.out_of((1 - (middle - corner) / (2 * reach))[None])[0]
    crop = replace(about, x=x, y=y)
    alpha = (who["classes"] != INDEX["background"]).astype(np.float32)[..., None]
    if random.uniform() < WHOLE:
        alpha = np.ones_like(alpha)
    drawn = crop.cut(np.concatenate([alpha * who["linear"].astype(np.float32), alpha], 2), 2 * reach)
    x0, y0 = np.maximum(corner, 0)
    x1, y1 = np.minimum(corner + 2 * reach, len(picture))
    part = drawn[y0 - corner[1] : y1 - corner[1], x0 - corner[0] : x1 - corner[0]]
    picture[y0:y1, x0:x1] = picture[y0:y1, x0:x1] * (1 - part[..., 3:]) + part[..., :3]
    covered = np.zeros(picture.shape[:2], bool)
    covered[y0:y1, x0:x1] = part[..., 3] > 0.5
    return crop.into(who["landmarks"]) * (2 * reach) + corner, crop.rotation() @ who["rotation"], covered


def _shown(own: Bool[np.ndarray, "side side"], box: Float[np.ndarray, "4"]) -> bool:
    """Whether enough of a face is seen in the picture."""
    x0, y0, x1, y1 = box
    left, top, right, bottom = (max(round(float(edge)), 0) for edge in box)
    return bool(own[top:bottom, left:right].sum() > LEAST_SHOWN * (x1 - x0) * (y1 - y0))


def _mirrored(scene: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    side, flip = scene["pixels"].shape[1], np.diag([-1.0, 1.0, 1.0]).astype(np.float32)
    x0, y0, x1, y1 = scene["box"].T
    return {
        "pixels": scene["pixels"][:, ::-1],
        "there": scene["there"],
        "box": np.stack([side - x1, y0, side - x0, y1], 1),
        "points": scene["points"][:, MIRRORED_POINTS] * np.array([-1, 1], np.float32) + np.array([side, 0], np.float32),
        "rotation": flip @ scene["rotation"] @ flip,
    }


def _batched(drawn: Iterable[dict[str, np.ndarray]]) -> Scenes:
    each = list(drawn)
    stacked = {name: torch.from_numpy(np.stack([one[name] for one in each])) for name in each[0]}
    return Scenes(**stacked | {"pixels": as_input(stacked["pixels"])})
