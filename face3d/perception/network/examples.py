"""Examples to learn from: synthetic photos, each rendered once and seen several times, never the same way twice."""

import itertools
import multiprocessing
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from face3d.perception.network.architecture import IDENTITIES
from face3d.perception.network.crop import Crop, about
from face3d.synth.anatomy import anatomy
from face3d.synth.camera import view
from face3d.synth.classes import MIRRORED
from face3d.synth.faults import with_faults
from face3d.synth.people import TOGETHER, person, population
from face3d.synth.photo import SyntheticPhoto, synthetic_photo
from morphable import ARKIT_NAMES

RENDER_SIZE = 256
BLOCKS_PLANNED = 1000
"""Blocks whose photos one set of worker processes makes."""
PASSES = 6
"""How often each rendered photo is seen."""
TURN = 0.2
"""Deviation of how crops are turned, radians."""
UNKNOWN = 255
"""Class of pixels beyond the rendered photo."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops and what is true of them; see `architecture.Sight`. `classes` are at half of the crop's resolution, and
    `known` is 1 where the place of a landmark is."""

    pixels: Float[Tensor, "batch 3 side side"]
    landmarks: Float[Tensor, "batch landmark 2"]
    known: Float[Tensor, "batch landmark"]
    visible: Float[Tensor, "batch landmark"]
    classes: Int[Tensor, "batch half half"]
    rotation: Float[Tensor, "batch 3 3"]
    identity: Float[Tensor, "batch identity"]
    expression: Float[Tensor, "batch 52"]

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(each.to(device, non_blocking=True) for each in vars(self).values()))


Rendered = dict[str, np.ndarray]


class RenderedPhotos(Dataset):
    """Synthetic photos as plain arrays, in groups of TOGETHER, by the first one's index over that number."""

    def __init__(self, seed: int, groups: list[int]) -> None:
        self.seed, self.groups = seed, groups

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, item: int) -> list[Rendered]:
        torch.set_num_threads(1)
        first = self.groups[item] * TOGETHER
        return [rendered(synthetic_photo(self.seed, first + i, RENDER_SIZE)) for i in range(TOGETHER)]


def rendered(photo: SyntheticPhoto) -> Rendered:
    """What an example needs of a photo."""
    return {
        "linear": photo.linear.astype(np.float16),
        "landmarks": photo.landmarks.astype(np.float32),
        "known": np.ones(len(photo.landmarks), bool),
        "visible": photo.visible,
        "classes": photo.classes,
        "rotation": photo.view.rotation.astype(np.float32),
        "identity": leading_coordinates(photo.person.identity),
        "expression": photo.person.expression,
    }


@dataclass(frozen=True)
class Stream:
    """Batches without end, always the same ones: block after block of rendered photos, each seen PASSES times.

    Attributes:
        seed: of the photos and of how they are seen.
        batch, side: crops of a batch, and pixels a side of a crop.
        block: photos that are shuffled together, a multiple of TOGETHER.
        workers: processes that render ahead; 0 renders between blocks.
        rank, world: which share of the photos this process takes.
    """

    seed: int
    batch: int
    side: int
    block: int
    workers: int = 0
    rank: int = 0
    world: int = 1

    @property
    def steps_per_block(self) -> int:
        return self.block * PASSES // self.batch

    def batches(self, first_step: int) -> Iterator[Batch]:
        """From a step on, as if all before it had been drawn."""
        start, skipped = divmod(first_step, self.steps_per_block)
        blocks = rendered_blocks(self.seed, self.block, start, self.workers, self.rank, self.world)
        for number, block in enumerate(blocks, start):
            random = np.random.default_rng([self.seed, number, self.rank, 7])
            order = np.concatenate([random.permutation(self.block) for _ in range(PASSES)])
            for step in range(skipped, self.steps_per_block):
                chosen = order[step * self.batch : (step + 1) * self.batch]
                seeds = [[self.seed, number, self.rank, step, k] for k in range(self.batch)]
                pairs = zip(chosen, seeds, strict=True)
                yield batched([seen(block[i], np.random.default_rng(s), self.side) for i, s in pairs])
            skipped = 0


def rendered_blocks(
    seed: int, block: int, start: int, workers: int, rank: int = 0, world: int = 1
) -> Iterator[list[Rendered]]:
    """A process's share of the seed's photos, `block` at a time, from one block on without end.

    Args:
        workers: processes that make them about a block ahead of their use; 0 makes them when they are asked for.
    """
    groups = block // TOGETHER
    firsts = ((number * world + rank) * groups for number in itertools.count(start))
    ahead = max(groups // workers, 1) if workers else None
    while True:
        chosen = [first + i for first in itertools.islice(firsts, BLOCKS_PLANNED) for i in range(groups)]
        loader: DataLoader = DataLoader(
            RenderedPhotos(seed, chosen),
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_is,
            prefetch_factor=ahead,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_end_with_parent,
        )
        photos = iter(loader)
        for _ in range(BLOCKS_PLANNED):
            yield [photo for group in itertools.islice(photos, groups) for photo in group]


def landmarks_of_people(seed: int, count: int) -> Float[Tensor, "face landmark 2"]:
    """Where people's landmarks are in pictures of the seed that nobody draws, turned as crops are."""
    found = []
    for index in range(count):
        random, who = np.random.default_rng([seed, index, 13]), person(seed, index)
        points = anatomy().landmarks(who.vertices)
        camera = view(random, who, points, RENDER_SIZE).camera
        crop = Crop(0.0, 0.0, RENDER_SIZE, random.normal(0, TURN))
        found.append(crop.into(camera.project(torch.from_numpy(points)).numpy()))
    return torch.from_numpy(np.stack(found)).float()


def seen(photo: Rendered, random: np.random.Generator, side: int, jitter: float = 1.0) -> Rendered:
    """A rendered photo as a crop, by chance turned, shifted and mirrored, with a camera's faults.

    Args:
        side: pixels a side of the crop.
        jitter: scales these chances; at 0 the crop is upright and never mirrored.
    """
    landmarks = photo["landmarks"]
    low, high = landmarks[:468].min(0), landmarks[:468].max(0)
    extent = float((high - low).max())
    shift = random.normal(0, 0.07 * jitter * extent, 2)
    scale = np.exp(random.normal(0, 0.13 * jitter))
    centred = about((*(low + shift), *(high + shift)))
    crop = Crop(centred.x, centred.y, centred.extent * scale, random.normal(0, TURN * jitter))
    pixels = with_faults(random, np.ascontiguousarray(crop.cut(photo["linear"].astype(np.float32), side)))
    classes = _nearest(crop, photo["classes"], side // 2)
    result = {
        "pixels": pixels,
        "landmarks": crop.into(landmarks),
        "known": photo["known"],
        "visible": photo["visible"],
        "classes": classes,
        "rotation": crop.rotation() @ photo["rotation"],
        "identity": photo["identity"],
        "expression": photo["expression"],
    }
    return mirrored(result) if jitter and random.uniform() < 0.5 else result


def mirrored(example: Rendered) -> Rendered:
    """What a mirror shows: left and right change their places in all labels."""
    order = anatomy().landmark_mirror
    flip = np.diag([-1.0, 1.0, 1.0])
    table = np.append(np.array(MIRRORED, np.uint8), np.full(256 - len(MIRRORED), UNKNOWN, np.uint8))
    return {
        "pixels": example["pixels"][:, ::-1],
        "landmarks": example["landmarks"][order] * [-1, 1] + [1, 0],
        "known": example["known"][order],
        "visible": example["visible"][order],
        "classes": table[example["classes"][:, ::-1]],
        "rotation": flip @ example["rotation"] @ flip,
        "identity": mirror_identity() @ example["identity"],
        "expression": example["expression"][_mirrored_shapes()],
    }


def batched(examples: list[Rendered]) -> Batch:
    """Crops of examples as one batch."""
    stacked = {name: torch.from_numpy(np.stack([each[name] for each in examples])) for name in examples[0]}
    return Batch(
        pixels=as_input(stacked["pixels"]),
        landmarks=stacked["landmarks"].float(),
        known=stacked["known"].float(),
        visible=stacked["visible"].float(),
        classes=stacked["classes"].long(),
        rotation=stacked["rotation"].float(),
        identity=stacked["identity"].float(),
        expression=stacked["expression"].float(),
    )


def joined(first: Batch, second: Batch) -> Batch:
    """Both as one."""
    return Batch(*(torch.cat(pair) for pair in zip(vars(first).values(), vars(second).values(), strict=True)))


def as_input(pixels: UInt8[Tensor, "batch side side 3"]) -> Float[Tensor, "batch 3 side side"]:
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def leading_coordinates(identity: Float[np.ndarray, " identity"]) -> Float[np.ndarray, " leading"]:
    """An identity's coordinates along the population's leading directions, in its deviations."""
    mean, directions, deviations = leading_directions()
    return ((identity - mean) @ directions / deviations).astype(np.float32)


@cache
def leading_directions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The population's mean, its IDENTITIES leading eigenvectors (identity, leading), and its deviations along them."""
    mean, factor = population()
    values, vectors = np.linalg.eigh(factor @ factor.T)
    leading = np.argsort(values)[::-1][:IDENTITIES]
    return mean, vectors[:, leading], np.sqrt(values[leading])


@cache
def mirror_identity() -> Float[np.ndarray, "leading leading"]:
    """What mirroring a head does to its leading coordinates, by least squares over its vertices."""
    model = anatomy().model
    points = anatomy().landmarks
    _, directions, deviations = leading_directions()
    average = points(model.mean.numpy())
    basis = np.stack(
        [
            points((model.mean + torch.tensordot(torch.from_numpy(d).float(), model.identity_basis, 1)).numpy())
            - average
            for d in (directions * deviations).T.astype(np.float32)
        ]
    )
    flipped = basis[:, anatomy().landmark_mirror] * [-1, 1, 1]
    flat = basis.reshape(len(basis), -1)
    regular = flat @ flat.T + 1e-3 * np.trace(flat @ flat.T) / len(flat) * np.eye(len(flat))
    return np.linalg.solve(regular, flat @ flipped.reshape(len(basis), -1).T).astype(np.float32)


@cache
def _mirrored_shapes() -> np.ndarray:
    swapped = [n.replace("Left", "Right") if "Left" in n else n.replace("Right", "Left") for n in ARKIT_NAMES]
    return np.array([ARKIT_NAMES.index(name) for name in swapped])


def _nearest(crop: Crop, classes: UInt8[np.ndarray, "size size"], side: int) -> UInt8[np.ndarray, "side side"]:
    """The classes at the centres of the crop's pixels."""
    at = (np.arange(side) + 0.5) / side
    places = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    x, y = np.floor(crop.out_of(places)).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < len(classes)) & (y < len(classes))
    found = np.full(len(places), UNKNOWN, np.uint8)
    found[inside] = classes[y[inside], x[inside]]
    return found.reshape(side, side)


def _end_with_parent(_: int) -> None:
    """However the process that asked for photos ends, those that make them end too."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _as_is(photos: list[Rendered]) -> list[Rendered]:
    return photos
