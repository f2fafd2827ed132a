"""How much of a head's accuracy something before the face costs: photos of heads of ICT-FaceKit, each once as it is and
once with a hand or a thing before a third of the face. Silent where ICT-FaceKit's data is absent (see
`benchmarks.accuracy`, whose error this is).
"""

from collections.abc import Iterator

import numpy as np
import torch

import morphable
from benchmarks.accuracy import DIRECTIONS, distances
from benchmarks.ict import DATA, IctHead, head
from benchmarks.timing import figure
from face3d.fitting.identity_regression import IdentityRegression
from face3d.perception import MediaPipeDetector
from face3d.photo import Photo
from face3d.reconstruction import run_reconstruction
from morphable import MorphableModel

HEADS = 10
LIMIT = 1.15
"""Error of covered faces over that of the same faces uncovered, at most."""


def figures() -> Iterator[dict]:
    if not DATA.exists():
        return
    model, regression = morphable.load(), IdentityRegression.load()
    errors: dict[str, list[tuple[float, float]]] = {"regression": [], "reconstruction": []}
    with MediaPipeDetector() as detector:
        for seed in range(HEADS):
            yaws = DIRECTIONS[1][seed % len(DIRECTIONS[1])]
            pair = [_errors(head(seed, yaws, covered), model, regression, detector) for covered in (False, True)]
            for name, each in errors.items() if None not in pair else ():
                each.append((pair[0][name], pair[1][name]))
    yield figure("covered_faces_found", len(errors["regression"]) / HEADS, "share")
    for name, each in errors.items():
        bare, hidden = np.mean(each, 0)
        yield figure(f"{name}_covered", hidden, "mm", "uncovered", bare)
        yield figure(f"{name}_covered_over_uncovered", hidden / bare, "times", "limit", LIMIT)


def _errors(
    true: IctHead, model: MorphableModel, regression: IdentityRegression, detector: MediaPipeDetector
) -> dict[str, float] | None:
    """Millimetres; None where no face is found."""
    photos = [Photo(pixels, focal_pixels=focal) for pixels, focal in true.photos]
    faces = [found[0] for photo in photos if (found := detector.detect(photo.pixels))]
    if not faces:
        return None
    head_found = run_reconstruction(photos, texture_size=64, detector=detector).head
    estimates = {
        "regression": regression.belief(faces).mean.float(),
        "reconstruction": torch.as_tensor(head_found.identity),
    }
    return {name: 1000 * float(np.median(distances(model, each, true)[0])) for name, each in estimates.items()}
