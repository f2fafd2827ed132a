"""Synthetic photos: always the same, and their labels agree with each other and with what is drawn."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from face3d.cli import app
from face3d.errors import Face3DError
from face3d.synth import CLASSES, SyntheticPhoto, synthetic_photo
from face3d.synth.anatomy import anatomy
from face3d.synth.classes import COLOURS, INDEX, MIRRORED
from face3d.synth.people import population
from face3d.synth.shards import DEPTH_UNIT, write_shards
from face3d.synth.skin import absorbed
from morphable import ARKIT_NAMES

COUNT, SIZE = 12, 128
IRISES = {"eye_right": 468, "eye_left": 473}


@pytest.fixture(scope="module")
def photos() -> list[SyntheticPhoto]:
    return [synthetic_photo(7, index, SIZE) for index in range(COUNT)]


def test_seed_and_index_say_all(photos: list[SyntheticPhoto]) -> None:
    again, other = synthetic_photo(7, 5, SIZE), synthetic_photo(8, 5, SIZE)
    assert np.array_equal(again.pixels(), photos[5].pixels())
    assert np.array_equal(again.classes, photos[5].classes)
    assert np.array_equal(again.landmarks, photos[5].landmarks)
    assert not np.array_equal(other.person.identity, again.person.identity)


def test_photos_differ_and_show_people(photos: list[SyntheticPhoto]) -> None:
    for photo in photos:
        assert photo.pixels().dtype == np.uint8
        assert np.isfinite(photo.linear).all()
        assert photo.linear.min() >= 0
        assert (photo.classes > 0).mean() > 0.1
        assert photo.person.expression.min() >= 0 and photo.person.expression.max() <= 1
    identities = np.stack([photo.person.identity for photo in photos])
    assert np.linalg.norm(identities[:, None] - identities[None], axis=-1)[~np.eye(COUNT, dtype=bool)].min() > 1


def test_landmarks_are_projected_points(photos: list[SyntheticPhoto]) -> None:
    for photo in photos:
        projected = photo.view.camera.project(torch.from_numpy(photo.points)).numpy()
        assert np.abs(projected - photo.landmarks).max() < 0.01
        expected = anatomy().landmarks(photo.person.vertices)
        assert np.array_equal(photo.points, expected)


def test_depth_of_seen_landmarks(photos: list[SyntheticPhoto]) -> None:
    """Where the skin faces the camera, the depth at a seen landmark is the landmark's own."""
    for photo in photos:
        own = photo.view.camera.view(torch.from_numpy(photo.points)).numpy()[:, 2]
        x, y = np.clip(photo.landmarks, 0, SIZE - 1).astype(int).T
        depth, normal = photo.depth[y, x], photo.normals[y, x]
        towards = photo.view.eye - photo.points
        facing = (normal * towards / np.linalg.norm(towards, axis=1, keepdims=True)).sum(1)
        chosen = photo.visible & (facing > 0.7)
        if chosen.sum() > 50:
            assert np.median(np.abs(depth[chosen] - own[chosen])) < 0.0015


def test_irises_are_in_eyes(photos: list[SyntheticPhoto]) -> None:
    found = 0
    for photo in photos:
        for name, landmark in IRISES.items():
            x, y = photo.landmarks[landmark].astype(int)
            if photo.visible[landmark] and photo.classes[y, x] not in (INDEX["skin"], INDEX["background"]):
                assert CLASSES[photo.classes[y, x]] in (name, "beard", "glasses")
                found += 1
    assert found >= COUNT // 2


def test_normals_are_unit_and_face_the_camera(photos: list[SyntheticPhoto]) -> None:
    for photo in photos:
        length = np.linalg.norm(photo.normals, axis=-1)
        fibres = np.isin(photo.classes, [INDEX["hair"], INDEX["beard"]])
        solid = (photo.classes > 0) & ~fibres
        assert np.abs(length[solid] - 1).max() < 1e-3
        assert length[photo.classes == 0].max(initial=0) == 0
        forwards = photo.normals @ photo.view.camera.rotation.numpy()[2]
        assert (forwards[solid] < 0.2).mean() > 0.97


def test_background_has_no_depth(photos: list[SyntheticPhoto]) -> None:
    for photo in photos:
        assert np.array_equal(photo.depth > 0, photo.classes > 0)


def test_mirrored_landmarks_and_classes_are_pairs() -> None:
    order = anatomy().landmark_mirror
    assert np.array_equal(order[order], np.arange(len(order)))
    assert order[33] == 263 and order[468] == 473 and order[1] == 1
    table = np.array(MIRRORED)
    assert np.array_equal(table[table], np.arange(len(CLASSES)))
    assert CLASSES[table[INDEX["brow_left"]]] == "brow_right"
    assert len(COLOURS) == len(set(COLOURS)) == len(CLASSES)


def test_skin_darkens_with_melanin_and_reddens_with_haemoglobin() -> None:
    pale, dark, red = absorbed(np.array([0.2, 2.0, 0.2]), np.array([0.2, 0.2, 0.9]))
    assert (dark < pale).all()
    assert red[0] / red[1] > pale[0] / pale[1]


def test_people_follow_the_population(photos: list[SyntheticPhoto]) -> None:
    mean, factor = population()
    whitened = np.stack([np.linalg.solve(factor, photo.person.identity - mean) for photo in photos])
    assert abs(whitened.mean()) < 0.1
    assert 0.9 < whitened.std() < 1.1


def test_gaze_turns_both_eyes(photos: list[SyntheticPhoto]) -> None:
    for photo in photos:
        weights = dict(zip(ARKIT_NAMES, photo.person.expression, strict=True))
        assert weights["eyeLookOutLeft"] == weights["eyeLookInRight"]
        assert weights["eyeLookUpLeft"] == weights["eyeLookUpRight"]


def test_shards_hold_the_photos(tmp_path: Path) -> None:
    (shard,) = write_shards(tmp_path / "shards", 2, seed=7, size=SIZE)
    with tarfile.open(shard) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
    photo = synthetic_photo(7, 1, SIZE)
    assert len(files) == 10
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(files["00000001.classes.png"]))), photo.classes)
    depth = np.asarray(Image.open(io.BytesIO(files["00000001.depth.png"]))) * DEPTH_UNIT
    assert np.abs(depth - photo.depth).max() < DEPTH_UNIT
    jpg = np.asarray(Image.open(io.BytesIO(files["00000001.jpg"]))).astype(int)
    assert np.abs(jpg - photo.pixels()).mean() < 8
    numbers = json.loads(files["00000001.json"])
    assert np.abs(np.array(numbers["landmarks"]) - photo.landmarks).max() < 0.001
    assert np.allclose(numbers["identity"], photo.person.identity)


def test_command_draws_a_sheet(tmp_path: Path) -> None:
    output = tmp_path / "new" / "sheet.png"
    result = CliRunner().invoke(app, ["synth", "--n", "2", "--size", "64", "--labels", "--sheet", str(output)])
    assert result.exit_code == 0, result.output
    assert Image.open(output).size == (64 * 4, 64 * 2)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--sheet", "x.gif"], ["--sheet", "x.png", "--n", "500"], ["-o", "{unwritable}"]],
    ids=["no output", "unknown suffix", "too many", "unwritable"],
)
def test_bad_wishes_are_one_sentence(arguments: list[str], read_only_directory: Path) -> None:
    given = [argument.format(unwritable=read_only_directory / "shards") for argument in arguments]
    result = CliRunner().invoke(app, ["synth", *given])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1


def test_no_half_written_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise Face3DError("stopped")

    monkeypatch.setattr("face3d.synth.shards.synthetic_photo", broken)
    with pytest.raises(Face3DError):
        write_shards(tmp_path / "shards", 2, seed=0, size=64)
    assert not (tmp_path / "shards").exists()
