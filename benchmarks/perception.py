"""How well the project's own network sees: held-out synthetic photos, and real photos beside MediaPipe's landmarks (the
environment variable FACE3D_TEST_PHOTOS names their folder, else it is looked for beside the repository).

The network is the shipped one, or the one that the environment variable FACE3D_NETWORK names; the detector likewise,
with FACE3D_DETECTOR. Distances of landmarks are shares of the distance between the outer corners of the eyes; in
profiles, of the larger of it and half of the height of the face.
"""

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from benchmarks.timing import figure, medians
from face3d.errors import Face3DError
from face3d.fitting.evidence import OUTER_EYE_CORNERS
from face3d.perception import MediaPipeDetector
from face3d.perception.finder import FaceFinder
from face3d.perception.finder.architecture import FinderNetwork, fused
from face3d.perception.network import FaceReader
from face3d.perception.network.architecture import SIZES, FaceNetwork
from face3d.perception.network.examples import UNKNOWN, rendered, seen
from face3d.perception.network.reading import BROW, CHIN
from face3d.photo import load_photo
from face3d.synth import CLASSES, synthetic_photo
from face3d.synth.classes import INDEX
from morphable.appearance import EYES

PHOTOS = Path(os.environ.get("FACE3D_TEST_PHOTOS", Path(__file__).parents[2] / "shared/data/photos"))
HELD_OUT_SEED, HELD_OUT = 1_000_003, 200
MEDIAN_LIMIT, WORST_LIMIT = 3.5, 6.0
"""Per cent."""
FRONTAL = 0.5
"""Least distance of the outer corners of the eyes over the face's height in a frontal photo."""
COVERAGE = (58.0, 78.0)
"""Per cent of landmarks within one deviation along an axis, at least and at most."""
SPEEDS = {"full": 25.0, "small": 8.0}
"""Milliseconds a face, at most."""
DETECTOR_SPEED, DETECTOR_PICTURE = 12.0, (480, 640)
"""Milliseconds, at most, for a picture of this height and width."""
SAME_FACE = 0.4
"""Intersection over union of two boxes of one face, at least."""
OVERLAPS = {"lips": 0.75, "eyes": 0.7, "oval": 0.85}
MEAN_OVERLAP, LEAST_OVERLAP = 0.80, 0.4
TINIEST = 1e-4
"""What stands for no overlap at all, so that it can be divided by."""
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
POLYGONS: dict[str, tuple[tuple[int, ...], ...]] = {"lips": (LIPS,), "eyes": EYES, "oval": (OVAL,)}
NAMES = {
    "lips": ("lip_upper", "lip_lower", "mouth"),
    "eyes": ("eye_left", "eye_right"),
    "oval": CLASSES[INDEX["skin"] : INDEX["mouth"] + 1] + ("beard", "glasses"),
}


def figures() -> Iterator[dict]:
    yield from speeds()
    yield from detector()
    try:
        reader = FaceReader.load()
    except Face3DError:
        return
    yield from on_synthetic_photos(reader)
    yield from on_real_photos(reader)


def speeds() -> Iterator[dict]:
    """Of networks as they come, since time does not depend on weights."""
    for name, limit in SPEEDS.items():
        network = FaceNetwork(SIZES[name]).eval()
        pixels = torch.randn(1, 3, network.size.side, network.size.side)
        taken = []
        with torch.inference_mode():
            for _ in range(30):
                began = time.perf_counter()
                network(pixels)
                taken.append(1e3 * (time.perf_counter() - began))
        yield figure(f"perception_{name}", statistics.median(taken), "ms", "limit", limit)


def detector() -> Iterator[dict]:
    """Its speed as it comes; with weights, which of MediaPipe's faces in real photos it finds, and what else."""
    noise, network = torch.randn(1, 3, *DETECTOR_PICTURE), fused(FinderNetwork().eval())
    with torch.inference_mode():
        yield figure("detector", medians([lambda: network(noise)])[0], "ms", "limit", DETECTOR_SPEED)
    try:
        finder = FaceFinder.load()
    except Face3DError:
        return
    theirs, both, alone = 0, 0, 0
    with MediaPipeDetector() as mediapipe:
        for path in sorted(PHOTOS.glob("*.jpg")):
            pixels = load_photo(path).pixels
            known, found = [face.box for face in mediapipe.detect(pixels)], [face.box for face in finder.find(pixels)]
            pairs = np.array([[overlap(a, b) > SAME_FACE for b in found] for a in known]).reshape(
                len(known), len(found)
            )
            theirs, both = theirs + len(known), both + int(pairs.any(1).sum())
            alone += int((~pairs.any(0)).sum())
    if theirs:
        yield figure("detector_recall", both / theirs, "share of MediaPipe's faces")
        yield figure("detector_alone", alone, "boxes that MediaPipe has not")


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of boxes x0, y0, x1, y1."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(across, 0.0) * max(down, 0.0)
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both)


def on_synthetic_photos(reader: FaceReader) -> Iterator[dict]:
    """Photos of people, none of whom the network has seen."""
    away, deviations, shown, distances = [], [], [], []
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for index in range(HELD_OUT):
        example = seen(
            rendered(synthetic_photo(HELD_OUT_SEED, index)),
            np.random.default_rng([HELD_OUT_SEED, index]),
            reader.network.size.side,
            jitter=0.5,
        )
        half = len(example["pixels"])
        low, high = example["landmarks"].min(0) * half, example["landmarks"].max(0) * half
        reading = reader.read(np.ascontiguousarray(example["pixels"]), (*low, *high), looks=1)
        truth = example["landmarks"] * half
        away.append(reading.landmarks - truth)
        deviations.append(reading.deviation)
        shown.append(example["visible"])
        distances.append(np.linalg.norm(away[-1], axis=1) / yardstick(truth))
        found = reading.classes_in(half, half)[0][::2, ::2]
        counts += confusion(found, example["classes"])
    visible, errors = np.stack(shown), np.stack(distances)
    within = np.abs(np.stack(away)) < np.stack(deviations)[..., None]
    yield figure("synthetic_landmarks_seen", 100 * float(np.median(errors[visible])), "% of the eyes' distance")
    yield figure("synthetic_landmarks_hidden", 100 * float(np.median(errors[~visible])), "% of the eyes' distance")
    yield figure("synthetic_coverage", 100 * float(within.mean()), "% within a deviation", "least", COVERAGE[0])
    yield figure("synthetic_coverage", 100 * float(within.mean()), "% within a deviation", "most", COVERAGE[1])
    wider = np.median(np.stack(deviations)[~visible]) / np.median(np.stack(deviations)[visible])
    yield figure("synthetic_deviation_of_hidden_over_seen", float(wider), "times")
    overlap = {
        name: counts[i, i] / max(counts[i].sum() + counts[:, i].sum() - counts[i, i], 1)
        for i, name in enumerate(CLASSES)
    }
    yield figure("synthetic_overlap_mean", float(np.mean(list(overlap.values()))), "IoU", "limit", MEAN_OVERLAP)
    for name, value in overlap.items():
        yield figure(f"synthetic_overlap_{name}", max(float(value), TINIEST), "IoU", "limit", LEAST_OVERLAP)


def on_real_photos(reader: FaceReader) -> Iterator[dict]:
    """The most prominent face of each photo, where MediaPipe sees it. The oval ends below the hairline: classes of the
    face count as far as the network's own landmarks of the oval reach."""
    errors, frontal, overlaps = [], [], {name: [] for name in POLYGONS}
    with MediaPipeDetector() as detector:
        for path in sorted(PHOTOS.glob("*.jpg")):
            pixels = load_photo(path).pixels
            faces = detector.detect(pixels)
            if not faces:
                continue
            theirs = faces[0].landmarks[:, :2]
            reading = reader.read(pixels, faces[0].box)
            error = float(np.linalg.norm(reading.landmarks[:478] - theirs, axis=1).mean() / yardstick(theirs))
            errors.append(error)
            if eyes_apart(theirs) > FRONTAL * face_height(theirs):
                frontal.append(error)
            yield figure(f"photo_{path.stem}", 100 * error, "% of the eyes' distance")
            classes, _ = reading.classes_in(*pixels.shape[:2])
            oval = filled(reading.landmarks, POLYGONS["oval"], classes.shape)
            for name, polygons in POLYGONS.items():
                drawn = filled(theirs, polygons, classes.shape)
                ours = np.isin(classes, [INDEX[each] for each in NAMES[name]]) & (oval if name == "oval" else True)
                overlaps[name].append((drawn & ours).sum() / max((drawn | ours).sum(), 1))
    if not errors:
        return
    yield figure("photos_median", 100 * statistics.median(errors), "% of the eyes' distance", "limit", MEDIAN_LIMIT)
    yield figure("photos_worst_frontal", 100 * max(frontal), "% of the eyes' distance", "limit", WORST_LIMIT)
    for name, values in overlaps.items():
        yield figure(f"photos_overlap_{name}", max(float(np.median(values)), TINIEST), "IoU", "limit", OVERLAPS[name])


def eyes_apart(landmarks: Float[np.ndarray, "landmark 2"]) -> float:
    right, left = (landmarks[corner] for corner in OUTER_EYE_CORNERS)
    return float(np.linalg.norm(left - right))


def face_height(landmarks: Float[np.ndarray, "landmark 2"]) -> float:
    return float(np.linalg.norm(landmarks[CHIN] - landmarks[BROW]))


def yardstick(landmarks: Float[np.ndarray, "landmark 2"]) -> float:
    """Pixels by which distances of landmarks are divided."""
    return max(eyes_apart(landmarks), 0.5 * face_height(landmarks))


def filled(
    landmarks: Float[np.ndarray, "landmark 2"], polygons: tuple[tuple[int, ...], ...], size: tuple[int, int]
) -> Bool[np.ndarray, "height width"]:
    mask = np.zeros(size, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(landmarks[list(polygon)] - 0.5).astype(np.int32)], 1)
    return mask > 0


def confusion(found: np.ndarray, truth: np.ndarray) -> Int[np.ndarray, "true found"]:
    """How many pixels of each class are taken for each; pixels of no known class are left out."""
    known = truth != UNKNOWN
    pairs = truth[known].astype(np.int64) * len(CLASSES) + found[known]
    return np.bincount(pairs, minlength=len(CLASSES) ** 2).reshape(len(CLASSES), -1)
