"""The distances of a scan's points from a predicted face, as the NoW challenge measures them (Sanyal et al. 2019)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

import morphable
from face3d.errors import Face3DError
from face3d.evaluation.alignment import refined
from face3d.evaluation.faces import Face, visible_triangles
from face3d.registration.alignment import Similarity, aligning
from morphable import on_surface
from morphable.closest_point import closest_points

FACE_CENTRE = 0.3
"""Of the way from the base of the nose to between the eyes' inner corners lies the middle of the face,"""
FACE_RADIUS = 1.4
"""and what is nearer to it than this many times the mean of the outer corners' distance and that way is the face: NoW's
own numbers."""
MISFIT = 0.02
"""Metres: landmarks that fit each other no better than this are not the same points, or in another order."""
REGIONS = ("nose", "mouth", "forehead", "cheek")
"""Those of the REALY benchmark (Chai et al. 2022)."""
FEWEST = 10
"""Points that a region must have to be laid onto its like."""


@dataclass(frozen=True)
class Errors:
    """Distances of a scan's points from a face, metres.

    Attributes:
        distances: of all points within the face, the whole face being aligned.
        regions: of those in each of REGIONS, the face being aligned to that region alone; a scan may lack some.
    """

    distances: Float[np.ndarray, " point"]
    regions: dict[str, Float[np.ndarray, " some"]]


def face_errors(prediction: Face, scan: Face, scaled: bool) -> Errors:
    """The distances of the scan's points from the prediction, once this was moved where they are least.

    First the landmarks are laid onto each other, then the scan's face onto the surface; the scan's regions are those of
    the average head laid onto it, whatever the prediction.

    Args:
        scaled: whether the prediction may grow, too; if not, both must be metric.

    Raises:
        Face3DError: the landmarks do not fit each other, or a unit is unknown.
    """
    if not scan.metric:
        raise Face3DError(f"{scan.name}: its landmarks make no face in metres, centimetres or millimetres.")
    if not (scaled or prediction.metric):
        raise Face3DError(f"{prediction.name}: its unit is unknown, so that only its shape can be judged.")
    points, region = _face_and_regions(scan)
    start = _landmark_alignment(prediction, scan, scaled)
    place = refined(start, points, prediction.vertices, prediction.triangles, scaled)
    regions = {}
    for index, name in enumerate(REGIONS):
        members = region == index
        if members.sum() >= FEWEST:
            own = refined(place, points[members], prediction.vertices, prediction.triangles, scaled)
            regions[name] = _distances(points[members], prediction, own)
    return Errors(_distances(points, prediction, place), regions)


def face_points(scan: Face) -> Float[np.ndarray, "point 3"]:
    """The scan's vertices that NoW counts as the face."""
    right_outer, right_inner, left_inner, left_outer, base = scan.landmarks[:5]
    bridge = (right_inner + left_inner) / 2
    centre = base + FACE_CENTRE * (bridge - base)
    radius = FACE_RADIUS * (np.linalg.norm(right_outer - left_outer) + np.linalg.norm(bridge - base)) / 2
    points = scan.vertices[np.linalg.norm(scan.vertices - centre, axis=1) <= radius]
    if len(points) < FEWEST:
        raise Face3DError(f"{scan.name}: there is no surface about its landmarks.")
    return points


def region_of(scan: Face, points: Float[np.ndarray, "point 3"]) -> Int[np.ndarray, " point"]:
    """For each point of a scan, the index in REGIONS of where it lies, -1 for eyelids, nostrils and all else."""
    template, of_triangle = _template()
    start = aligning(template.landmarks, scan.landmarks, scaled=True)
    place = refined(start, points, template.vertices, template.triangles, scaled=True)
    owners = closest_points(points, place(template.vertices), template.triangles)[2]
    return of_triangle[owners]


@lru_cache(maxsize=1)
def _face_and_regions(scan: Face) -> tuple[Float[np.ndarray, "point 3"], Int[np.ndarray, " point"]]:
    points = face_points(scan)
    return points, region_of(scan, points)


def _landmark_alignment(prediction: Face, scan: Face, scaled: bool) -> Similarity:
    place = aligning(prediction.landmarks, scan.landmarks, scaled)
    shape = aligning(prediction.landmarks, scan.landmarks, scaled=True)
    misfit = np.linalg.norm(shape(prediction.landmarks) - scan.landmarks, axis=1).max()
    if misfit > MISFIT:
        raise Face3DError(
            f"The landmarks of {prediction.name} and {scan.name} are {1000 * misfit:.0f} mm apart at best; "
            "are they the seven points of NoW in its order?"
        )
    return place


def _distances(
    points: Float[np.ndarray, "point 3"], prediction: Face, place: Similarity
) -> Float[np.ndarray, " point"]:
    return closest_points(points, place(prediction.vertices), prediction.triangles)[1]


@lru_cache(maxsize=1)
def _template() -> tuple[Face, Int[np.ndarray, " triangle"]]:
    """The average head, and the region of each of its triangles."""
    model = morphable.load()
    triangles = visible_triangles(model)
    landmarks = on_surface(model.landmarks["now7"], model.mean, model.triangles).double().numpy()
    face = Face("the average head", model.mean.double().numpy(), triangles, landmarks, metric=True)
    corners = _vertex_regions(landmarks)[triangles]
    agreed = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])
    return face, agreed


def _vertex_regions(landmarks: Float[np.ndarray, "7 3"]) -> Int[np.ndarray, " vertex"]:
    """Of the default model: what its named regions leave of the face is divided by height, at the inner corners of the
    eyes and at the base of the nose."""
    model = morphable.load()
    named = {name: mask.numpy() for name, mask in model.regions.items()}
    height = model.mean[:, 1].numpy()
    face = named["face"] & ~named["eyelids"]
    found = np.full(len(height), -1)
    found[face] = REGIONS.index("cheek")
    uncertain = face & ~named["cheeks"]
    found[uncertain & (height > landmarks[1:3, 1].mean())] = REGIONS.index("forehead")
    found[uncertain & (height < landmarks[4, 1])] = REGIONS.index("mouth")
    found[named["nose"]] = REGIONS.index("nose")
    found[named["nostrils"]] = -1
    return found
