"""Photos of a person to their head: the whole way, a function a stage."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter, label
from torch import Tensor

import morphable
from avatars.painting import Paint, draw_head, paint, to_srgb8
from face3d.appearance.iris import iris_colour
from face3d.appearance.light import separate_skin_and_light, shading
from face3d.appearance.mask import shown
from face3d.appearance.plain import plain_picture
from face3d.appearance.sheet import CLAY, preview_sheet
from face3d.appearance.unwrap import PhotoView, unwrap
from face3d.errors import Face3DError
from face3d.fitting import network_evidence
from face3d.fitting.evidence import OUTER_EYE_CORNERS
from face3d.fitting.eye_rulers import (
    LEFT_JOINT,
    RIGHT_JOINT,
    eyes,
    measured,
    pupils_apart,
    pupils_slope,
    size_slope,
    told,
)
from face3d.fitting.fitted_model import FittedModel
from face3d.fitting.gauss_newton import Belief, State
from face3d.fitting.geometry import GeometryFit, Measurements, calibrated, fitted_together, shaded_together
from face3d.fitting.identity_regression import IdentityRegression
from face3d.fitting.posterior import Posterior
from face3d.fitting.shading import Radiance, bare_skin
from face3d.fitting.start import first_state, priors
from face3d.output import atomic_directory
from face3d.perception import FaceDetector, FaceObservation, MediaPipeDetector, select
from face3d.perception.network import FaceReader
from face3d.photo import Photo, load_photo
from face3d.report import make_report, provenance
from face3d.stages import Progress, Stages
from face3d.subject import Subject, Window
from face3d.synth.classes import COVERING, INDEX
from morphable import ARKIT_NAMES, Head, MorphableModel
from morphable.appearance import IRIS_DIAMETER, default_textures, plain_textures
from renderers import srgb_to_linear
from renderers.parallel import in_parallel

LOOK_SIZE = 512
"""Pixels a side of the crop in which the estimate is rendered for the detector to look at."""
LOOK_MARGIN = 2.4
"""That crop's side over the face's; the detector measures faces on crops of up to this size."""
CALIBRATIONS = 2
BIAS_LIMIT = 0.08
"""Detector biases beyond this part of the distance between the eyes are failures."""
SHADED_SIZE = 256
"""Pixels a side of the crop whose shading is fitted, of LIGHT_MARGIN."""
SHADED_BLUR = 1.0
"""Of that crop, pixels: vertices are some 4 apart."""
SHADED_ROUNDS = 3
BLINK = 0.5
"""Score of a blink beyond which irises are not measured."""
LIGHT_SIZE = 256
"""Pixels a side of the crop in which light is estimated."""
LIGHT_MARGIN = 1.4
"""That crop's side over the face's."""
THING_EDGE = 0.015
"""Width of the edge of what is before the face, over that crop's side."""
ISLAND = 0.02
"""Share of that crop below which what shows within a thing is taken for it, too."""
OWN_SIZE = 1024
"""Pixels a side of the model's own skin, at most: it has no finer detail."""
UNWRAP_SIZE = 1280
"""Pixels a side of the crop of the photo that is unwrapped, at most."""


@dataclass
class Reconstruction:
    """A head from photos, and how it went. Images are sRGB."""

    head: Head
    preview: UInt8[np.ndarray, "sheet_height sheet_width 3"]
    """A sheet that a person judges at a glance."""
    fit: UInt8[np.ndarray, "height width 3"]
    """The posed head at the photo's size and camera, in the model's own plain colours."""
    albedo: UInt8[np.ndarray, "size size 3"]
    """The skin's texture."""
    report: dict[str, Any]
    """Camera, parameters, scale, landmark error, seconds per stage, warnings, versions; anything JSON can hold."""
    steps: dict[str, Float[Tensor, " identity"]] = field(default_factory=dict)
    """The identity as it was after each step of a fit to photos."""

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
    *photos: str | Path | Photo,
    face: int = 0,
    texture_size: int = 2048,
    detector: FaceDetector | None = None,
) -> Head:
    """The head of a person in one or more photos.

    Args:
        photos: image files, or photos already loaded, all of one person.
        face: which one in each photo, most prominent first.
        texture_size: pixels a side of the skin's texture.
        detector: finds faces; MediaPipe's if not given.

    Raises:
        Face3DError: a photo cannot be read, or there is no such face in any.
    """
    loaded = [photo if isinstance(photo, Photo) else load_photo(photo) for photo in photos]
    return run_reconstruction(loaded, face=face, texture_size=texture_size, detector=detector).head


def run_reconstruction(
    photos: Photo | Sequence[Photo],
    *,
    face: int = 0,
    texture_size: int = 2048,
    detector: FaceDetector | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """As `reconstruct`, with the pictures and the report that the command line writes.

    The pictures are of the photo that sees the face most from the front; the texture comes from all, that one first.
    """
    if detector is None:
        with MediaPipeDetector() as own:
            return run_reconstruction(photos, face=face, texture_size=texture_size, detector=own, progress=progress)
    stages = Stages(progress)
    stages("finding faces")
    model = morphable.load()
    subjects, unseen = _subjects([photos] if isinstance(photos, Photo) else photos, face, model, detector)

    stages("fitting the shape")
    belief = _belief([subject.observation for subject in subjects])
    geometry = _fit_geometry(subjects, belief, stages)
    states, posterior = geometry.states, Posterior.of(model, geometry.belief)

    stages("painting the texture")
    main = _most_frontal(states)
    subject, state = subjects[main], states[main]
    looks = list(in_parallel(_fit_appearance, subjects, states))
    skin, light = looks[main].skin, looks[main].light
    views = list(in_parallel(_photo_view, subjects, states, looks))
    textures = _own_textures(subject, state, views[main], skin, texture_size)
    views = [views[main], *(view for view, each in zip(views, subjects, strict=True) if _adds_to(each, subject))]
    textures["head"] = unwrap(views, model, textures["head"], texture_size)

    stages("drawing pictures")
    errors = [fit.landmark_error(s, b) for fit, s, b in zip(geometry.fits, states, geometry.biases, strict=True)]
    report = make_report(subjects, states, main, skin, light, errors, posterior, unseen, geometry.irises_told)
    head = Head.from_model(
        model,
        state.identity.float(),
        textures,
        provenance=provenance(report),
        deviation=posterior.deviation,
        identity_factor=posterior.factor,
    )
    fit, preview = _pictures(subject, state, head)
    report["seconds"] = stages.finish()
    return Reconstruction(head, preview, fit, textures["head"], report, geometry.steps)


def _belief(observations: Sequence[FaceObservation]) -> Belief:
    """What the network tells of the identity, where it has read all photos, else what is learned of the detector."""
    readings = [each.reading for each in observations if each.reading is not None]
    if len(readings) == len(observations):
        return network_evidence.belief(readings)
    return IdentityRegression.load().belief(observations)


@dataclass(frozen=True)
class _Geometry:
    """What the photos say of a head's shape.

    Attributes:
        states: identity, and each photo's expression, pose and camera.
        biases: what the detector adds to this head's landmarks in each photo, pixels.
        belief: in the identity.
        irises_told: whether they told the size.
        steps: the identity after each.
    """

    fits: list[GeometryFit]
    states: list[State]
    biases: list[Float[Tensor, "478 2"]]
    belief: Belief
    irises_told: bool
    steps: dict[str, Float[Tensor, " identity"]]


def _subjects(
    photos: Sequence[Photo], face: int, model: MorphableModel, detector: FaceDetector
) -> tuple[list[Subject], list[str]]:
    """The person in each photo, and the names of the photos among several in which no such face was found."""
    reader, subjects, unseen = FaceReader.load(), [], []
    for photo in photos:
        try:
            observation = select(detector.detect(photo.pixels), face, photo.name)
        except Face3DError:
            if len(photos) == 1:
                raise
            unseen.append(photo.name)
        else:
            reading = observation.reading or reader.read(photo.pixels, observation.box)
            subjects.append(Subject(photo, observation, reading, model, detector))
    if not subjects:
        raise Face3DError(
            f"no face was found in any of the {len(photos)} photos; give photos that show the face clearly"
        )
    return subjects, unseen


def _fit_geometry(subjects: Sequence[Subject], belief: Belief, stages: Stages) -> _Geometry:
    steps = {"regression": belief.mean}
    model = subjects[0].model
    head, painted = FittedModel(model), paint(model, plain_textures(model, resolution=LOOK_SIZE), LOOK_SIZE)

    def started(fit: GeometryFit, subject: Subject) -> State:
        seen = subject.observation.landmarks
        return fit.pose(first_state(head.mean_landmarks, seen, fit.priors, belief.mean, subject.principal))

    fits = list(in_parallel(partial(_geometry_fit, head), subjects))
    states = list(in_parallel(started, fits, subjects))
    states = fitted_together(fits, states, belief, 2, [None] * len(fits))
    belief, irises_told = _told_by_eyes(subjects, states, belief)
    steps["eyes"] = belief.mean
    states = fitted_together(fits, states, belief, 2, [None] * len(fits))
    stages.at(0.2)
    states, biases = calibrated(fits, states, belief, partial(_redetected, subjects, painted), CALIBRATIONS, BIAS_LIMIT)
    steps["landmarks and outlines"] = states[0].identity
    stages.at(0.6)
    states = shaded_together(fits, states, belief, SHADED_ROUNDS, biases)
    steps["shading"] = states[0].identity
    return _Geometry(fits, states, biases, belief, irises_told, steps)


def _told_by_eyes(subjects: Sequence[Subject], states: Sequence[State], belief: Belief) -> tuple[Belief, bool]:
    """The belief once the irises have told the size and the eyes' axes how far apart they are; whether irises did."""
    model, identity = subjects[0].model, states[0].identity
    joints = model.joints(identity.float()[None])[0, [RIGHT_JOINT, LEFT_JOINT]].double()
    radius = _eyeball(model, states[0]) / 2
    red, seen, distances = [], [], []
    for subject, state in zip(subjects, states, strict=True):
        scores = subject.observation.expression_scores
        if max(scores["eyeBlinkLeft"], scores["eyeBlinkRight"]) > BLINK:
            continue
        balls = (joints @ state.rotation.mT + state.translation).numpy()
        focal = float(state.log_focal.exp())
        red.append(subject.photo.pixels[..., 0].astype(float))
        seen.append(eyes(subject.observation.landmarks, balls, radius, focal, subject.principal.numpy()))
        distances.append(float(np.linalg.norm(balls.mean(0))))
    irises = measured(red, seen)
    if irises is not None:
        growth, sigma = irises
        belief = told(belief, identity, size_slope(model, identity), -growth, sigma)
    pupils = pupils_apart(seen, float((joints[0] - joints[1]).norm()), radius, distances)
    if pupils is not None:
        belief = told(belief, identity, pupils_slope(model, identity), *pupils)
    return belief, irises is not None


def _geometry_fit(head: FittedModel, subject: Subject) -> GeometryFit:
    observation = subject.observation
    scores = [observation.expression_scores[name] for name in ARKIT_NAMES]
    beliefs = priors(
        torch.tensor(scores, dtype=torch.float64), subject.photo.focal_pixels, subject.height, subject.width
    )
    reading, sigma = observation.reading, None
    if reading is not None:
        sigma = network_evidence.landmark_sigma(reading, len(observation.landmarks))
        expression, deviation = (
            torch.as_tensor(each).double() for each in (reading.expression, reading.expression_deviation)
        )
        beliefs = replace(beliefs, expression=expression, expression_sigma=deviation)
    seen = Measurements(
        landmarks=torch.tensor(observation.landmarks[:, :2].copy()),
        luminance=subject.photo.pixels.mean(2),
        principal=subject.principal,
        radiance=_radiance(subject),
        landmark_sigma=sigma,
    )
    return GeometryFit(head, seen, beliefs)


def _radiance(subject: Subject) -> Radiance:
    window = subject.window(SHADED_SIZE, LIGHT_MARGIN)
    linear = srgb_to_linear(window.pixels(subject.photo.pixels)).numpy()
    blurred = gaussian_filter(linear, (SHADED_BLUR, SHADED_BLUR, 0))
    blurred[_shows(subject, window, COVERING)] = 0.0  # unexposed, so that it does not count
    return Radiance(
        torch.tensor(blurred).double(), torch.tensor([window.x, window.y]).double(), window.size / window.side
    )


def _shows(subject: Subject, window: Window, classes: Sequence[int]) -> Bool[np.ndarray, "size size"]:
    """Where in a window the network sees something of these classes."""
    found, _ = subject.reading.classes_at(window.centres().reshape(-1, 2))
    return np.isin(found, classes).reshape(window.size, window.size)


def _grown(things: Bool[np.ndarray, "size size"]) -> Bool[np.ndarray, "size size"]:
    """With what is at their edges, where pixels show some of both, and the islands within them."""
    grown = binary_dilation(things, iterations=max(1, round(THING_EDGE * len(things))))
    parts, _ = label(~grown)
    return grown | (np.bincount(parts.ravel())[parts] < ISLAND * grown.size)


def _most_frontal(states: Sequence[State]) -> int:
    """The photo on whose axis the face looks most nearly."""
    return max(range(len(states)), key=lambda index: -float(states[index].rotation[2, 2]))


def _redetected(
    subjects: Sequence[Subject], painted: Paint, states: Sequence[State]
) -> Iterator[Float[np.ndarray, "478 3"] | None]:
    """What the detector finds on plain pictures of estimates, in the photos' pixels."""

    def drawn(subject: Subject, state: State) -> UInt8[np.ndarray, "size size 3"]:
        camera = subject.window(LOOK_SIZE, LOOK_MARGIN).camera(subject.camera(state))
        return plain_picture(camera, subject.vertices(state), subject.model, painted)

    for subject, picture in zip(subjects, in_parallel(drawn, subjects, states), strict=True):
        window = subject.window(LOOK_SIZE, LOOK_MARGIN)
        scale, corner = window.size / window.side, np.array([window.x, window.y])
        x0, y0, x1, y1 = ((np.array(subject.observation.box) - np.tile(corner, 2)) * scale).tolist()
        found = subject.detector.measure(picture, (x0, y0, x1, y1))
        yield None if found is None else found.landmarks / scale + np.append(corner, 0.0)


@dataclass(frozen=True)
class _Appearance:
    """How a photo shows the skin.

    Attributes:
        skin: linear albedo.
        light: spherical harmonics.
        hidden: how likely each pixel of the window of `_light_window` shows something before the head.
    """

    skin: Float[Tensor, "3"]
    light: Float[Tensor, "9 3"]
    hidden: Float[Tensor, "size size"]


def _fit_appearance(subject: Subject, state: State) -> _Appearance:
    window, model = _light_window(subject), subject.model
    camera = window.camera(subject.camera(state))
    white = paint(model, plain_textures(model, skin_colour=(0.5, 0.5, 0.5), resolution=256), 256)
    result = draw_head(camera, subject.vertices(state), model, white, lights=[], supersample=1)
    triangle, inside = result.fragments.triangle[0], window.inside(subject.photo.pixels)

    def seen(vertices: Bool[Tensor, " vertex"]) -> Bool[Tensor, "size size"]:
        whole = vertices[model.triangles.long()].all(1)
        return inside & (triangle >= 0) & whole[triangle.clamp(min=0).long()]

    skin, core = seen(bare_skin(model)), seen(model.regions["cheeks"] | model.regions["nose"])
    brows = seen(model.regions["face"]) & ~skin & seen(~model.regions["lips"] & ~model.regions["eye_socket"])
    photo, normals = window.pixels(subject.photo.pixels), result.normals[0]
    radiance = srgb_to_linear(photo)
    own_hair = seen(model.regions["scalp"]) & torch.from_numpy(_shows(subject, window, (INDEX["hair"],)))
    things = torch.from_numpy(_grown(_shows(subject, window, COVERING))) & ~own_hair
    head = shown(radiance, normals, skin, core & skin, brows, things, subject.greyscale)
    chosen = skin & (head > 0.5) & (photo.amax(-1) < 0.97) & (photo.amax(-1) > 0.02)
    if chosen.sum() < 50:
        chosen = skin
    return _Appearance(*separate_skin_and_light(radiance[chosen], normals[chosen], subject.greyscale), 1 - head)


def _light_window(subject: Subject) -> Window:
    return subject.window(LIGHT_SIZE, LIGHT_MARGIN)


def _adds_to(other: Subject, main: Subject) -> bool:
    """Whether a photo can lend the main one its colours."""
    return other is not main and other.greyscale == main.greyscale


def _own_textures(
    subject: Subject, state: State, view: PhotoView, skin: Float[Tensor, "3"], size: int
) -> dict[str, UInt8[np.ndarray, "h w c"]]:
    """All parts' textures as the model has them, in the person's colours."""
    model = subject.model
    scores = subject.observation.expression_scores
    openness = 1.0 - (scores["eyeBlinkLeft"] + scores["eyeBlinkRight"]) / 2
    towards = torch.nn.functional.normalize(view.camera.position, dim=0)
    landmarks = _in_window(subject)
    iris = iris_colour(view.photo.numpy(), landmarks, shading(towards[None], view.light)[0], openness)
    if subject.greyscale:
        iris = iris.mean().expand(3)
    textures = default_textures(
        model,
        skin_colour=skin.tolist(),
        iris_colour=iris.tolist(),
        iris_share=_iris_share(model, state),
        resolution=min(size, OWN_SIZE),
    )
    if subject.greyscale:
        textures = {name: _without_colour(image) for name, image in textures.items()}
    return textures


def _photo_view(subject: Subject, state: State, look: _Appearance) -> PhotoView:
    window = subject.window(UNWRAP_SIZE, LOOK_MARGIN)
    hidden = window.of(_light_window(subject), look.hidden)
    corners = _in_window(subject)[list(OUTER_EYE_CORNERS)]
    return PhotoView(
        photo=window.pixels(subject.photo.pixels),
        shown=window.inside(subject.photo.pixels) * (1 - hidden),
        camera=window.camera(subject.camera(state)),
        vertices=subject.vertices(state),
        light=look.light,
        eye_distance=float(np.linalg.norm(corners[0] - corners[1])),
    )


def _in_window(subject: Subject) -> Float[np.ndarray, "478 2"]:
    """The landmarks in the pixels of what is unwrapped."""
    window = subject.window(UNWRAP_SIZE, LOOK_MARGIN)
    return (subject.observation.landmarks[:, :2] - np.array([window.x, window.y])) * window.size / window.side


def _iris_share(model: MorphableModel, state: State) -> float:
    """The iris, which is of one size in all people, on the eyeball, which is not."""
    return IRIS_DIAMETER / _eyeball(model, state)


def _eyeball(model: MorphableModel, state: State) -> float:
    """Diameter, metres."""
    ball = model.neutral(state.identity.float()[None])[0, model.parts["eye_left"].vertices, 2]
    return float(ball.max() - ball.min())


def _without_colour(image: UInt8[np.ndarray, "height width channel"]) -> UInt8[np.ndarray, "height width channel"]:
    grey = np.asarray(Image.fromarray(image[..., :3]).convert("L"))
    return np.concatenate([np.repeat(grey[..., None], 3, 2), image[..., 3:]], 2)


def _pictures(
    subject: Subject, state: State, head: Head
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "sheet_h sheet_w 3"]]:
    """The fit at the photo's size, and the preview sheet."""
    model = subject.model
    plain = paint(model, plain_textures(model))
    fit = plain_picture(subject.camera(state), subject.vertices(state), model, plain)
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
