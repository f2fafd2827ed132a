"""Tracking: decoding, following, fitting and refining on their own, and a rendered clip whose motion is known."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import roma
import torch
from typer.testing import CliRunner

from avatars.media import write_video
from benchmarks import tracking as benchmark
from face3d.cli import app
from face3d.errors import Face3DError
from face3d.perception import FaceObservation, MediaPipeDetector
from face3d.track import Tracked, run_tracking
from face3d.track import sightings as notes
from face3d.track.following import Follower, Memory
from face3d.track.lighting import lighting
from face3d.track.motion import Motion, confidences, followed, refined
from face3d.track.motion_regression import MotionRegression, off_axis
from face3d.track.overlay import write_overlay
from face3d.track.person import Person, familiar, informative
from face3d.track.pose_expression import Lens, Placed, Seen, first_place, fitted, projected
from face3d.track.response import Response
from face3d.track.sightings import Notebook, Sightings
from face3d.track.tracking import performed
from face3d.track.video import Video
from morphable import ARKIT_NAMES, Head, MorphableModel, Performance, on_surface
from renderers import linear_to_srgb, srgb_to_linear, vertex_normals

LENS = Lens(700.0, np.array([256.0, 256.0]))
BLINK = ARKIT_NAMES.index("eyeBlinkLeft")


@pytest.fixture(scope="session")
def response(model: MorphableModel) -> Response:
    """A detector without habits, but that it sees lids."""
    embedding = model.landmarks["mediapipe"]
    shapes = on_surface(embedding, model.expressions(torch.zeros(1, model.identities))[0], model.triangles).double()
    moved = shapes.numpy()
    for lid, name in ((159, "eyeBlinkLeft"), (386, "eyeBlinkRight")):
        moved[ARKIT_NAMES.index(name), lid, 1] = -0.01
    normals = on_surface(embedding, vertex_normals(model.mean, model.triangles), model.triangles).double().numpy()
    points = on_surface(embedding, model.mean, model.triangles).double().numpy()
    bends = np.stack([0.5 * moved, moved], axis=1)
    return Response(points, np.zeros((6, 478, 3)), bends, normals / np.linalg.norm(normals, axis=1, keepdims=True))


@pytest.fixture(scope="session")
def person(response: Response, model: MorphableModel) -> Person:
    head = Head.from_model(model, torch.zeros(model.identities), {})
    return Person(head, LENS, response, sharpness=1.0)


def placed(yaw: float = 0.0, weights: dict[str, float] | None = None) -> Placed:
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, yaw, 0.0], dtype=torch.float64)).numpy()
    values = np.array([(weights or {}).get(name, 0.0) for name in ARKIT_NAMES])
    return Placed(values, np.diag([1.0, -1.0, -1.0]) @ turn, np.array([0.01, 0.02, 0.8]))


def sighted(response: Response, places: list[Placed | None], noise: float = 0.0, rate: float = 25.0) -> Sightings:
    """What a detector would see, with noise in pixels."""
    random = np.random.default_rng(0)
    count = len(places)
    landmarks = np.zeros((count, 478, 3), np.float32)
    for index, place in enumerate(places):
        if place is not None:
            viewed = response.points(place.weights, place.eye) @ place.rotation.T + place.translation
            landmarks[index, :, :2] = projected(response, LENS, place) + noise * random.normal(size=(478, 2))
            landmarks[index, :, 2] = (viewed[:, 2] - viewed[:, 2].mean()) * LENS.focal / viewed[:, 2].mean()
    seen = np.array([place is not None for place in places])
    times, cuts, scores = np.arange(count) / rate, np.zeros(count, bool), np.zeros((count, 52), np.float32)
    return Sightings(times, seen, cuts, seen.astype(float), landmarks, scores)


def tracked_motion(person: Person, sightings: Sightings) -> Motion:
    last, kept = None, []
    for place in followed(person, sightings):
        last = place or last
        kept.append(last or placed())
    return refined(person, sightings, Motion.of(kept))


def test_one_frame_gives_back_expression_and_pose(response: Response) -> None:
    true = placed(0.3, {"jawOpen": 0.6, "mouthSmileLeft": 0.5, "browInnerUp": 0.4})
    sightings = sighted(response, [true])
    start = first_place(response, sightings.landmarks[0], LENS)
    found = fitted(response, Seen(sightings.landmarks[0, :, :2].astype(float)), LENS, start, 10)
    turned = np.degrees(np.arccos((np.trace(found.rotation @ true.rotation.T) - 1) / 2))
    assert turned < 1.0
    assert np.linalg.norm(found.translation - true.translation) < 0.01
    assert found.weights[ARKIT_NAMES.index("jawOpen")] == pytest.approx(0.6, abs=0.1)
    assert found.weights.min() >= 0 and found.weights.max() <= 1


def test_still_head_keeps_still_and_a_blink_is_kept(person: Person) -> None:
    places = [placed(0.2, {"eyeBlinkLeft": 1.0} if 38 <= index < 42 else {}) for index in range(80)]
    motion = tracked_motion(person, sighted(person.response, places, noise=0.4))
    turns = roma.rotmat_to_rotvec(torch.as_tensor(motion.rotations @ motion.rotations[0].T)).numpy()
    assert np.degrees((turns - turns.mean(0)).std(0)).max() < 0.05
    assert 1000 * motion.translations[:, :2].std(0).max() < 0.2
    assert motion.weights[38:42, BLINK].max() > 0.8
    assert motion.weights[np.r_[:34, 46:80], BLINK].max() < 0.2


def test_moving_head_is_not_late(person: Person) -> None:
    yaws = 0.4 * np.sin(np.arange(75) / 25 * 2 * np.pi)
    motion = tracked_motion(person, sighted(person.response, [placed(yaw) for yaw in yaws], noise=0.3))
    found = np.arctan2(motion.rotations[:, 0, 2], motion.rotations[:, 0, 0])
    assert np.degrees(np.abs(found - yaws).max()) < 1.0


def test_short_dropout_is_bridged_and_has_no_confidence(person: Person) -> None:
    places: list[Placed | None] = [placed(0.01 * index) for index in range(40)]
    places[20:23] = [None] * 3
    sightings = sighted(person.response, places)
    motion = tracked_motion(person, sightings)
    found = np.arctan2(motion.rotations[:, 0, 2], motion.rotations[:, 0, 0])
    np.testing.assert_allclose(found[20:23], 0.01 * np.arange(20, 23), atol=0.005)
    certain = confidences(person, sightings, motion)
    assert (certain[20:23] == 0).all() and certain[:20].min() > 0.8


def test_who_comes_late_and_leaves_early_keeps_still(person: Person) -> None:
    places = [placed(0.02 * index) for index in range(10)]
    seen = np.isin(np.arange(10), [3, 4, 5, 7])
    performance, _ = performed(person, Motion.of(places), np.arange(10.0), seen.astype(float), {})
    head = performance.head[:, 1]
    np.testing.assert_allclose(head[:3], head[3], atol=1e-6)
    np.testing.assert_allclose(head[8:], head[7], atol=1e-6)
    assert head[5] < head[6] < head[7]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_frames(count: int, person: Person) -> None:
    motion = tracked_motion(person, sighted(person.response, [placed(0.3)] * count))
    assert motion.rotations.shape == (count, 3, 3)
    np.testing.assert_allclose(motion.rotations[-1], placed(0.3).rotation, atol=0.01)


def test_informative_frames_show_different_sides(response: Response) -> None:
    yaws = np.linspace(-0.6, 0.6, 61)
    sightings = sighted(response, [placed(yaw) for yaw in yaws])
    chosen = yaws[informative([sightings[:30], sightings[30:]])]
    assert len(chosen) == 5 and np.diff(np.sort(chosen)).min() > 0.1 and np.abs(chosen).min() < 0.05
    assert informative([sightings], first=10).max() < 10


def test_habits_of_the_detector_are_learned(person: Person) -> None:
    random = np.random.default_rng(3)
    habits = 0.002 * random.normal(size=(478, 3)) * [1.0, 1.0, 0.0]
    seen = person.response.shifted(habits)
    places = [placed(yaw) for yaw in 0.3 * random.normal(size=8)]
    learned = familiar(person, sighted(seen, places, noise=0.2))
    assert learned.usual is not None
    before, after = (np.abs(each.offsets[0] - habits)[:, :2].mean() for each in (person.response, learned.response))
    assert after < 0.5 * before


def test_regression_ignores_where_a_face_is(response: Response) -> None:
    regression = MotionRegression.load()
    sightings = sighted(response, [placed(0.1, {"jawOpen": 0.5}), placed(), placed(-0.2)])
    landmarks = sightings.landmarks.copy()
    landmarks = 0.7 * landmarks + np.array([40.0, -25.0, 3.0], np.float32)
    one, other = (regression.looks(each) for each in (sightings, replace(sightings, landmarks=landmarks)))
    np.testing.assert_allclose(one.shape, other.shape, atol=1e-6)
    np.testing.assert_allclose(one.turn, other.turn, atol=1e-6)
    weights, rotations = regression(one, one.usual)
    assert weights.min() >= 0 and weights.max() <= 1
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (3, 1, 1)), atol=1e-9)
    assert weights[0, ARKIT_NAMES.index("jawOpen")] > weights[1, ARKIT_NAMES.index("jawOpen")] + 0.2


def test_face_off_the_axis_looks_turned() -> None:
    turned = off_axis(np.array([0.3, -0.2, 1.0]))
    np.testing.assert_allclose(turned @ [0, 0, 1], np.array([0.3, -0.2, 1.0]) / np.linalg.norm([0.3, -0.2, 1.0]))
    np.testing.assert_allclose(off_axis(np.array([0.0, 0.0, 2.0])), np.eye(3), atol=1e-12)


class Painted:
    """A detector of faces that are drawn as squares: blue is where, red is who."""

    def detect(self, image: np.ndarray) -> list[FaceObservation]:
        found = [(image == colour).all(2) for colour in np.unique(image[image[..., 2] == 255], axis=0)]
        return sorted((self._observation(each) for each in found), key=lambda face: -face.width)

    def glance(self, image: np.ndarray) -> list[tuple[float, float, float, float]]:
        return [face.box for face in self.detect(image)]

    def follow(self, image: np.ndarray, box: tuple[float, float, float, float]) -> FaceObservation | None:
        near = [face for face in self.detect(image) if np.abs(np.subtract(face.box, box))[:2].max() < 30]
        return min(near, key=lambda face: abs(face.box[0] - box[0]), default=None)

    def _observation(self, mask: np.ndarray) -> FaceObservation:
        rows, columns = np.nonzero(mask)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        landmarks = np.zeros((478, 3))
        landmarks[:, 0], landmarks[:, 1] = (x0 + x1) / 2, (y0 + y1) / 2
        landmarks[33, 0], landmarks[263, 0] = x0 + 0.25 * (x1 - x0), x0 + 0.75 * (x1 - x0)
        box = (float(x0), float(y0), float(x1), float(y1))
        return FaceObservation(box, landmarks, dict.fromkeys(ARKIT_NAMES, 0.0), None, 1.0)


def scene(*faces: tuple[int, int, int], shade: int = 40) -> np.ndarray:
    """(x, size, red) of each."""
    image = np.full((120, 200, 3), shade, np.uint8)
    image[..., 2] = 0
    for x, size, red in faces:
        image[20 : 20 + size, x : x + size] = (red, 255 - red, 255)
    return image


def test_person_is_followed_among_others() -> None:
    follower = Follower(Painted(), face=1)
    places = [follower(scene((10 + 2 * step, 60, 250), (110 + step, 50, 0))).observation for step in range(10)]
    assert [face.box[0] for face in places] == [110 + step for step in range(10)]


def test_person_who_leaves_is_found_again_and_nobody_else() -> None:
    follower = Follower(Painted())
    assert follower(scene((20, 60, 250))).observation is not None
    assert all(follower(scene()).observation is None for _ in range(20))
    assert follower(scene((130, 60, 0))).observation is None
    assert follower(scene((5, 40, 0), (120, 50, 250))).observation.box[0] == 120


def test_new_scene_is_noticed() -> None:
    follower = Follower(Painted())
    cuts = [follower(scene((20, 60, 250), shade=shade)).cut for shade in (40, 40, 200, 200)]
    assert cuts == [False, False, True, False]


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """25 frames, lossless enough for Painted."""
    path = tmp_path / "squares.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 200, 120, "bgr0"
        for step in range(25):
            frame = av.VideoFrame.from_ndarray(scene((20 + step, 60, 250)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_killed_following_goes_on_to_the_same_notes(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "PIECE", 4)

    def kept(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    whole = Notebook(tmp_path / "whole", "a task")
    whole.open()
    whole.fill(Video(squares), Painted(), 0, lambda count: None)
    assert sum(len(piece) for piece in whole.pieces()) == 25

    class Killed(BaseException):
        pass

    for last in (2, 4, 9, 17, 24):

        def kill(count: int, last: int = last) -> None:
            if count == last:
                raise Killed

        interrupted = Notebook(tmp_path / "killed", "a task")
        interrupted.open()
        with pytest.raises(Killed):
            interrupted.fill(Video(squares), Painted(), 0, kill)
        assert not interrupted.whole
    interrupted.open()
    interrupted.fill(Video(squares), Painted(), 0, lambda count: None)
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")


def test_notes_of_another_task_are_not_used(tmp_path: Path) -> None:
    Notebook(tmp_path / "notes", "one").open()
    (tmp_path / "notes/000000.npz").write_bytes(b"old")
    Notebook(tmp_path / "notes", "other").open()
    assert not list(Notebook(tmp_path / "notes", "other").pieces())
    (tmp_path / "begun").mkdir()
    Notebook(tmp_path / "begun", "one").open()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(Face3DError, match="in the way"):
        Notebook(tmp_path / "mine", "one").open()
    assert (tmp_path / "mine/thesis.txt").is_file()


def test_follower_goes_on_from_its_memory(squares: Path) -> None:
    frames = [frame.pixels for frame in Video(squares).read()]
    follower = Follower(Painted())
    for pixels in frames[:10]:
        follower(pixels)
    other = Follower(Painted(), memory=Memory(**vars(follower.memory)))
    for pixels in frames[10:]:
        assert follower(pixels).observation.box == other(pixels).observation.box


def encoded(path: Path, times: list[float], turn: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    """Frames whose brightness rises, at times in seconds; the left half is darker."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": "5", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if turn:
            stream.set_display_rotation(turn)
        for index, moment in enumerate(times):
            pixels = np.full((size[1], size[0], 3), 60 + index, np.uint8)
            pixels[:, : size[0] // 2] = 0
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(1000 * moment), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_frames_have_their_true_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.08, 0.2, 0.21, 0.5]
    video = Video(encoded(tmp_path / "uneven.mkv", times))
    assert [frame.time for frame in video.read()] == pytest.approx(times, abs=2e-3)
    assert [frame.time for frame in video.read(start=3)] == pytest.approx(times[3:], abs=2e-3)
    assert video.warnings == []
    bright = [picture[:, 40:].mean() for picture in video.pictures([1, 5])]
    assert bright[1] - bright[0] == pytest.approx(4, abs=1.5)


@pytest.mark.parametrize(("turn", "dark"), [(90, "bottom"), (-90, "top"), (180, "right")])
def test_turned_videos_are_turned_upright(turn: int, dark: str, tmp_path: Path) -> None:
    pixels = next(iter(Video(encoded(tmp_path / "turned.mp4", [0.0, 0.04], turn)).read())).pixels
    halves = {"top": pixels[:20], "bottom": pixels[-20:], "left": pixels[:, :20], "right": pixels[:, -20:]}
    assert min(halves, key=lambda name: halves[name].mean()) == dark


def test_broken_video_gives_what_could_be_read_and_a_warning(tmp_path: Path) -> None:
    whole = encoded(tmp_path / "whole.mkv", [index / 30 for index in range(90)])
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    video = Video(broken)
    assert 10 < len(list(video.read())) < 80
    assert video.warnings


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "sound"])
def test_what_is_no_video_is_told_in_a_sentence(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.wav"
    if kind in ("empty", "text"):
        path.write_text("" if kind == "empty" else "no video at all\n" * 50)
    if kind == "sound":
        import wave

        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(8000))
    result = CliRunner().invoke(app, ["track", str(path), "-o", str(tmp_path / "out.csv")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and result.output.count("\n") == 1
    assert not (tmp_path / "out.csv").exists() and not (tmp_path / "out.csv.part").exists()


def test_video_without_a_face(tmp_path: Path) -> None:
    clip = encoded(tmp_path / "nobody.mp4", [0.0, 0.04, 0.08])
    result = CliRunner().invoke(app, ["track", str(clip), "-o", str(tmp_path / "out.csv")])
    assert result.exit_code == 1 and "No face was found in the video" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nobody.mp4"]


def test_output_of_no_known_format(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["track", "clip.mp4", "-o", str(tmp_path / "out.fbx")])
    assert result.exit_code == 1 and ".csv" in result.output


@pytest.fixture(scope="session")
def acted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Performance]:
    """A clip of a rendered head, and how it moves."""
    path = tmp_path_factory.mktemp("clip") / "acted.mp4"
    truth = benchmark.acted(4, 45)
    benchmark.write_clip(path, benchmark.unknown_head(4), truth, 4)
    return path, truth


@pytest.fixture(scope="session")
def tracked(acted: tuple[Path, Performance], detector: MediaPipeDetector, tmp_path_factory) -> Tracked:
    return run_tracking(acted[0], tmp_path_factory.mktemp("kept") / "notes", detector=detector)


def test_rendered_clip_gives_its_motion_back(acted: tuple[Path, Performance], tracked: Tracked) -> None:
    performance, truth = tracked.performance, acted[1]
    np.testing.assert_allclose(performance.times, truth.times, atol=1e-6)
    assert performance.confidence.min() > 0.3
    for name in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight"):
        column = ARKIT_NAMES.index(name)
        assert np.corrcoef(performance.weights[:, column], truth.weights[:, column])[0, 1] > 0.8, name
    turns = [torch.as_tensor(each.head, dtype=torch.float64) for each in (performance, truth)]
    apart = roma.rotvec_composition([turns[0], -turns[1]])
    steady = roma.rotvec_composition([-apart.median(0).values.expand_as(apart), apart]).norm(dim=1)
    assert np.degrees(float(steady.median())) < 1.5


def test_overlay_has_the_clips_frames_and_lies_on_the_face(
    acted: tuple[Path, Performance], tracked: Tracked, detector: MediaPipeDetector, tmp_path: Path
) -> None:
    write_overlay(tmp_path / "seen.mp4", acted[0], tracked, lambda done: None)
    assert benchmark.overlay_error(acted[0], tmp_path / "seen.mp4", detector, every=20) < 3.0


def test_light_of_each_frame_is_found(acted: tuple[Path, Performance], tracked: Tracked, tmp_path: Path) -> None:
    """The same clip in a light that flickers, half as bright and less blue at times."""
    gains = np.stack([0.7 + 0.3 * np.cos(np.arange(45) / 5 * rate) for rate in (1.0, 1.0, 1.5)], 1)
    lit = [
        (255 * linear_to_srgb(torch.as_tensor(gain) * srgb_to_linear(torch.as_tensor(frame.pixels / 255.0))))
        .round()
        .numpy()
        for gain, frame in zip(gains, Video(acted[0]).read(), strict=True)
    ]
    write_video(tmp_path / "flicker.mp4", [frame.astype(np.uint8) for frame in lit], 25)
    steady, flickering = (lighting(clip, tracked) for clip in (acted[0], tmp_path / "flicker.mp4"))
    assert steady.light.shape == (45, 9, 3) and np.array_equal(steady.times, tracked.performance.times)
    ambient, found = steady.light[:, 0], flickering.light[:, 0]
    assert (ambient.std(0) < 0.06 * ambient.mean(0)).all()
    for channel in range(3):
        assert np.corrcoef(found[:, channel], gains[:, channel])[0, 1] > 0.97
    towards = steady.light[:, [3, 1, 2]].mean((0, 2))
    true = np.array([0.51, 0.50, 0.70])  # where the clip has its lamp
    assert towards @ true / np.linalg.norm(towards) > 0.8
    flickering.save(tmp_path / "light.npz")
    with np.load(tmp_path / "light.npz") as stored:
        assert np.array_equal(stored["light"], flickering.light) and stored["skin"].shape == (3,)
    with pytest.raises(ValueError, match="light is written as"):
        steady.save(tmp_path / "light.json")


@pytest.fixture(scope="session")
def portrait(astronaut: np.ndarray) -> np.ndarray:
    """A face in the middle of a small picture."""
    return np.ascontiguousarray(astronaut[20:276, 100:356])


def followed_in(pictures: list[np.ndarray], detector: MediaPipeDetector, face: int = 0) -> list[float | None]:
    """Across where the face is in each, pixels."""
    follower = Follower(detector, face)
    found = [follower(picture).observation for picture in pictures]
    return [None if each is None else float(each.landmarks[:, 0].mean()) for each in found]


def test_real_face_is_followed_over_a_cut(portrait: np.ndarray, detector: MediaPipeDetector) -> None:
    wide = np.full((256, 512, 3), 250, np.uint8)
    other = wide.copy()
    other[:, 256:] = portrait
    first = np.concatenate([portrait, np.zeros_like(portrait)], axis=1)
    places = followed_in([first] * 3 + [other] * 3, detector)
    assert None not in places
    np.testing.assert_allclose(np.array(places[3:]) - np.array(places[:3]), 256, atol=4)


def test_real_face_that_leaves_and_returns(portrait: np.ndarray, detector: MediaPipeDetector) -> None:
    room = np.full((256, 512, 3), 128, np.uint8)

    def at(x: int) -> np.ndarray:
        picture = room.copy()
        picture[:, x : x + 256] = portrait
        return picture

    places = followed_in([at(0)] * 3 + [room] * 4 + [at(250)] * 3, detector)
    assert places[3:7] == [None] * 4
    assert None not in places[:3] + places[7:]
    assert places[-1] == pytest.approx(places[0] + 250, abs=4)


def test_one_of_two_real_faces_is_followed(
    portrait: np.ndarray, acted: tuple[Path, Performance], detector: MediaPipeDetector
) -> None:
    drawn = np.ascontiguousarray(next(iter(Video(acted[0]).read())).pixels[80:400, 160:480])
    small = np.full((320, 256, 3), 128, np.uint8)
    small[:256] = portrait
    pictures = [np.concatenate([np.roll(small, 2 * step, axis=1), drawn], axis=1) for step in range(4)]
    apart = [followed_in(pictures, detector, face) for face in (0, 1)]
    sides = [{place > 256 for place in places if place is not None} for places in apart]
    assert all(None not in places for places in apart)
    assert sorted(sides, key=str) == [{False}, {True}]


MORTAL = """
import os, signal, sys, threading, time
from face3d.cli import main
from face3d.track import sightings

def killed(last):
    while time.process_time() < last:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

sightings.PIECE = 5
threading.Thread(target=killed, args=[float(sys.argv.pop(1))], daemon=True).start()
try:
    main()
finally:
    print(time.process_time())
"""
"""The command, with more to go on from in a short clip, killed after so many seconds of processor time."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_killed_ten_times_it_ends_in_the_same_bytes(saved_head: Path, tmp_path: Path) -> None:
    clip, kept = tmp_path / "clip.mp4", tmp_path / "killed.npz"
    benchmark.write_clip(clip, benchmark.unknown_head(4), benchmark.acted(4, 24), 4, (240, 320))

    def run(output: Path, seconds: float) -> subprocess.CompletedProcess:
        arguments = [str(seconds), "track", str(clip), "-o", str(output), "--head", str(saved_head)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}  # threads that wait would use the processor's time
        command = [sys.executable, "-c", MORTAL, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    whole = run(tmp_path / "whole.npz", np.inf)
    lasts = float(whole.stdout.split()[-1])
    pieces = []
    for share in np.random.default_rng(5).uniform(0.1, 0.8, 10):
        assert run(kept, share * lasts).returncode == -signal.SIGKILL
        pieces.append(len(list(tmp_path.glob("killed.npz.part/0*.npz"))))
    assert sorted(pieces) == pieces and pieces[-1] > 0
    assert run(kept, np.inf).returncode == 0
    assert kept.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not (tmp_path / "killed.npz.part").exists()
