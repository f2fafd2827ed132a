"""One photo to one head: the whole way, a function a stage."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
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
from face3d.fitting.photometric import refine
from face3d.fitting.start import first_state, priors
from face3d.output import atomic_directory
from face3d.perception import FaceDetector, MediaPipeDetector, select
from face3d.photo import Photo, load_photo
from face3d.report import make_report, provenance
from face3d.stages import Progress, Stages
from face3d.subject import Subject
from morphable import ARKIT_NAMES, Head, MorphableModel
from morphable.appearance import default_textures, plain_textures
from renderers import Camera, DirectionalLight, EnvironmentLight, Light, srgb_to_linear

LOOK_SIZE = 512
"""Pixels a side of the crop in which the estimate is rendered for the detector to look at."""
LOOK_MARGIN = 2.4
"""That crop's side over the face's; the detector measures faces on crops of up to this size."""
CALIBRATIONS = 2
BIAS_LIMIT = 0.08
"""Detector biases beyond this part of the distance between the eyes are failures."""
LIGHT_SIZE = 256
"""Pixels a side of the crop in which light is estimated."""
LIGHT_MARGIN = 1.4
"""That crop's side over the face's."""
OWN_SIZE = 1024
"""Pixels a side of the model's own skin, at most: it has no finer detail."""
UNWRAP_SIZE = 1280
"""Pixels a side of the crop of the photo that is unwrapped, at most."""
PLAIN_BACKGROUND = 0.3
"""Linear grey behind the fit's picture."""


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
            return run_reconstruction(photo, face=face, texture_size=texture_size, detector=own, progress=progress)
    stages = Stages(progress)
    stages("finding faces")
    model = morphable.load()
    observation = select(detector.detect(photo.pixels), face, photo.name)

    stages("fitting the shape")
    subject = Subject(photo, observation, model, detector)
    geometry, state, bias = _fit_geometry(subject, stages)

    stages("separating skin and light")
    skin, light = _fit_appearance(subject, state)
    state = _fit_shading(subject, geometry, state, bias, skin, light)
    skin, light = _fit_appearance(subject, state)
    landmark_error = geometry.landmark_error(state, bias)

    stages("painting the texture")
    textures = _textures(subject, state, skin, light, texture_size)

    stages("drawing pictures")
    identity = state.identity.float()
    report = make_report(subject, state, skin, light, landmark_error)
    head = Head.from_model(model, identity, textures, provenance=provenance(report))
    fit, preview = _pictures(subject, state, head)
    report["seconds"] = stages.finish()
    return Reconstruction(head, preview, fit, textures["head"], report)


def _fit_geometry(subject: Subject, stages: Stages) -> tuple[GeometryFit, State, Float[Tensor, "478 2"]]:
    """Identity, expression, pose and camera from landmarks and outline; and the detector's bias on this head."""
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
    return fit, state, bias


def _redetected(subject: Subject, state: State, painted: Paint) -> Float[np.ndarray, "478 3"] | None:
    """What the detector finds on a plain picture of an estimate, in the photo's pixels."""
    window = subject.window(LOOK_SIZE, LOOK_MARGIN)
    picture = _plain_picture(subject, state, painted, window.camera(subject.camera(state)))
    scale = window.size / window.side
    x0, y0, x1, y1 = (
        (edge - corner) * scale for edge, corner in zip(subject.observation.box, (window.x, window.y) * 2, strict=True)
    )
    found = subject.detector.measure(picture, (x0, y0, x1, y1))
    if found is None:
        return None
    return found.landmarks / scale + np.array([window.x, window.y, 0.0])


def _plain_picture(subject: Subject, state: State, painted: Paint, camera: Camera) -> UInt8[np.ndarray, "h w 3"]:
    """The posed head under a headlight, in the colours given, before plain grey."""
    ambient = torch.zeros(9, 3)
    ambient[0] = 2.2
    from_camera = -(camera.rotation.T @ torch.tensor([-0.3, -0.4, -1.0]))
    lights: list[Light] = [EnvironmentLight(ambient), DirectionalLight(from_camera, torch.full((3,), 0.5))]
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


def _fit_appearance(subject: Subject, state: State) -> tuple[Float[Tensor, "3"], Float[Tensor, "9 3"]]:
    """The skin's colour and the light."""
    window = subject.window(LIGHT_SIZE, LIGHT_MARGIN)
    camera = window.camera(subject.camera(state))
    model = subject.model
    vertices = subject.vertices(state)
    white = paint(model, plain_textures(model, skin_colour=(0.5, 0.5, 0.5), resolution=256), 256)
    result = draw_head(camera, vertices, model, white, lights=[], supersample=1)
    triangle = result.fragments.triangle[0]
    on_face = _bare_skin(model)[model.triangles.long()].all(1)
    opaque = torch.arange(len(model.triangles))[: len(on_face)]
    seen = (triangle >= 0) & on_face[opaque][triangle.clamp(min=0).long()]
    photo = window.pixels(subject.photo.pixels)
    seen &= window.inside(subject.photo.pixels)
    chosen = seen & (photo.amax(-1) < 0.97) & (photo.amax(-1) > 0.02)
    if chosen.sum() < 50:
        chosen = seen
    return separate_skin_and_light(srgb_to_linear(photo[chosen]), result.normals[0][chosen], subject.greyscale)


def _fit_shading(
    subject: Subject,
    geometry: GeometryFit,
    state: State,
    bias: Float[Tensor, "478 2"],
    skin: Float[Tensor, "3"],
    light: Float[Tensor, "9 3"],
) -> State:
    """The state that explains the photo's shading, too."""
    window = subject.window(LIGHT_SIZE, LIGHT_MARGIN)
    return refine(
        state,
        geometry.curvature(state, bias),
        subject.model,
        window.camera(subject.camera(state)),
        srgb_to_linear(window.pixels(subject.photo.pixels)),
        window.inside(subject.photo.pixels),
        skin,
        light,
        _bare_skin(subject.model),
    )


def _bare_skin(model: MorphableModel) -> Bool[Tensor, " vertex"]:
    """Vertices of the face that are neither lips nor brows nor at the eyes."""
    covered = torch.stack([model.regions[name] for name in ("lips", "brows", "eye_socket")]).any(0)
    return model.regions["face"] & ~covered


def _textures(
    subject: Subject, state: State, skin: Float[Tensor, "3"], light: Float[Tensor, "9 3"], size: int
) -> dict[str, UInt8[np.ndarray, "h w c"]]:
    """All parts' textures, the skin's from the photo."""
    observation, model = subject.observation, subject.model
    window = subject.window(UNWRAP_SIZE, LOOK_MARGIN)
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
    own_size = min(size, OWN_SIZE)
    textures = default_textures(model, skin_colour=skin.tolist(), iris_colour=iris.tolist(), resolution=own_size)
    if subject.greyscale:
        textures = {name: _without_colour(image) for name, image in textures.items()}
    eye_distance = float(np.linalg.norm(landmarks[OUTER_EYE_CORNERS[0]] - landmarks[OUTER_EYE_CORNERS[1]]))
    vertices = subject.vertices(state)
    inside = window.inside(subject.photo.pixels)
    textures["head"] = unwrap(photo, inside, camera, vertices, model, light, textures["head"], eye_distance, size)
    return textures


def _without_colour(image: UInt8[np.ndarray, "height width channel"]) -> UInt8[np.ndarray, "height width channel"]:
    grey = np.asarray(Image.fromarray(image[..., :3]).convert("L"))
    return np.concatenate([np.repeat(grey[..., None], 3, 2), image[..., 3:]], 2)


def _pictures(
    subject: Subject, state: State, head: Head
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "sheet_h sheet_w 3"]]:
    """The fit at the photo's size, and the preview sheet."""
    model = subject.model
    plain = paint(model, plain_textures(model))
    fit = _plain_picture(subject, state, plain, subject.camera(state))
    covered = np.abs(fit.astype(int) - fit[0, 0]).sum(2, keepdims=True) > 6
    overlay = np.where(covered, (0.45 * subject.photo.pixels + 0.55 * fit).astype(np.uint8), subject.photo.pixels)
    textures = {name: texture.pixels for name, texture in head.textures.items()}
    grey = to_srgb8(torch.tensor(CLAY).expand(256, 256, 3))
    clay = dict.fromkeys(textures, grey) | {"lashes": np.zeros((8, 8, 4), np.uint8)}
    sheet = preview_sheet(
        subject.photo.pixels,
        overlay,
        subject.observation.box,
        head,
        model,
        paint(model, textures),
        paint(model, clay, 256),
    )
    return fit, sheet
