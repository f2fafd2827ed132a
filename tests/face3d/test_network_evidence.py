"""What the project's own network says reaches the fit: proved with one that says what is true of synthetic photos."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import face3d.reconstruction as reconstruction
from face3d.cli import app
from face3d.fitting.fitted_model import FittedModel
from face3d.fitting.network_evidence import INDEPENDENT, belief, landmark_sigma
from face3d.fitting.start import first_state
from face3d.perception import FaceObservation
from face3d.perception.network import FaceReading, NetworkDetector
from face3d.perception.network.crop import Crop
from face3d.perception.network.examples import leading_directions
from face3d.photo import Photo
from face3d.subject import Subject
from face3d.synth import SyntheticPhoto, synthetic_photo
from face3d.synth.classes import COVERING, INDEX
from morphable import ARKIT_NAMES, MorphableModel

SIZE = 256
PHOTO = 12, 5
"""Seed and index of one without anything before the face."""


def true_reading(photo: SyntheticPhoto, sure: float = 0.05) -> FaceReading:
    """As a perfect network reads it."""
    return FaceReading(
        landmarks=photo.landmarks.astype(float),
        deviation=np.full(len(photo.landmarks), 0.5),
        visible=photo.visible.astype(float),
        classes=photo.classes,
        crop=Crop(SIZE / 2, SIZE / 2, SIZE),
        rotation=photo.view.rotation,
        identity=photo.person.identity.astype(float),
        identity_deviation=np.full(len(leading_directions()[2]), sure),
        expression=photo.person.expression.astype(float),
        expression_deviation=np.full(52, 0.03),
    )


@dataclass
class TrueReader:
    """Behind the interface of `FaceReader.read`."""

    photo: SyntheticPhoto

    def read(self, image: np.ndarray, box: tuple[float, float, float, float]) -> FaceReading:
        return true_reading(self.photo)


class RoughDetector:
    """Finds the face a little beside its place."""

    def __init__(self, photo: SyntheticPhoto) -> None:
        depth = -photo.points[:478] @ photo.view.camera.rotation.numpy()[2]
        xy = photo.landmarks[:478] + np.random.default_rng(0).normal(0, 6, (478, 2))
        landmarks = np.concatenate([xy, 400 * depth[:, None]], 1).astype(float)
        self.face = FaceObservation((60, 60, 200, 200), landmarks, dict.fromkeys(ARKIT_NAMES, 0.1), None, 1.0)

    def detect(self, image: np.ndarray) -> list[FaceObservation]:
        return [self.face]

    def measure(self, image: np.ndarray, box: tuple[float, float, float, float]) -> FaceObservation | None:
        return None


@pytest.fixture(scope="module")
def photo() -> SyntheticPhoto:
    return synthetic_photo(*PHOTO, SIZE)


@pytest.fixture(scope="module")
def subject(photo: SyntheticPhoto, model: MorphableModel) -> Subject:
    detector = NetworkDetector(RoughDetector(photo), TrueReader(photo))
    picture = Photo(photo.pixels(), focal_pixels=float(photo.view.camera.focal[0]))
    observation = detector.detect(picture.pixels)[0]
    assert observation.reading is not None
    return Subject(picture, observation, observation.reading, model, detector)


def test_landmarks_are_the_networks(subject: Subject, photo: SyntheticPhoto) -> None:
    seen = subject.observation
    assert np.allclose(seen.landmarks[:, :2], photo.landmarks[:478])
    assert seen.box[0] == pytest.approx(photo.landmarks[:478, 0].min())
    assert seen.reading is not None and subject.detector.measure(subject.photo.pixels, seen.box) is None


def test_one_reading_is_believed_as_it_is(photo: SyntheticPhoto) -> None:
    """Along the leading directions; what is not read stays the population's."""
    _, directions, deviations = leading_directions()
    reading = true_reading(photo, 0.1)
    told = belief([reading])
    away = directions.T @ (told.mean.numpy() - reading.identity) / deviations
    assert np.abs(away).max() < 1e-4
    covariance = directions.T @ np.linalg.inv(told.precision.numpy()) @ directions
    assert np.allclose(np.diag(covariance), (0.1 * deviations) ** 2, rtol=1e-3)


def test_the_surer_of_two_readings_weighs_more(photo: SyntheticPhoto) -> None:
    _, directions, deviations = leading_directions()
    sure = true_reading(photo, 0.1)
    unsure = replace(sure, identity=sure.identity + directions @ deviations, identity_deviation=np.full(48, 0.5))
    away = directions.T @ (belief([sure, unsure]).mean.numpy() - sure.identity) / deviations
    assert np.all((away > 0) & (away < 0.1))


def test_photos_add_their_evidence(photo: SyntheticPhoto) -> None:
    reading = true_reading(photo, 0.5)
    one, three = belief([reading]), belief([reading] * 3)
    gained = torch.linalg.eigvalsh(three.precision - one.precision)
    assert gained.max() > 0 and gained.min() > -1e-6 * gained.max()


def test_unsure_landmarks_move_the_fit_less(subject: Subject, photo: SyntheticPhoto) -> None:
    """Half of the landmarks lies 4 pixels aside: where the network says so, the fit stays with the others."""
    x = photo.landmarks[:478, 0]
    wrong = x < np.median(x)
    away = []
    for known in (True, False):
        reading = true_reading(photo)
        landmarks = reading.landmarks.copy()
        landmarks[:478][wrong] += [4, 0]
        deviation = np.where(np.append(wrong, np.zeros(16, bool)), 8.0 if known else 0.5, 0.5)
        reading = replace(reading, landmarks=landmarks, deviation=deviation)
        seen = replace(subject.observation, landmarks=np.c_[landmarks[:478], np.zeros(478)], reading=reading)
        fit = reconstruction._geometry_fit(FittedModel(subject.model), replace(subject, observation=seen))
        told = belief([reading])
        depths = subject.observation.landmarks
        state = fit.pose(first_state(fit.head.mean_landmarks, depths, fit.priors, told.mean, subject.principal))
        projected = fit.projected_landmarks(state).numpy()
        away.append(np.linalg.norm(projected - photo.landmarks[:478], axis=1)[~wrong].mean())
    assert away[0] < 1.5 and away[0] < 0.7 * away[1]


def test_sigma_grows_with_the_number_of_landmarks(photo: SyntheticPhoto) -> None:
    sigma = landmark_sigma(true_reading(photo), 478)
    assert torch.allclose(sigma, torch.full((478,), 0.5).double() * (478 / INDEPENDENT) ** 0.5)


def test_what_is_parsed_as_a_thing_neither_lights_nor_shades(subject: Subject, photo: SyntheticPhoto) -> None:
    classes = photo.classes.copy()
    nose = photo.landmarks[1].astype(int)
    classes[nose[1] - 20 : nose[1] + 20, nose[0] - 20 : nose[0] + 20] = INDEX["occluder"]
    hidden = replace(subject, reading=replace(true_reading(photo), classes=classes))
    window = hidden.window(128, 1.4)
    covered = reconstruction._shows(hidden, window, COVERING)
    place = ((nose - [window.x, window.y]) * window.size / window.side).astype(int)
    assert covered[place[1], place[0]]
    radiance = reconstruction._radiance(hidden)
    x, y = ((torch.tensor(nose).double() - radiance.corner) * radiance.scale).long()
    assert (radiance.image[y, x] == 0).all() and (reconstruction._radiance(subject).image[y, x] > 0).all()


def test_a_file_that_is_no_network_is_one_sentence(tmp_path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no network")
    result = CliRunner().invoke(app, ["reconstruct", "me.jpg", "-o", str(tmp_path / "out"), "--network", str(bad)])
    assert result.exit_code == 1 and result.stderr.count("\n") == 1 and "cannot be read as a network" in result.stderr
