"""Recordings in the layout of VHAP and GaussianAvatars, of a FLAME model whose mesh is the default head's skin and
eyes: so it is known where each of its vertices has to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import roma
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from avatars import gaussian
from avatars.capture import Capture
from benchmarks.flame_layout import EXPRESSIONS, SHAPES, write_flame
from face3d import vhap
from face3d.avatar import LEARNERS
from face3d.cli import app
from face3d.errors import Face3DError
from face3d.framing import posed
from face3d.vhap import Recording
from morphable import ARKIT_NAMES, MorphableModel, catalogue
from morphable.flame import Flame
from renderers import Camera

MOMENTS, WIDTH, HEIGHT = 10, 96, 80
MODES = 20
"""Of the default head's identity that the model knows."""
SHIFT = np.array([0.0, 0.02, -0.03])
"""Metres from the default head's frame to the model's."""
NATIVE = ("mouthSmileLeft", "mouthSmileRight", "browInnerUp", "eyeBlinkLeft")
"""Shapes of the default head that are the model's first expression components."""
EXTRA = 120
"""Vertices of teeth that GaussianAvatars adds behind FLAME's."""
WORLD = roma.rotvec_to_rotmat(torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64)).numpy()
PLACE = np.array([0.4, 1.3, -0.2])
"""How and where the person stands among the cameras."""


def flame_of(model: MorphableModel) -> dict[str, np.ndarray]:
    """The arrays of a FLAME file."""
    stop = model.parts["eye_right"]
    count = stop.vertices.stop
    mean = model.mean[:count].double().numpy()
    shapes = model.expressions(torch.zeros(1, model.identities))[0, :, :count].double().numpy()
    components = np.zeros((count, 3, SHAPES + EXPRESSIONS))
    components[..., :MODES] = model.identity_basis[:MODES, :count].permute(1, 2, 0).numpy()
    for index, name in enumerate(NATIVE):
        components[..., SHAPES + index] = shapes[ARKIT_NAMES.index(name)]
    moved = np.linalg.norm(shapes[ARKIT_NAMES.index("jawOpen")], axis=1)
    jaw = np.where(mean[:, 1] < -0.03, moved / moved.max(), 0)
    neck, skull, left, right = model.skinning_weights[:count].double().numpy().T
    weights = np.stack([neck, skull * (1 - jaw), skull * jaw, left, right], 1)
    joints = model.joint_mean.double().numpy()
    goals = np.stack([joints[0], joints[1], [0.0, 0.0, 0.01], joints[2], joints[3]])
    system = np.concatenate([mean.T, np.ones((1, count))])
    regressor = np.linalg.lstsq(system, np.concatenate([goals.T, np.ones((1, 5))]), rcond=None)[0].T
    return {
        "v_template": mean + SHIFT,
        "f": model.triangles[: stop.triangles.stop].numpy().astype(np.uint32),
        "shapedirs": components,
        "posedirs": np.zeros((count, 3, 36)),
        "J_regressor": regressor,
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], dtype=np.int64),
    }


@pytest.fixture(scope="module")
def flame(model: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flame]:
    """Added as a user's copy is; that the default head lies on it needs no registration here."""
    folder = tmp_path_factory.mktemp("flame")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(catalogue.FOLDER_VARIABLE, str(folder / "models"))
        catalogue.add(write_flame(flame_of(model), folder / "generic_model.pkl"), "flame")
        added = catalogue.load("flame")
        assert isinstance(added, Flame)
        lying = (model.mean + torch.as_tensor(SHIFT) - added.origin).double().numpy()
        for user in ("face3d.convert", "face3d.vhap"):
            patch.setattr(f"{user}.default_on", lambda _: lying)
        yield added


@dataclass(frozen=True)
class Truth:
    """What a recording was made of: vertices of each moment in the cameras' world, and the cameras."""

    folder: Path
    vertices: np.ndarray
    cameras: list[Camera]
    gaze: np.ndarray


@pytest.fixture(scope="module")
def truth(flame: Flame, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Two cameras, the first from the side; the last two moments are for the test, the second camera's fourth is to
    be validated with. Pictures are black but for the tip of the nose."""
    folder = tmp_path_factory.mktemp("recording")
    random = np.random.default_rng(0)
    share = np.linspace(0, 1, MOMENTS)
    shape = np.concatenate([0.5 * random.normal(size=MODES), np.zeros(SHAPES - MODES)])
    offset = np.zeros((len(flame.mean) + EXTRA, 3))
    nose = int(flame.mean[:, 2].argmax())
    offset[: len(flame.mean), 2] = 0.003 * np.exp(
        -np.square((flame.mean - flame.mean[nose]).numpy()).sum(1) / 2 / 0.01**2
    )
    expression = np.zeros((MOMENTS, EXPRESSIONS))
    expression[:, 0], expression[:, 3] = 0.6 * share, 0.5 * np.sin(3 * share) ** 2
    pose = np.zeros((MOMENTS, 5, 3))
    own = roma.rotvec_to_rotmat(torch.as_tensor(np.outer(np.sin(6 * share), [0.05, 0.15, 0.02])))
    pose[:, 0] = roma.rotmat_to_rotvec(torch.as_tensor(WORLD) @ own).numpy()
    pose[:, 1, 0] = 0.1 * share
    pose[:, 2, 0] = 0.15 * share
    pose[:, 3:, 0], pose[:, 3:, 1] = 0.2 * share[:, None], -0.3 * share[:, None]
    translation = PLACE + np.outer(share, [0.01, -0.02, 0.01])
    tiled = (np.tile(shape, (MOMENTS, 1)), expression, pose)
    with torch.no_grad():
        vertices = flame.native(*(torch.as_tensor(each).float() for each in tiled))[0].double().numpy()
    turns = roma.rotvec_to_rotmat(torch.as_tensor(pose[:, 0])) @ roma.rotvec_to_rotmat(torch.as_tensor(pose[:, 1]))
    vertices = vertices + np.einsum("tij,vj->tvi", turns.numpy(), offset[: len(flame.mean)]) + translation[:, None]

    middle = vertices.mean((0, 1))
    cameras = [
        Camera.looking_at(
            torch.as_tensor(middle + WORLD @ away).float(), middle.tolist(), WORLD[:, 1].tolist(), 0.5, (HEIGHT, WIDTH)
        )
        for away in (np.array([0.5, 0.1, 0.6]), np.array([0.05, 0.0, 0.8]))
    ]
    for name in ("images", "fg_masks", "flame_param"):
        (folder / name).mkdir()
    listed: dict[str, list[dict]] = {"train": [], "val": [], "test": []}
    for moment in range(MOMENTS):
        np.savez(
            folder / f"flame_param/{moment:05d}.npz",
            shape=shape,
            expr=expression[moment : moment + 1],
            rotation=pose[moment : moment + 1, 0],
            neck_pose=pose[moment : moment + 1, 1],
            jaw_pose=pose[moment : moment + 1, 2],
            eyes_pose=pose[moment, 3:].reshape(1, 6),
            translation=translation[moment : moment + 1],
            static_offset=offset[None],
        )
        for number, camera in enumerate(cameras):
            name = f"{moment:05d}_{number:02d}.png"
            places = camera.project(torch.as_tensor(vertices[moment]).float()).numpy()
            picture, mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
            cv2.fillConvexPoly(mask, cv2.convexHull(places.round().astype(np.int32)), 255)
            row, column = np.mgrid[:HEIGHT, :WIDTH] + 0.5
            near = np.square(column - places[nose, 0]) + np.square(row - places[nose, 1])
            picture[...] = (255 * np.exp(-near / 2 / 1.5**2))[..., None]
            Image.fromarray(picture).save(folder / "images" / name)
            Image.fromarray(mask).save(folder / "fg_masks" / name)
            split = "test" if moment >= MOMENTS - 2 else "val" if (moment, number) == (4, 1) else "train"
            listed[split].append(entry(moment, number, camera))
    for split, frames in listed.items():
        whole = {"w": WIDTH, "h": HEIGHT, "camera_indices": [0, 1], "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(whole))
    return Truth(folder, vertices, cameras, pose[:, 3:])


def entry(moment: int, number: int, camera: Camera) -> dict:
    """A picture, as transforms.json tells of it."""
    to_world = np.eye(4)
    to_world[:3, :3] = camera.rotation.T.numpy() * [1, -1, -1]
    to_world[:3, 3] = camera.position.numpy()
    name = f"{moment:05d}_{number:02d}.png"
    return {
        "timestep_index": moment,
        "camera_index": number,
        "file_path": f"images/{name}",
        "fg_mask_path": f"fg_masks/{name}",
        "flame_param_path": f"flame_param/{moment:05d}.npz",
        "transform_matrix": to_world.tolist(),
        "fl_x": float(camera.focal[0]),
        "fl_y": float(camera.focal[1]),
        "cx": float(camera.principal[0]),
        "cy": float(camera.principal[1]),
    }


@pytest.fixture(scope="module")
def captures(flame: Flame, truth: Truth) -> list[Capture]:
    return vhap.captured(Recording.of(truth.folder), flame, 64)


def test_pictures_are_sorted_by_camera_and_time_and_split_as_told(truth: Truth) -> None:
    recording = Recording.of(truth.folder)
    names = [[taken.picture.name for taken in each] for each in recording.cameras]
    assert names == [[f"{moment:05d}_{number:02d}.png" for moment in range(MOMENTS)] for number in (1, 0)]
    assert recording.split
    assert recording.held_out.tolist() == [4, 8, 9, 18, 19]


def test_long_recordings_are_thinned_by_moments(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face3d.vhap.MOST", 8)
    assert [[taken.timestep for taken in each] for each in Recording.of(truth.folder).cameras] == [[0, 3, 6, 9]] * 2


def test_the_default_head_is_where_flame_is(
    captures: list[Capture], truth: Truth, flame: Flame, model: MorphableModel
) -> None:
    """In the axes of each camera, whatever world a capture has."""
    follows = flame.native_skinning_weights[:, 1].numpy() > 0.99
    lips = model.regions["lips"].numpy()[: len(flame.mean)]
    for capture, whole in zip(captures, truth.cameras[::-1], strict=True):
        vertices = posed(capture.head, capture.performance)[:, : len(flame.mean)]
        seen = torch.stack([capture.camera.view(each) for each in vertices]).double().numpy()
        expected = torch.stack([whole.view(torch.as_tensor(each).float()) for each in truth.vertices]).double().numpy()
        off = np.linalg.norm(seen - expected, axis=-1)
        assert np.median(off[:, follows]) < 0.4e-3
        assert np.median(off[:, lips]) < 1.5e-3
        at_rest = np.linalg.norm((expected - seen)[-1, lips] - (expected - seen)[0, lips], axis=-1)
        assert np.median(at_rest) < 1.5e-3


def test_cameras_are_cut_with_their_pictures(captures: list[Capture], flame: Flame) -> None:
    """The tip of the nose, which the pictures show, is where the camera sees the vertex."""
    nose = int(flame.mean[:, 2].argmax())
    for capture in captures:
        assert max(capture.camera.resolution) <= 64
        places = [capture.camera.project(each[nose][None])[0] for each in posed(capture.head, capture.performance)]
        for frame, place in zip(capture.frames, places, strict=True):
            light = frame[..., 0].astype(float)
            row, column = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
            middle = np.array([(light * column).sum(), (light * row).sum()]) / light.sum()
            np.testing.assert_allclose(middle, place.numpy(), atol=0.6)
        inside = (capture.masks > 127).mean()
        assert 0.05 < inside < 0.9


def test_motion_is_in_the_weights_of_the_default_head(captures: list[Capture], truth: Truth) -> None:
    performance = captures[0].performance
    of = {name: performance.weights[:, ARKIT_NAMES.index(name)] for name in ARKIT_NAMES}
    assert of["jawOpen"][-1] > 0.2 > 0.05 > of["jawOpen"][0]
    assert of["mouthSmileLeft"][-1] == pytest.approx(0.6, abs=0.15)
    assert of["mouthSmileRight"].max() < 0.2
    blinking = 0.5 * np.sin(3 * np.linspace(0, 1, MOMENTS)) ** 2
    np.testing.assert_allclose(of["eyeBlinkLeft"], blinking, atol=0.15)
    np.testing.assert_allclose(performance.gaze, truth.gaze, atol=0.02)
    np.testing.assert_allclose(performance.times * vhap.RATE, np.arange(MOMENTS))
    assert np.abs(performance.head.mean(0)).max() < 0.05


def test_a_moving_camera_becomes_one_that_stands_still(flame: Flame, truth: Truth, tmp_path: Path) -> None:
    """The head moves in its place: in the camera's axes nothing changes."""
    middle, up = truth.vertices.mean((0, 1)).tolist(), WORLD[:, 1].tolist()
    eyes = [truth.cameras[1].position + torch.tensor([0.01, 0.0, 0.0]) * moment for moment in range(MOMENTS)]
    moved = [Camera.looking_at(eye, middle, up, 0.5, (HEIGHT, WIDTH)) for eye in eyes]
    frames = [entry(moment, 0, camera) for moment, camera in enumerate(moved)]
    (capture,) = vhap.captured(Recording.of(written(tmp_path / "moving", truth, frames)), flame, 64)
    vertices = posed(capture.head, capture.performance)[:, : len(flame.mean)]
    skull = flame.native_skinning_weights[:, 1] > 0.99
    for index, camera in enumerate(moved):
        expected = camera.view(torch.as_tensor(truth.vertices[index]).float())[skull]
        off = (capture.camera.view(vertices[index])[skull] - expected).norm(dim=1)
        assert float(off.median()) < 0.4e-3


def written(folder: Path, truth: Truth, frames: list[dict]) -> Path:
    """A folder with the recording's files and other entries, all to learn from."""
    for name in ("images", "fg_masks", "flame_param"):
        (folder / name).mkdir(parents=True)
        for file in (truth.folder / name).iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    (folder / "transforms.json").write_text(json.dumps({"frames": frames}))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["avatar", "train", *map(str, arguments)])


def test_an_avatar_is_trained_from_a_folder(
    flame: Flame, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEARNERS, "gaussian", ({"cpu": gaussian.Preset(48, 3, 11_000)}, gaussian.trained))
    output = tmp_path / "ada.avatar"
    done = run(truth.folder, "-o", output)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0].endswith("Gaussians from 20 frames)")
    found = json.loads((output / "report.json").read_text())
    assert found["held_out"] == [4, 8, 9, 18, 19]
    assert [each["frames"] for each in found["clips"]] == [10, 10]
    assert sorted(path.name for path in (output / "capture").iterdir()) == ["000", "001"]
    monkeypatch.setattr("face3d.vhap.captured", lambda *_: pytest.fail("read again"))
    assert run(truth.folder, "-o", output).exit_code == 0
    for refused, told in ((("--holdout", 0.2), "itself says what is held out"), ((truth.folder,), "alone")):
        done = run(truth.folder, *refused, "-o", tmp_path / "other.avatar")
        assert done.exit_code == 1
        assert told in done.output


def test_a_folder_may_unite_recordings_beside_it(truth: Truth, tmp_path: Path) -> None:
    frames = [entry(moment, 1, truth.cameras[1]) for moment in range(2)]
    written(tmp_path / "first", truth, frames)
    paths = ("file_path", "fg_mask_path", "flame_param_path")
    (tmp_path / "union").mkdir()
    united = [frame | {path: f"../first/{frame[path]}" for path in paths} for frame in frames]
    (tmp_path / "union" / "transforms.json").write_text(json.dumps({"frames": united}))
    found, single = (Recording.of(tmp_path / name) for name in ("union", "first"))
    assert [each.picture for each in found.cameras[0]] == [each.picture for each in single.cameras[0]]


def test_masks_that_are_missing_are_made(flame: Flame, truth: Truth, tmp_path: Path) -> None:
    frames = [entry(moment, 1, truth.cameras[1]) for moment in range(2)]
    for frame in frames:
        del frame["fg_mask_path"]
    folder = written(tmp_path / "bare", truth, frames)
    transparent = Image.open(folder / "images/00001_01.png").convert("RGBA")
    transparent.putalpha(77)
    transparent.save(folder / "images/00001_01.png")
    (capture,) = vhap.captured(Recording.of(folder), flame, 48)
    assert capture.masks[0].max() == 255
    assert capture.masks[0].min() == 0
    assert (capture.masks[1] == 77).all()


DAMAGES: list[tuple[Callable[[Path, dict], object], str]] = [
    (lambda folder, told: told["frames"][0].update(file_path="../../secret.png"), "leads away from"),
    (lambda folder, told: told["frames"][0].update(flame_param_path="/etc/passwd"), "leads away from"),
    (lambda folder, told: told["frames"][0].pop("transform_matrix"), "does not list"),
    (lambda folder, told: told["frames"][0].update(transform_matrix=[[1, 2], [3]]), "does not list"),
    (lambda folder, told: told["frames"][0].update(timestep_index=None), "does not list"),
    (lambda folder, told: told["frames"][0].update(file_path="a\0b"), "does not list"),
    (lambda folder, told: told["frames"][1].update(timestep_index=0), "several pictures of one moment"),
    (lambda folder, told: told["frames"][1].update(fl_x=9.0), "another size or lens"),
    (lambda folder, told: told["frames"][0].update(timestep_index=np.inf), "does not list"),
    (lambda folder, told: told["frames"][0].update(w=0), "does not list"),
    (lambda folder, told: told.update(frames=[]), "lists no picture"),
    (lambda folder, told: told.update(frames=5), "does not list"),
    (lambda folder, told: (folder / "images/00003_01.png").unlink(), "00003_01.png is missing"),
    (lambda folder, told: (folder / "images/00003_01.png").write_bytes(b"no picture"), "is missing or no picture"),
    (lambda folder, told: (folder / "fg_masks/00003_01.png").unlink(), "00003_01.png is missing"),
    (lambda folder, told: (folder / "flame_param/00003.npz").unlink(), "00003.npz is missing"),
    (lambda folder, told: (folder / "flame_param/00003.npz").write_bytes(b"PK"), "is damaged"),
    (lambda folder, told: np.savez(folder / "flame_param/00003.npz", expr=np.zeros(100)), "lacks `rotation`"),
    (lambda folder, told: np.savez(folder / "flame_param/00000.npz", **_named(rotation=[[np.nan] * 3])), "finite"),
    (lambda folder, told: np.savez(folder / "flame_param/00000.npz", **_named(shape=np.zeros(999))), "999 numbers"),
    (lambda folder, told: np.savez(folder / "flame_param/00000.npz", **_named(static_offset=[0.0] * 9)), "3 vertices"),
    (lambda folder, told: np.savez(folder / "flame_param/00000.npz", **_named(shape=[1e30])), "another unit"),
    (lambda folder, told: np.savez(folder / "flame_param/00002.npz", **_named(expr=[1e30])), "another unit"),
    (lambda folder, told: [_turn_away(frame) for frame in told["frames"]], "not in the camera's sight"),
]


def _named(**changed: object) -> dict[str, object]:
    held = {"shape": np.zeros(10), "expr": np.zeros(10), "eyes_pose": np.zeros(6)}
    three = {name: np.zeros(3) for name in ("rotation", "neck_pose", "jaw_pose", "translation")}
    return held | three | changed


def _turn_away(frame: dict) -> None:
    matrix = np.array(frame["transform_matrix"])
    matrix[:3, :3] = matrix[:3, :3] * [-1, 1, -1]
    frame["transform_matrix"] = matrix.tolist()


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_what_is_wrong_is_one_sentence(
    flame: Flame, truth: Truth, tmp_path: Path, damage: Callable[[Path, dict], object], message: str
) -> None:
    frames = [entry(moment, 1, truth.cameras[1]) for moment in range(8)]
    folder = written(tmp_path / "damaged", truth, frames)
    told = {"frames": frames}
    damage(folder, told)
    (folder / "transforms.json").write_text(json.dumps(told))
    done = run(folder, "-o", tmp_path / "new.avatar")
    assert done.exit_code == 1
    assert message in done.output
    assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "new.avatar").exists()


def test_folders_without_a_list_and_without_flame_are_refused(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Face3DError, match=r"holds no transforms_train.json or transforms.json"):
        Recording.of(tmp_path)
    (tmp_path / "transforms.json").write_text("[" * 100_000)
    with pytest.raises(Face3DError, match="does not list"):
        Recording.of(tmp_path)
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "none"))
    done = run(truth.folder, "-o", tmp_path / "new.avatar")
    assert done.exit_code == 1
    assert "face3d models add" in done.output
