"""Teaching the network on photos of the user's, which nobody has labelled.

Two that err in different ways look at each face: MediaPipe's landmarker, and the network itself on several crops. What
they agree on is taken for true (a face on which they agree little is left out), and the network learns to say it
however the face is cropped, spoiled by a camera, or hidden by something: consistency with its own surer look, as in
FixMatch (Sohn et al. 2020), where agreement takes the place of confidence. Half of each batch stays synthetic, so that
nothing known is forgotten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import nn

from face3d.errors import Face3DError
from face3d.perception import FaceDetector, FaceObservation
from face3d.perception.network.architecture import SIZES
from face3d.perception.network.crop import Crop
from face3d.perception.network.examples import (
    RENDER_SIZE,
    UNKNOWN,
    Batch,
    Rendered,
    Stream,
    batched,
    joined,
    leading_coordinates,
    seen,
)
from face3d.perception.network.losses import SHARES, losses
from face3d.perception.network.reading import FaceReader, FaceReading, upright
from face3d.perception.network.weights import load_network, save_network
from face3d.perception.teaching import Lesson
from face3d.photo import load_photo
from face3d.synth.background import background
from face3d.synth.classes import INDEX
from face3d.track.video import Video
from renderers import srgb_to_linear

VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v")
PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".bmp", ".tif", ".tiff")
FRAMES_OF_A_VIDEO = 40
LOOKS = 5
"""Of the network at a face, each at another crop."""
MARGIN = 1.4
"""Side of what is kept of a photo over that of the crop that the network sees."""
AGREED = 0.05
"""Farthest that the two may see a landmark from each other, over the distance between the eyes' outer corners."""
STEADY = 0.02
"""Farthest that looks may differ where only the network sees, on the same scale (one deviation)."""
LEAST_AGREED = 0.6
"""Share of landmarks on which the two agree, at least, on a face that is learned from."""
COVERED = 0.5
"""Share of the user's faces that are shown with something before them."""
HELD_BACK = 8
"""Of so many faces one is not learned from, but looked at before and after."""
LEAST_FACES = 4
STEPS, BATCH, RATE, BLOCK, KEPT_EVERY = 400, 16, 2e-4, 64, 50
OUTER_CORNERS = (33, 263)


@dataclass(frozen=True)
class Agreement:
    """How far the network is from what two detectors agree on, in faces that it did not learn from: mean distance of
    landmarks over that of the eyes' outer corners, as they are and with something before them."""

    bare: float
    covered: float


def own_faces(folder: Path, detector: FaceDetector, reader: FaceReader) -> list[Rendered]:
    """The faces of a folder's photos and videos on which detector and network agree, with what they agree on.

    Raises:
        Face3DError: there are too few.
    """
    found = []
    for pixels in _pictures(folder):
        for face in detector.detect(pixels):
            example = labelled(pixels, face, reader)
            if example is not None:
                found.append(example)
    if len(found) < LEAST_FACES:
        raise Face3DError(
            f"{folder} shows {len(found)} faces on which MediaPipe and the network agree; give at least {LEAST_FACES}."
        )
    return found


def labelled(pixels: UInt8[np.ndarray, "height width 3"], face: FaceObservation, reader: FaceReader) -> Rendered | None:
    """A face and what both say of it, as `examples.rendered` has synthetic photos; None where they disagree."""
    theirs = face.landmarks[:, :2]
    apart = float(np.linalg.norm(np.subtract(*theirs[list(OUTER_CORNERS)])))
    looks = _looks(pixels, face.box, reader)
    places = np.stack([look.landmarks for look in looks])
    landmarks, spread = places.mean(0), places.std(0).max(1)
    known = spread < STEADY * apart
    known[: len(theirs)] = np.linalg.norm(landmarks[: len(theirs)] - theirs, axis=1) < AGREED * apart
    if known[: len(theirs)].mean() < LEAST_AGREED:
        return None
    landmarks[: len(theirs)] = (landmarks[: len(theirs)] + theirs) / 2
    tight = upright(theirs)
    kept = replace(tight, extent=MARGIN * tight.extent)
    linear = srgb_to_linear(torch.from_numpy(kept.cut(pixels, RENDER_SIZE).astype(np.float32) / 255))
    return {
        "linear": linear.numpy().astype(np.float16),
        "landmarks": (RENDER_SIZE * kept.into(landmarks)).astype(np.float32),
        "known": known,
        "visible": np.mean([look.visible for look in looks], 0) > 0.5,
        "classes": _agreed_classes(kept, looks),
        "rotation": (kept.rotation() @ looks[0].rotation).astype(np.float32),
        "identity": leading_coordinates(np.mean([look.identity for look in looks], 0)),
        "expression": np.mean([look.expression for look in looks], 0).astype(np.float32),
    }


def covered(example: Rendered, random: np.random.Generator) -> Rendered:
    """The same face with something before a part of it."""
    size = len(example["linear"])
    thing = _blob(random, size)
    column, row = np.clip(example["landmarks"].astype(int), 0, size - 1).T
    return example | {
        "linear": np.where(thing[..., None], background(random, size), example["linear"]).astype(np.float16),
        "classes": np.where(thing, np.uint8(INDEX["occluder"]), example["classes"]),
        "visible": example["visible"] & ~thing[row, column],
    }


def agreement(reader: FaceReader, held_back: Sequence[Rendered]) -> Agreement:
    """Of a network with faces that it has not learned from."""
    away: dict[bool, list[float]] = {False: [], True: []}
    for index, example in enumerate(held_back):
        for hidden, distances in away.items():
            shown = covered(example, np.random.default_rng([index, 1])) if hidden else example
            crop = seen(shown, np.random.default_rng([index, 2]), reader.network.size.side, jitter=0.0)
            side = len(crop["pixels"])
            truth = side * crop["landmarks"]
            box = (*truth[:468].min(0), *truth[:468].max(0))
            found = reader.read(np.ascontiguousarray(crop["pixels"]), box, looks=1).landmarks
            apart = np.linalg.norm(np.subtract(*truth[list(OUTER_CORNERS)]))
            distances.append(float(np.linalg.norm(found - truth, axis=1)[example["known"]].mean() / apart))
    return Agreement(*(float(np.mean(distances)) for distances in away.values()))


def lesson(network: Path, faces: Sequence[Rendered], steps: int, seed: int) -> Lesson[Batch]:
    """A network's further teaching on faces of `own_faces`."""
    taught = load_network(network)
    size = next(name for name, each in SIZES.items() if each == taught.size)

    def batches(step: int, rank: int, world: int) -> Iterator[Batch]:
        synthetic = Stream(seed, BATCH // 2, taught.size.side, BLOCK, 1, rank, world)
        for number, known in enumerate(synthetic.batches(step), step):
            random = np.random.default_rng([seed, number, rank, 11])
            yield joined(known, batched([_drawn(faces, random, taught.size.side) for _ in range(BATCH // 2)]))

    def start() -> nn.Module:
        return load_network(network).requires_grad_(True)

    def save(learned: nn.Module, path: Path, notes: dict[str, str]) -> None:
        save_network(learned, size, path, notes | {"faces": str(len(faces))})

    return Lesson(
        setting={"from": str(network), "faces": len(faces), "seed": seed},
        seed=seed,
        network=start,
        batches=batches,
        losses=losses,
        shares=SHARES,
        steps=steps,
        batch=BATCH,
        rate=RATE,
        kept_every=KEPT_EVERY,
        weights="perception.safetensors",
        save=save,
    )


def _pictures(folder: Path) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTOS + VIDEOS)
    if not files:
        raise Face3DError(f"{folder} holds neither photos nor videos; name a folder that does.")
    for path in files:
        if path.suffix.lower() in PHOTOS:
            yield load_photo(path).pixels
        else:
            video = Video(path)
            every = max(1, video.frames // FRAMES_OF_A_VIDEO)
            yield from (frame.pixels for index, frame in enumerate(video.read()) if index % every == 0)


def _looks(
    pixels: UInt8[np.ndarray, "height width 3"], box: tuple[float, float, float, float], reader: FaceReader
) -> list[FaceReading]:
    """Readings at the face's own box, and at boxes a little beside it and larger or smaller."""
    random = np.random.default_rng(0)
    corners = np.array(box)
    side = float((corners[2:] - corners[:2]).max())
    jitter = [np.zeros(4)] + [np.tile(random.normal(0, 0.05 * side, 2), 2) for _ in range(LOOKS - 1)]
    growth = [0.0] + [float(g) for g in random.normal(0, 0.04 * side, LOOKS - 1)]
    grown = [shift + g * np.array([-1, -1, 1, 1]) for shift, g in zip(jitter, growth, strict=True)]
    return [reader.read(pixels, (*(corners + each),), looks=1) for each in grown]


def _agreed_classes(kept: Crop, looks: Sequence[FaceReading]) -> UInt8[np.ndarray, "size size"]:
    """The classes of a crop's pixels on which all looks agree that hold them."""
    at = (np.arange(RENDER_SIZE) + 0.5) / RENDER_SIZE
    places = kept.out_of(np.stack(np.meshgrid(at, at), -1).reshape(-1, 2))
    first, known = looks[0].classes_at(places)
    for look in looks[1:]:
        classes, inside = look.classes_at(places)
        known &= ~inside | (classes == first)
    return np.where(known, first, UNKNOWN).astype(np.uint8).reshape(RENDER_SIZE, RENDER_SIZE)


def _drawn(faces: Sequence[Rendered], random: np.random.Generator, side: int) -> Rendered:
    example = faces[int(random.integers(len(faces)))]
    return seen(covered(example, random) if random.uniform() < COVERED else example, random, side)


def _blob(random: np.random.Generator, size: int) -> Bool[np.ndarray, "size size"]:
    """A rounded thing anywhere over the face."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radius = random.uniform(0.08, 0.25) * size * np.exp(random.normal(0, 0.2, len(angles)))
    stretched = np.stack([np.cos(angles), np.sin(angles) * random.uniform(0.4, 1.6)], 1) * radius[:, None]
    corners: Float[np.ndarray, "corner 2"] = stretched + random.uniform(0.25, 0.75, 2) * size
    thing = cv2.fillPoly(np.zeros((size, size), np.uint8), [np.round(corners).astype(np.int32)], 1)
    return cv2.medianBlur(thing, 2 * (size // 32) + 1) > 0
