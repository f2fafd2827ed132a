"""A network learns from photos without labels: what is taken for true, and what is made of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from face3d.cli import app
from face3d.errors import Face3DError
from face3d.perception import FaceObservation
from face3d.perception.network import FaceReader
from face3d.perception.network.architecture import LANDMARKS, SIZES, FaceNetwork, Size
from face3d.perception.network.examples import UNKNOWN, Batch, Rendered, Stream, batched, joined, rendered, seen
from face3d.perception.network.losses import losses
from face3d.perception.network.own_photos import (
    RENDER_SIZE,
    agreement,
    covered,
    labelled,
    lesson,
    own_faces,
)
from face3d.perception.network.reading import FaceReading
from face3d.perception.network.weights import save_network
from face3d.perception.teaching import teach
from face3d.synth import SyntheticPhoto, synthetic_photo
from face3d.synth.classes import INDEX
from morphable import ARKIT_NAMES
from tests.face3d.test_network_evidence import true_reading

TINY = Size(32, 4, 1)


@pytest.fixture(scope="module")
def photo() -> SyntheticPhoto:
    return synthetic_photo(7, 4, 256)


@pytest.fixture(scope="module")
def example(photo: SyntheticPhoto) -> Rendered:
    return rendered(photo)


class SteadyReader:
    """Says what is true, some landmarks by so many pixels elsewhere at every look."""

    def __init__(self, photo: SyntheticPhoto, shaken: np.ndarray, by: float) -> None:
        self.reading, self.shaken, self.by = true_reading(photo), shaken, by
        self.random = np.random.default_rng(0)

    def read(self, image: np.ndarray, box: tuple[float, ...], looks: int = 2) -> FaceReading:
        landmarks = self.reading.landmarks.copy()
        landmarks[self.shaken] += self.by * self.random.normal(size=(self.shaken.sum(), 2))
        return replace(self.reading, landmarks=landmarks)


def observed(landmarks: np.ndarray) -> FaceObservation:
    box = (*landmarks.min(0), *landmarks.max(0))
    depths = np.c_[landmarks, np.zeros(len(landmarks))]
    return FaceObservation(box, depths, dict.fromkeys(ARKIT_NAMES, 0.0), None, 1.0)


def test_only_what_both_agree_on_is_known(photo: SyntheticPhoto) -> None:
    shaken = np.zeros(LANDMARKS, bool)
    shaken[480:485] = True
    theirs = photo.landmarks[:478].copy()
    theirs[100:110] += 30
    found = labelled(photo.pixels(), observed(theirs), SteadyReader(photo, shaken, 20.0))
    assert found is not None
    unknown = np.zeros(LANDMARKS, bool)
    unknown[100:110] = unknown[480:485] = True
    assert np.array_equal(found["known"], ~unknown)


def test_what_is_kept_lies_where_the_face_is(photo: SyntheticPhoto) -> None:
    """Places, classes and pose move with the crop: cut again without chance, all agree with the synthetic photo's."""
    nothing = np.zeros(LANDMARKS, bool)
    found = labelled(photo.pixels(), observed(photo.landmarks[:478]), SteadyReader(photo, nothing, 0.0))
    assert found is not None and found["linear"].shape == (RENDER_SIZE, RENDER_SIZE, 3)
    mine = seen(found, np.random.default_rng(0), 64, jitter=0.0)
    extent = np.ptp(mine["landmarks"][:468], axis=0).max()
    truth = seen(rendered(photo), np.random.default_rng(0), 64, jitter=0.0)
    assert extent == pytest.approx(np.ptp(truth["landmarks"][:468], axis=0).max(), rel=0.15)
    column, row = np.clip(found["landmarks"][4].astype(int), 0, RENDER_SIZE - 1)
    x, y = photo.landmarks[4].astype(int)
    assert found["classes"][row, column] in (photo.classes[y, x], UNKNOWN)


def test_faces_on_which_they_disagree_are_left_out(photo: SyntheticPhoto) -> None:
    nothing = np.zeros(LANDMARKS, bool)
    elsewhere = observed(photo.landmarks[:478] + 25)
    assert labelled(photo.pixels(), elsewhere, SteadyReader(photo, nothing, 0.0)) is None


def test_a_thing_before_a_face_hides_what_is_below_it(example: Rendered) -> None:
    shown = covered(example, np.random.default_rng(3))
    thing = shown["classes"] != example["classes"]
    assert 0.01 < thing.mean() < 0.4 and (shown["classes"][thing] == INDEX["occluder"]).all()
    changed = np.abs(shown["linear"].astype(float) - example["linear"]).max(-1) > 0
    assert not changed[shown["classes"] != INDEX["occluder"]].any()
    column, row = np.clip(example["landmarks"].astype(int), 0, 255).T
    assert not shown["visible"][thing[row, column]].any()
    assert np.array_equal(shown["visible"][~thing[row, column]], example["visible"][~thing[row, column]])


@torch.no_grad()
def test_unknown_landmarks_cost_nothing() -> None:
    known = next(Stream(3, 2, 32, block=8).batches(0))
    network = FaceNetwork(TINY).eval()
    sight = network(known.pixels)
    half = known.known.clone()
    half[:, :200] = 0
    spoiled = known.landmarks.clone()
    spoiled[:, :200] += 5
    costs = [
        losses(sight, Batch(**(vars(known) | {"known": half, "landmarks": places})))
        for places in (known.landmarks, spoiled)
    ]
    assert float(costs[0]["places"]) == float(costs[1]["places"])
    assert float(costs[0]["landmarks"]) == float(costs[1]["landmarks"])


def test_batches_of_both_worlds(example: Rendered) -> None:
    first = next(Stream(3, 2, 32, block=8).batches(0))
    both = joined(first, batched([seen(example, np.random.default_rng(0), 32)]))
    assert len(both.pixels) == 3 and torch.equal(both.landmarks[:2], first.landmarks)


def test_a_network_goes_on_learning(example: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", TINY)
    torch.manual_seed(0)
    start = tmp_path / "start.safetensors"
    save_network(FaceNetwork(TINY), "tiny", start, {})
    teach(tmp_path / "own", lesson(start, [example] * 4, 2, 0))
    learned = FaceReader.load(tmp_path / "own" / "perception.safetensors")
    first = FaceReader.load(start)
    assert any(
        not torch.equal(a, b) for a, b in zip(first.network.parameters(), learned.network.parameters(), strict=True)
    )
    found = agreement(learned, [example])
    assert np.isfinite([found.bare, found.covered]).all()


def test_folders_without_faces_are_refused(tmp_path: Path) -> None:
    def refusal() -> str:
        result = CliRunner().invoke(app, ["adapt", str(tmp_path), "-o", str(tmp_path / "out")])
        assert result.exit_code != 0 and not (tmp_path / "out").exists()
        return result.output

    assert "neither photos nor videos" in refusal()
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    assert "shows 0 faces" in refusal()


def test_too_few_faces_are_refused(photo: SyntheticPhoto, tmp_path: Path) -> None:
    class One:
        def detect(self, image: np.ndarray) -> list[FaceObservation]:
            return [observed(photo.landmarks[:478])]

    Image.fromarray(photo.pixels()).save(tmp_path / "one.png")
    with pytest.raises(Face3DError, match="at least"):
        own_faces(tmp_path, One(), SteadyReader(photo, np.zeros(LANDMARKS, bool), 0.0))
