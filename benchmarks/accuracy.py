"""How far heads from photos are from the true ones, and were after each step of the way: heads of ICT-FaceKit, one,
three and five photos each. Silent where ICT-FaceKit's data is absent: the environment variable FACE3D_ICT names it,
else it is looked for beside the repository.

A head's error is the median distance of the true face's vertices to the surface, both metric, after a rigid alignment
(the NoW protocol's); a figure is the mean over the heads, its peer the average head's.
"""

from collections.abc import Iterator

import numpy as np
import torch

import morphable
from benchmarks.ict import DATA, NARROW, IctHead, head
from benchmarks.timing import figure
from face3d.evaluation.alignment import refined
from face3d.perception import MediaPipeDetector
from face3d.photo import Photo
from face3d.reconstruction import run_reconstruction
from face3d.registration.alignment import aligning
from morphable import MorphableModel, on_surface
from morphable.surface import Surface

HEADS = 10
DIRECTIONS = {
    1: [[yaw] for yaw in np.linspace(-0.6, 0.6, HEADS)],
    3: [[0.0, -0.6, 0.6]],
    5: [np.linspace(-0.9, 0.9, 5)],
}
"""Radians, by the number of photos; heads take turns."""


def figures() -> Iterator[dict]:
    if not DATA.exists():
        return
    model = morphable.load()
    with MediaPipeDetector() as detector:
        for count, choices in DIRECTIONS.items():
            errors: dict[str, list[float]] = {}
            within: list[np.ndarray] = []
            eyes: list[float] = []
            for seed in range(HEADS):
                true = head(seed, choices[seed % len(choices)])
                photos = [Photo(pixels, focal_pixels=focal) for pixels, focal in true.photos]
                found = run_reconstruction(photos, texture_size=64, detector=detector)
                for name, identity in {"unfitted": torch.zeros(model.identities), **found.steps}.items():
                    away, places = distances(model, identity.float(), true)
                    errors.setdefault(name, []).append(1000 * float(np.median(away)))
                deviation = found.head.deviation[places]
                within.append(np.array([(away < share * deviation).mean() for share in (1, 2)]))
                apart = float(np.linalg.norm(found.head.joints[2] - found.head.joints[3]))
                eyes.append(100 * abs(apart / true.interpupillary - 1))
            unfitted, *steps = ((name, float(np.mean(own))) for name, own in errors.items())
            for name, error in steps:
                yield figure(f"{name.replace(' ', '_')}_{count}_photos", error, "mm", *unfitted)
            for share, value in zip((1, 2), np.mean(within, 0), strict=True):
                yield figure(f"within_{share}_sigma_{count}_photos", float(value), "share of the surface")
            yield figure(f"interpupillary_error_{count}_photos", float(np.median(eyes)), "%", "limit", 2.5)


def distances(model: MorphableModel, identity: torch.Tensor, true: IctHead) -> tuple[np.ndarray, np.ndarray]:
    """Of the true face's vertices from the estimate, metres, and the estimate's vertices nearest to them."""
    vertices = model.neutral(identity[None])[0].detach()
    landmarks = on_surface(model.landmarks["now7"], vertices, model.triangles).double().numpy()
    skin, points = model.parts["head"], true.neutral[:NARROW]
    mesh, triangles = vertices[skin.vertices].double().numpy(), model.triangles[skin.triangles].long().numpy()
    place = refined(aligning(landmarks, true.landmarks), points, mesh, triangles, scaled=False)
    feet = Surface(place(mesh), triangles).closest(points)
    corner = feet.barycentric.argmax(1)
    return feet.distances, triangles[feet.triangles, corner]
