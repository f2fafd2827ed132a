"""Pictures of one still head by known cameras: from a transforms.json, as NeRF's tools write it, to the head."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image

import morphable
from avatars.radiance.surface import Views, surface_of
from face3d.errors import Face3DError
from face3d.perception import FaceDetector, MediaPipeDetector
from face3d.reconstruction import Reconstruction
from face3d.registration import Similarity
from face3d.registration.alignment import aligning
from face3d.scan import fit_scan
from face3d.scan_file import Paintwork, Scan
from face3d.stages import Progress, Stages
from morphable import MorphableModel, on_surface
from renderers import Camera

SIZE = 224
"""Pixels of a picture's longer side that the surface is found from."""
MOST = 200
"""Pictures."""
FEWEST_FACES = 2
"""Pictures that have to show the face."""
STRAY = 0.01
"""Of a picture's longer side: landmarks that are further from where the others see them count little."""
OPENGL = torch.tensor([1.0, -1.0, -1.0])
"""Axes of the file's cameras (x right, y up, z back) over ours."""


def run_views(
    path: str | Path,
    *,
    texture_size: int = 2048,
    detector: FaceDetector | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """The head of a person who kept still in pictures with known cameras: its surface is found by volume rendering, and
    the head is laid onto it as onto a scan.

    Args:
        path: a transforms.json; docs/views.md describes it.

    Raises:
        Face3DError: it cannot be read, or too few of its pictures show a face.
    """
    if detector is None:
        with MediaPipeDetector() as own:
            return run_views(path, texture_size=texture_size, detector=own, progress=progress)
    stages = Stages(progress)
    stages("reading the pictures")
    views = load_views(path)
    model = morphable.load()
    stages("finding the face")
    to_model = placed(views, model, detector)
    stages("finding the surface")
    scan = scanned(Path(path).name, views, to_model, model, lambda done, of: stages.at(done / of))
    return fit_scan(scan, stages, texture_size=texture_size, detector=detector)


def load_views(path: str | Path) -> Views:
    """Read pictures, masks and cameras; pictures of any size.

    Raises:
        Face3DError: the file or a picture is missing, damaged or incomplete.
    """
    path = Path(path)
    if not path.is_file():
        raise Face3DError(f"{path} is not a file.")
    try:
        told = json.loads(path.read_text())
        frames = list(told["frames"])
        if not 2 <= len(frames) <= MOST:
            raise Face3DError(f"{path.name} lists {len(frames)} pictures; a surface is found from 2 to {MOST}.")
        pieces = [_picture(path.parent, told | frame) for frame in frames]
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Face3DError(f"{path.name} does not describe pictures and their cameras ({error!r}).") from error
    pictures, masks, cameras = zip(*pieces, strict=True)
    return Views(pictures, masks, cameras)


def placed(views: Views, model: MorphableModel, detector: FaceDetector) -> Similarity:
    """What takes the cameras' world to the model's, from the landmarks that its pictures share.

    Raises:
        Face3DError: too few pictures show a face.
    """
    found, cameras, strays = [], [], []
    for picture, camera in zip(views.pictures, views.cameras, strict=True):
        faces = detector.detect(picture)
        if faces:
            best = max(faces, key=lambda face: face.score)
            found.append(best.landmarks[:, :2])
            cameras.append(camera)
            strays.append(STRAY * max(camera.resolution))
    if len(found) < FEWEST_FACES:
        raise Face3DError(f"{len(found)} of the pictures show a face; {FEWEST_FACES} or more have to.")
    points = triangulated(np.stack(found), cameras, np.array(strays))
    known = on_surface(model.landmarks["mediapipe"], model.mean, model.triangles).double().numpy()
    to_model = aligning(points, known, scaled=True)
    off = np.linalg.norm(to_model(points) - known, axis=1)
    return aligning(points[off < 2 * np.median(off)], known[off < 2 * np.median(off)], scaled=True)


def triangulated(
    places: Float[np.ndarray, "view point 2"], cameras: Sequence[Camera], strays: Float[np.ndarray, " view"]
) -> Float[np.ndarray, "point 3"]:
    """Points of the world seen in several pictures: nearest to all their rays, those that agree with the others
    counting most.

    Args:
        places: pixels.
        strays: pixels that places are off by when they count a quarter.
    """
    origins = np.stack([camera.position.double().numpy() for camera in cameras])
    rays = []
    for camera, seen in zip(cameras, places, strict=True):
        plane = (torch.as_tensor(seen).double() - camera.principal.double()) / camera.focal.double()
        ahead = torch.nn.functional.pad(plane, (0, 1), value=1.0) @ camera.rotation.double()
        rays.append(torch.nn.functional.normalize(ahead, dim=-1).numpy())
    across = np.eye(3) - np.einsum("vpi,vpj->vpij", np.stack(rays), np.stack(rays))
    weights = np.ones(places.shape[:2])
    for _ in range(10):
        system = np.einsum("vp,vpij->pij", weights, across)
        right = np.einsum("vp,vpij,vj->pi", weights, across, origins)
        points = np.linalg.solve(system, right[..., None])[..., 0]
        again = np.stack([camera.project(torch.as_tensor(points).float()).numpy() for camera in cameras])
        off = np.linalg.norm(again - places, axis=-1) / strays[:, None]
        weights = 1 / (1 + off**2) ** 2
    return points


def scanned(
    name: str,
    views: Views,
    to_model: Similarity,
    model: MorphableModel,
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """The surface that views show, in the world of their cameras; it is looked for around the average head.

    Args:
        to_model: of `placed`.
    """
    near = [camera_in(camera, to_model) for camera in views.cameras]
    scales = [min(1.0, SIZE / max(camera.resolution)) for camera in near]
    cameras = [camera.scaled(scale) for camera, scale in zip(near, scales, strict=True)]
    pictures, masks = (
        [_resized(image, camera) for image, camera in zip(images, cameras, strict=True)]
        for images in (views.pictures, views.masks)
    )
    skin = model.triangles.long().numpy()[_opaque(model)]
    mesh = surface_of(Views(pictures, masks, cameras), model.mean.double().numpy(), skin, progress=progress)
    vertices = to_model.inverse()(mesh.vertices)
    paint = Paintwork(slice(0, len(mesh.triangles)), mesh.colours[mesh.triangles])
    return Scan(name, vertices, mesh.triangles, (paint,))


def camera_in(camera: Camera, to_model: Similarity) -> Camera:
    """A camera of one world in another, of other units: each point has the pixel that it had."""
    turn = torch.as_tensor(to_model.rotation).double()
    rotation = camera.rotation.double() @ turn.T
    move = to_model.scale * camera.translation.double() - rotation @ torch.as_tensor(to_model.translation).double()
    return replace(camera, rotation=rotation.float(), translation=move.float())


def _picture(folder: Path, told: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, Camera]:
    """sRGB, opacity and camera of one entry of the file.

    Raises:
        Face3DError: the picture is missing, damaged, or has no mask.
        KeyError, TypeError, ValueError: the entry is not complete.
    """
    path = folder / str(told["file_path"])
    pixels = opened(path)
    if "mask_path" in told:
        mask = opened(folder / str(told["mask_path"])).convert("L").resize(pixels.size)
    elif "A" in pixels.getbands():
        mask = pixels.getchannel("A")
    else:
        raise Face3DError(f"{path.name} has no mask: save it with transparency, or name a mask_path.")
    return np.array(pixels.convert("RGB")), np.array(mask), told_camera(told, *pixels.size)


def told_camera(told: Mapping[str, Any], width: int, height: int) -> Camera:
    """The camera of a transforms.json's entry, for a picture of so many pixels.

    Raises:
        KeyError, TypeError, ValueError: the entry is not complete.
    """
    across = width / float(told.get("w", width))
    down = height / float(told.get("h", height))
    focal_x = float(told["fl_x"]) if "fl_x" in told else 0.5 * width / across / math.tan(told["camera_angle_x"] / 2)
    focal = [across * focal_x, down * float(told.get("fl_y", focal_x))]
    principal = [across * float(told.get("cx", width / across / 2)), down * float(told.get("cy", height / down / 2))]
    pose = torch.tensor(told["transform_matrix"], dtype=torch.float64)
    if pose.shape not in ((3, 4), (4, 4)) or not _is_rotation(pose[:3, :3]) or not bool(pose.isfinite().all()):
        raise ValueError("a transform_matrix has 4 rows of 4 numbers, a rotation and a place")
    if not all(math.isfinite(value) and value > 0 for value in focal) or not all(map(math.isfinite, principal)):
        raise ValueError("a focal length is above 0")
    rotation = (pose[:3, :3] * OPENGL).T
    return Camera(
        torch.tensor(focal),
        torch.tensor(principal),
        rotation.float(),
        -(rotation @ pose[:3, 3]).float(),
        (height, width),
    )


def opened(path: Path) -> Image.Image:
    """A whole picture.

    Raises:
        Face3DError: it is missing or damaged.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Face3DError(f"{path} is missing or no picture.") from error


def _is_rotation(matrix: torch.Tensor) -> bool:
    return torch.allclose(matrix @ matrix.T, torch.eye(3).to(matrix), atol=1e-3)


def _resized(image: np.ndarray, camera: Camera) -> np.ndarray:
    height, width = camera.resolution
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def _opaque(model: MorphableModel) -> Bool[np.ndarray, " triangle"]:
    """Triangles of skin and eyes."""
    chosen = np.zeros(len(model.triangles), bool)
    for name in ("head", "eye_left", "eye_right"):
        if name in model.parts:
            chosen[model.parts[name].triangles] = True
    return chosen
