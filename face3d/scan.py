"""One scan to one head: the same outputs as from a photo."""

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import UInt8

import morphable
from avatars.painting import paint, studio_lights, to_srgb8
from face3d.appearance.plain import plain_picture
from face3d.appearance.scan_albedo import ColouredPoints, scan_albedo
from face3d.appearance.sheet import BACKGROUND, CLAY, preview_sheet
from face3d.errors import Face3DError
from face3d.perception import FaceDetector, MediaPipeDetector
from face3d.reconstruction import OWN_SIZE, Reconstruction
from face3d.registration import (
    Registration,
    Similarity,
    SurfaceLandmarks,
    find_landmarks,
    fitted_head,
    outer_triangles,
    register,
)
from face3d.scan_file import Scan, guess_unit, load_scan
from face3d.stages import Progress, Stages
from morphable import Head, MorphableModel, Texture
from morphable.appearance import default_textures, plain_textures
from morphable.surface import Surface
from renderers import Camera, render_mesh

PICTURE = 768
"""Pixels a side of the picture of the fit."""
FIELD_OF_VIEW = 0.26
CENTRE, EYE = (0.0, -0.025, 0.02), (0.0, -0.025, 1.3)
"""Where the pictures look, and from where; metres in the head's frame."""
COLOUR_POINTS = 300_000
"""Points of the scan whose colours are carried over; 0.7 mm apart."""
SCAN_CLAY = (0.30, 0.33, 0.38)
"""Linear colour of scans that have none."""
POOR_FIT = 1e-3
"""Metres between scan and head, in the median, beyond which the user is warned."""


def reconstruct_scan(path: str | Path, *, texture_size: int = 2048, detector: FaceDetector | None = None) -> Head:
    """The head of a person in a scan: a mesh file of any unit and pose, with or without colours.

    Raises:
        Face3DError: the file cannot be read, or no face can be seen on it.
    """
    return run_scan(path, texture_size=texture_size, detector=detector).head


def run_scan(
    path: str | Path,
    *,
    texture_size: int = 2048,
    detector: FaceDetector | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """As `reconstruct_scan`, with the pictures and the report that the command line writes."""
    if detector is None:
        with MediaPipeDetector() as own:
            return run_scan(path, texture_size=texture_size, detector=own, progress=progress)
    stages = Stages(progress)
    stages("reading the scan")
    return fit_scan(load_scan(path), stages, texture_size=texture_size, detector=detector)


def fit_scan(scan: Scan, stages: Stages, *, texture_size: int, detector: FaceDetector) -> Reconstruction:
    """The head of a scan.

    Args:
        stages: told of what is done.

    Raises:
        Face3DError: no face can be seen on it.
    """
    model = morphable.load()
    stages("finding the face")
    landmarks = find_landmarks_on(scan, model, detector)

    stages("fitting the shape")
    unit = guess_unit(landmarks.to_model.scale)
    metres = landmarks.to_model.scale if unit is None else unit[1]
    scaled = SurfaceLandmarks(landmarks.points * metres, landmarks.seen, landmarks.to_model)
    found = register(model, scan.vertices * metres, scan.triangles, scaled, scaled=unit is None)
    to_model = found.to_model.after(Similarity(metres, np.eye(3), np.zeros(3)))

    stages("painting the texture")
    report = _report(scan, found, to_model, unit, model)
    head = _head(model, found, report)
    textures = _textures(scan, to_model, model, head, texture_size)
    head.textures = {part: Texture.encode(image) for part, image in textures.items()}

    stages("drawing pictures")
    fit, preview = _pictures(scan, to_model, landmarks, model, head)
    report["seconds"] = stages.finish()
    return Reconstruction(head, preview, fit, textures["head"], report)


def find_landmarks_on(scan: Scan, model: MorphableModel, detector: FaceDetector) -> SurfaceLandmarks:
    """A scan's landmarks, looked for in its own colours first, then in plain ones: scanners may colour by anything.

    Raises:
        Face3DError: no face can be seen on it.
    """
    palettes = [scan.vertex_colours(), None] if scan.coloured else [None]
    for colours in palettes:
        with suppress(Face3DError):
            return find_landmarks(model, scan.vertices, scan.triangles, detector, colours)
    raise Face3DError(f"No face can be seen on {scan.name} from any side; is it a head?")


def _head(model: MorphableModel, found: Registration, report: dict[str, Any]) -> Head:
    fitted = fitted_head(model, found.identity, found.vertices(model))
    return Head(
        model.name,
        found.identity.astype(np.float32),
        fitted.neutral.astype(np.float32),
        fitted.expressions.astype(np.float32),
        fitted.joints.astype(np.float32),
        {},
        provenance={key: report[key] for key in ("scan", "parameters", "scale", "versions")},
    )


def _textures(
    scan: Scan, to_model: Similarity, model: MorphableModel, head: Head, size: int
) -> dict[str, UInt8[np.ndarray, "h w c"]]:
    """All parts' textures, the skin's from the scan if it has colours."""
    if not scan.coloured:
        return default_textures(model, resolution=min(size, OWN_SIZE))
    seen = _coloured_points(scan, to_model, head)
    skin = np.median(seen.colours, axis=0).tolist()
    textures = default_textures(model, skin_colour=skin, resolution=min(size, OWN_SIZE))
    textures["head"] = scan_albedo(seen, model, head.neutral, textures["head"], size)
    return textures


def _coloured_points(scan: Scan, to_model: Similarity, head: Head) -> ColouredPoints:
    """Points all over the outside of the scan about the head."""
    placed = to_model(scan.vertices)
    low, high = head.neutral.min(0) - 0.01, head.neutral.max(0) + 0.01
    chosen = ((placed > low) & (placed < high)).all(1)[scan.triangles].any(1)
    chosen &= outer_triangles(placed, scan.triangles, np.array(CENTRE))
    kept = np.flatnonzero(chosen)
    surface = Surface(placed, scan.triangles[kept])
    mesh = trimesh.Trimesh(placed, surface.triangles, process=False)
    points, owners = trimesh.sample.sample_surface(mesh, COLOUR_POINTS, seed=0)[:2]
    weights = np.nan_to_num(trimesh.triangles.points_to_barycentric(surface.corners[owners], points, method="cramer"))
    colours = scan.colours_at(kept[owners], weights)
    painted = np.isfinite(colours).all(1)
    return ColouredPoints(points[painted], surface.triangle_normals[owners][painted], colours[painted])


def _report(
    scan: Scan, found: Registration, to_model: Similarity, unit: tuple[str, float] | None, model: MorphableModel
) -> dict[str, Any]:
    """Unit, pose, parameters, how near the head comes to the scan, warnings and versions."""
    identity = torch.as_tensor(found.identity, dtype=torch.float32)[None]
    joints = model.joints(identity)[0]
    off = 1000 * found.residuals
    warnings = []
    if unit is None:
        warnings.append("the scan's unit is unknown: the head is taken to be of average size")
    elif unit[0] != "metres":
        warnings.append(f"the scan was taken to be in {unit[0]}, from the size of the head")
    if np.median(found.residuals) > POOR_FIT:
        warnings.append(f"the head is {np.median(off):.1f} mm off the scan: look at preview.png before you rely on it")
    return {
        "scan": {
            "name": scan.name,
            "vertices": len(scan.vertices),
            "triangles": len(scan.triangles),
            "coloured": scan.coloured,
            "unit": "unknown" if unit is None else unit[0],
            "metres_per_unit": to_model.scale,
            "rotation_to_head": to_model.rotation.tolist(),
            "translation_to_head_m": to_model.translation.tolist(),
        },
        "parameters": {"model": model.name, "identity": found.identity.tolist()},
        "scale": {
            "interpupillary_distance_mm": round(1000 * float((joints[2] - joints[3]).norm()), 2),
            "source": "the identity prior" if unit is None else "the scan",
        },
        "distance_from_scan_mm": {
            "median": round(float(np.median(off)), 3),
            "mean": round(float(off.mean()), 3),
            "90_percent_below": round(float(np.percentile(off, 90)), 3),
            "median_without_detail": round(1000 * float(np.median(found.residuals_without_detail)), 3),
        },
        "warnings": warnings,
        "versions": {name: version(name) for name in ("face3d", "torch", "warp-lang", "mediapipe")},
    }


def _pictures(
    scan: Scan, to_model: Similarity, landmarks: SurfaceLandmarks, model: MorphableModel, head: Head
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "sheet_h sheet_w 3"]]:
    """The head from its front in plain colours, and the preview sheet, in which the scan stands for the photo."""
    camera = Camera.looking_at(EYE, CENTRE, (0.0, 1.0, 0.0), FIELD_OF_VIEW, (PICTURE, PICTURE))
    fit = plain_picture(camera, torch.as_tensor(head.neutral), model, paint(model, plain_textures(model)))
    colours = scan.vertex_colours()
    drawn = render_mesh(
        camera,
        torch.as_tensor(to_model(scan.vertices), dtype=torch.float32)[None],
        torch.as_tensor(scan.triangles.astype(np.int32)),
        colour=torch.tensor(SCAN_CLAY).expand(len(scan.vertices), 3)
        if colours is None
        else torch.as_tensor(colours, dtype=torch.float32),
        lights=studio_lights(),
        background=BACKGROUND,
        supersample=2,
    )
    picture = to_srgb8(drawn.colour)[0]
    overlay = (0.5 * picture + 0.5 * fit).astype(np.uint8)
    places = camera.project(torch.as_tensor(to_model(landmarks.points[landmarks.seen]), dtype=torch.float32))
    (x0, y0), (x1, y1) = places.amin(0).tolist(), places.amax(0).tolist()
    textures = {name: texture.pixels for name, texture in head.textures.items()}
    grey = to_srgb8(torch.tensor(CLAY).expand(256, 256, 3))
    clay = dict.fromkeys(textures, grey) | {"lashes": np.zeros((8, 8, 4), np.uint8)}
    sheet = preview_sheet(
        picture, overlay, (x0, y0, x1, y1), head, model, paint(model, textures), paint(model, clay, 256)
    )
    return fit, sheet
