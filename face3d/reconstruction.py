"""One photo to one head: the whole way, a function a stage."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

import morphable
from face3d.appearance.iris import iris_colour
from face3d.appearance.light import separate_skin_and_light, shading
from face3d.appearance.painting import Paint, draw_head, paint, to_srgb8
from face3d.appearance.sheet import CLAY, preview_sheet
from face3d.appearance.unwrap import unwrap
from face3d.fitting.evidence import OUTER_EYE_CORNERS
from face3d.fitting.gauss_newton import State
from face3d.fitting.geometry import GeometryFit, Measurements, calibrated
from face3d.fitting.start import first_state, priors
from face3d.output import atomic_directory
from face3d.perception import FaceDetector, FaceObservation, MediaPipeDetector, select
from face3d.photo import Photo, load_photo
from morphable import ARKIT_NAMES, Head, MorphableModel
from morphable.appearance import default_textures, plain_textures
from renderers import Camera, DirectionalLight, EnvironmentLight, srgb_to_linear

Progress = Callable[[str, float], None]
"""Told of a stage's name and how far it is, from 0 to 1."""

LOOK_SIZE = 512
"""Pixels a side of the crop in which the estimate is rendered for the detector to look at."""
LOOK_MARGIN = 2.4
"""That crop's side over the face's; the detector measures faces on crops of up to this size."""
CALIBRATIONS = 2
BIAS_LIMIT = 0.08
"""Detector biases beyond this part of the distance between the eyes are failures."""
LIGHT_SIZE = 256
"""Pixels a side of the crop in which light is estimated."""
UNWRAP_SIZE = 1280
"""Pixels a side of the crop of the photo that is unwrapped, at most."""
GREYSCALE = 3.0
"""Mean difference of a photo's channels, of 255, below which it has no colour."""
PLAIN_BACKGROUND = 0.3
"""Linear grey behind the fit's picture."""
DOUBTFUL_ERROR = 0.04
"""Landmark error relative to the eyes' distance beyond which the user is warned."""


@dataclass
class Reconstruction:
    """A head from a photo, and how it went. Images are sRGB."""

    head: Head
    preview: UInt8[np.ndarray, "sheet_height sheet_width 3"]
    """A sheet that a person judges at a glance."""
    fit: UInt8[np.ndarray, "height width 3"]
    """The posed head at the photo's size and camera, in the model's own plain colours."""
    albedo: UInt8[np.ndarray, "size size 3"]
    """The skin's texture."""
    report: dict[str, Any]
    """Camera, parameters, scale, landmark error, seconds per stage, warnings, versions; anything JSON can hold."""

    def save(self, directory: str | Path) -> None:
        """Write head.glb, preview.png, fit.png, albedo.png and report.json; all of them, or nothing.

        Raises:
            Face3DError: nothing can be written there.
        """
        with atomic_directory(directory) as folder:
            self.head.save(folder / "head.glb")
            for name, image in (("preview", self.preview), ("fit", self.fit), ("albedo", self.albedo)):
                Image.fromarray(image).save(folder / f"{name}.png", compress_level=3)
            (folder / "report.json").write_text(json.dumps(self.report, indent=2) + "\n")


def reconstruct(
    photo: str | Path | Photo,
    *,
    face: int = 0,
    texture_size: int = 2048,
    detector: FaceDetector | None = None,
) -> Head:
    """The head of a person in a photo.

    Args:
        photo: an image file, or a photo already loaded.
        face: which one, most prominent first.
        texture_size: pixels a side of the skin's texture.
        detector: finds faces; MediaPipe's if not given.

    Raises:
        Face3DError: the photo cannot be read, or there is no such face in it.
    """
    loaded = photo if isinstance(photo, Photo) else load_photo(photo)
    return run_reconstruction(loaded, face=face, texture_size=texture_size, detector=detector).head


def run_reconstruction(
    photo: Photo,
    *,
    face: int = 0,
    texture_size: int = 2048,
    detector: FaceDetector | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """As `reconstruct`, with the pictures and the report that the command line writes."""
    if detector is None:
        with MediaPipeDetector() as own:
            return run_reconstruction(
                photo, face=face, texture_size=texture_size, detector=own, progress=progress
            )
    stages = _Stages(progress)
    stages("finding faces")
    model = morphable.load()
    observation = select(detector.detect(photo.pixels), face, photo.name)

    stages("fitting the shape")
    subject = _Subject(photo, observation, model, detector)
    state, landmark_error = _fit_geometry(subject, stages)

    stages("separating skin and light")
    skin, light = _fit_appearance(subject, state)

    stages("painting the texture")
    textures = _textures(subject, state, skin, light, texture_size)

    stages("drawing pictures")
    identity = state.identity.float()
    report = _report(subject, state, skin, light, landmark_error)
    head = Head.from_model(model, identity, textures, provenance=_provenance(report))
    fit, preview = _pictures(subject, state, head)
    report["seconds"] = stages.finish()
    return Reconstruction(head, preview, fit, textures["head"], report)


@dataclass
class _Stages:
    """Tells of stages and times them."""

    progress: Progress | None
    seconds: dict[str, float] = field(default_factory=dict)
    name: str = ""
    began: float = 0.0

    def __call__(self, name: str) -> None:
        self.finish()
        self.name, self.began = name, time.perf_counter()
        self.at(0.0)

    def at(self, fraction: float) -> None:
        if self.progress is not None:
            self.progress(self.name, fraction)

    def finish(self) -> dict[str, float]:
        if self.name:
            self.seconds[self.name] = round(time.perf_counter() - self.began, 3)
            self.at(1.0)
        return self.seconds


@dataclass
class _Subject:
    """A face in a photo, with what every stage needs."""

    photo: Photo
    observation: FaceObservation
    model: MorphableModel
    detector: FaceDetector

    def __post_init__(self) -> None:
        pixels = self.photo.pixels
        self.height, self.width = pixels.shape[:2]
        self.principal = torch.tensor([self.width / 2, self.height / 2], dtype=torch.float64)
        spread = np.ptp(pixels[::4, ::4].astype(np.int16), axis=2).mean()
        self.greyscale = bool(spread < GREYSCALE)

    def camera(self, state: State) -> Camera:
        camera = state.camera(self.principal, (self.height, self.width))
        tensors = (camera.focal, camera.principal, camera.rotation, camera.translation)
        return Camera(*(tensor.float() for tensor in tensors), camera.resolution)

    def vertices(self, state: State) -> Float[Tensor, "vertex 3"]:
        with torch.no_grad():
            identity, expression = state.identity.float()[None], state.expression.float()[None]
            return self.model(identity, expression, torch.zeros(1, len(morphable.JOINT_NAMES), 3))[0][0]

    def window(self, size: int, margin: float = LOOK_MARGIN) -> "_Window":
        """A square around the face, at most `size` pixels a side."""
        x0, y0, x1, y1 = self.observation.box
        side = margin * max(x1 - x0, y1 - y0)
        return _Window((x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, min(size, round(side)))


@dataclass(frozen=True)
class _Window:
    """A square of the photo, resampled: its top-left corner and side in the photo's pixels, and its own size."""

    x: float
    y: float
    side: float
    size: int

    def camera(self, camera: Camera) -> Camera:
        side = round(self.side)
        return camera.cropped(self.x, self.y, side, side).scaled(self.size / side)

    def pixels(self, photo: UInt8[np.ndarray, "height width 3"]) -> Float[Tensor, "size size 3"]:
        """sRGB in [0, 1]; black beyond the photo."""
        box = (self.x, self.y, self.x + self.side, self.y + self.side)
        source = Image.fromarray(photo)
        corners = (box[0], box[1], box[0], box[3], box[2], box[3], box[2], box[1])
        factor = self.side / self.size
        if factor > 1.5:
            source = source.reduce(int(round(factor)))
            corners = tuple(c / int(round(factor)) for c in corners)
        cut = source.transform((self.size, self.size), Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)
        return torch.tensor(np.asarray(cut)).float() / 255


def _fit_geometry(subject: _Subject, stages: _Stages) -> tuple[State, float]:
    """Identity, expression, pose and camera; and the landmarks' median error relative to the eyes' distance."""
    observation, model = subject.observation, subject.model
    scores = [observation.expression_scores[name] for name in ARKIT_NAMES]
    beliefs = priors(
        torch.tensor(scores, dtype=torch.float64), subject.photo.focal_pixels, subject.height, subject.width
    )
    seen = Measurements(
        landmarks=torch.tensor(observation.landmarks[:, :2].copy()),
        luminance=subject.photo.pixels.mean(2),
        principal=subject.principal,
    )
    fit = GeometryFit(model, seen, beliefs)
    state = first_state(fit.mean_landmarks, observation.landmarks, beliefs, model.identities, subject.principal)
    state = fit.everything(fit.pose(state), rounds=4)
    stages.at(0.3)
    painted = paint(model, plain_textures(model, resolution=LOOK_SIZE), LOOK_SIZE)

    def look(estimate: State) -> Float[np.ndarray, "478 3"] | None:
        return _redetected(subject, estimate, painted)

    state, bias = calibrated(fit, state, look, CALIBRATIONS, BIAS_LIMIT)
    deviation = (fit.projected_landmarks(state) + bias - seen.landmarks).norm(dim=1).median()
    return state, float(deviation) / fit.eye_distance(state)


def _redetected(subject: _Subject, state: State, painted: Paint) -> Float[np.ndarray, "478 3"] | None:
    """What the detector finds on a plain picture of an estimate, in the photo's pixels."""
    window = subject.window(LOOK_SIZE)
    picture = _plain_picture(subject, state, painted, window.camera(subject.camera(state)))
    scale = window.size / window.side
    x0, y0, x1, y1 = ((edge - corner) * scale for edge, corner in zip(subject.observation.box, (window.x, window.y) * 2))
    found = subject.detector.measure(picture, (x0, y0, x1, y1))
    if found is None:
        return None
    return found.landmarks / scale + np.array([window.x, window.y, 0.0])


def _plain_picture(subject: _Subject, state: State, painted: Paint, camera: Camera) -> UInt8[np.ndarray, "h w 3"]:
    """The posed head under a headlight, in the colours given, before plain grey."""
    ambient = torch.zeros(9, 3)
    ambient[0] = 2.2
    from_camera = -(camera.rotation.T @ torch.tensor([-0.3, -0.4, -1.0]))
    lights = [EnvironmentLight(ambient), DirectionalLight(from_camera, torch.full((3,), 0.5))]
    supersample = 2 if max(camera.resolution) <= 1024 else 1
    result = draw_head(
        camera,
        subject.vertices(state),
        subject.model,
        painted,
        lights=lights,
        background=PLAIN_BACKGROUND,
        supersample=supersample,
    )
    return to_srgb8(result.colour)[0]


def _fit_appearance(subject: _Subject, state: State) -> tuple[Float[Tensor, "3"], Float[Tensor, "9 3"]]:
    """The skin's colour and the light."""
    window = subject.window(LIGHT_SIZE, 1.4)
    camera = window.camera(subject.camera(state))
    model = subject.model
    vertices = subject.vertices(state)
    white = paint(model, plain_textures(model, skin_colour=(0.5, 0.5, 0.5), resolution=256), 256)
    result = draw_head(camera, vertices, model, white, lights=[], supersample=1)
    triangle = result.fragments.triangle[0]
    bare = model.regions["face"] & ~model.regions["lips"] & ~model.regions["brows"] & ~model.regions["eye_socket"]
    on_face = bare[model.triangles].all(1)
    opaque = torch.arange(len(model.triangles))[: len(on_face)]
    seen = (triangle >= 0) & on_face[opaque][triangle.clamp(min=0).long()]
    photo = window.pixels(subject.photo.pixels)
    unclipped = (photo.amax(-1) < 0.97) & (photo.amax(-1) > 0.02)
    chosen = seen & unclipped
    if chosen.sum() < 50:
        chosen = seen
    return separate_skin_and_light(srgb_to_linear(photo[chosen]), result.normals[0][chosen], subject.greyscale)


def _textures(subject: _Subject, state: State, skin, light, size: int) -> dict[str, UInt8[np.ndarray, "h w c"]]:
    """All parts' textures, the skin's from the photo."""
    observation, model = subject.observation, subject.model
    window = subject.window(UNWRAP_SIZE)
    camera = window.camera(subject.camera(state))
    photo = window.pixels(subject.photo.pixels)
    scale = window.size / window.side
    landmarks = (observation.landmarks[:, :2] - np.array([window.x, window.y])) * scale
    scores = observation.expression_scores
    openness = 1.0 - (scores["eyeBlinkLeft"] + scores["eyeBlinkRight"]) / 2
    towards = torch.nn.functional.normalize(camera.position, dim=0)
    iris = iris_colour(photo.numpy(), landmarks, shading(towards[None], light)[0], openness)
    if subject.greyscale:
        iris = iris.mean().expand(3)
    textures = default_textures(model, skin_colour=skin.tolist(), iris_colour=iris.tolist(), resolution=size)
    if subject.greyscale:
        textures = {name: _without_colour(image) for name, image in textures.items()}
    eye_distance = float(np.linalg.norm(landmarks[OUTER_EYE_CORNERS[0]] - landmarks[OUTER_EYE_CORNERS[1]]))
    textures["head"] = unwrap(photo, camera, subject.vertices(state), model, light, textures["head"], eye_distance)
    return textures


def _without_colour(image: UInt8[np.ndarray, "height width channel"]) -> UInt8[np.ndarray, "height width channel"]:
    grey = np.asarray(Image.fromarray(image[..., :3]).convert("L"))
    return np.concatenate([np.repeat(grey[..., None], 3, 2), image[..., 3:]], 2)


def _pictures(subject: _Subject, state: State, head: Head):
    """The fit at the photo's size, and the preview sheet."""
    model = subject.model
    plain = paint(model, plain_textures(model))
    fit = _plain_picture(subject, state, plain, subject.camera(state))
    covered = np.abs(fit.astype(int) - fit[0, 0]).sum(2, keepdims=True) > 6
    overlay = np.where(covered, (0.45 * subject.photo.pixels + 0.55 * fit).astype(np.uint8), subject.photo.pixels)
    textures = {name: texture.pixels for name, texture in head.textures.items()}
    clay = {name: np.full_like(image, 255) for name, image in plain_textures(model, resolution=256).items()}
    clay["head"] = to_srgb8(torch.tensor(CLAY).expand(256, 256, 3))
    sheet = preview_sheet(
        subject.photo.pixels, overlay, subject.observation.box, head, model, paint(model, textures), paint(model, clay, 256)
    )
    return fit, sheet


def _report(subject: _Subject, state: State, skin, light, landmark_error: float) -> dict[str, Any]:
    focal = float(state.log_focal.exp())
    joints = subject.model.joints(state.identity.float()[None])[0]
    error = round(100 * landmark_error, 2)
    warnings = []
    if subject.photo.focal_pixels is None:
        warnings.append("the photo does not tell its focal length: size and perspective are less certain")
    if landmark_error > DOUBTFUL_ERROR:
        warnings.append(f"the landmarks are off by {error} % of the eyes' distance: look at fit.png before you rely on it")
    return {
        "photo": {"name": subject.photo.name, "width": subject.width, "height": subject.height},
        "face": {"box": [round(edge, 1) for edge in subject.observation.box], "score": subject.observation.score},
        "camera": {
            "focal_pixels": focal,
            "focal_from_exif": subject.photo.focal_pixels is not None,
            "principal_pixels": subject.principal.tolist(),
            "world_to_camera_rotation": state.rotation.tolist(),
            "world_to_camera_translation_m": state.translation.tolist(),
        },
        "parameters": {
            "model": subject.model.name,
            "identity": state.identity.tolist(),
            "expression": {n: round(w, 4) for n, w in zip(ARKIT_NAMES, state.expression.tolist(), strict=True)},
            "skin_linear_rgb": skin.tolist(),
            "light_spherical_harmonics": light.tolist(),
        },
        "scale": {
            "interpupillary_distance_mm": round(1000 * float((joints[2] - joints[3]).norm()), 2),
            "source": "the identity prior and the camera" if subject.photo.focal_pixels else "the identity prior",
        },
        "landmark_error_percent_of_eye_distance": error,
        "warnings": warnings,
        "versions": {name: version(name) for name in ("face3d", "torch", "warp-lang", "mediapipe")},
    }


def _provenance(report: dict[str, Any]) -> dict[str, Any]:
    """What of the report belongs to the head for good."""
    return {key: report[key] for key in ("photo", "camera", "parameters", "scale", "versions")}
