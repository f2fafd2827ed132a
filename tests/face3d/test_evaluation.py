"""Comparing faces with scans: cases whose errors are known, regions, files, and the command."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from typer.testing import CliRunner

import morphable
from face3d import Face3DError
from face3d.cli import app
from face3d.evaluation import REGIONS, Face, face_errors, read_face
from face3d.evaluation.errors import face_points, region_of
from face3d.evaluation.faces import read_landmarks, visible_triangles, without_strays
from face3d.evaluation.summary import cumulative
from face3d.registration.alignment import Similarity
from morphable import Head, MorphableModel, on_surface
from morphable.topology import Topology

ICT = Path(__file__).parents[3] / "shared/data/ict_facekit.npz"
ICT_HEAD = 11248
"""Its first vertices are face, head and neck."""
MICROMETRE, MILLIMETRE = 1e-6, 1e-3
TURN = trimesh.transformations.rotation_matrix(0.4, [1, 2, 3])[:3, :3]
MOVED = Similarity(1.0, TURN, np.array([0.3, -0.2, 0.5]))


@pytest.fixture(scope="module")
def someone(model: MorphableModel) -> Face:
    return face_of(model, torch.randn(model.identities, generator=torch.Generator().manual_seed(7)))


def face_of(model: MorphableModel, identity: torch.Tensor) -> Face:
    vertices = model.neutral(identity[None])[0].double()
    landmarks = on_surface(model.landmarks["now7"], vertices, model.triangles)
    visible = without_strays(vertices.numpy(), visible_triangles(model))
    return Face("someone", *visible, landmarks.numpy(), metric=True)


def moved(face: Face, motion: Callable[[np.ndarray], np.ndarray]) -> Face:
    return replace(face, vertices=motion(face.vertices), landmarks=motion(face.landmarks))


def shaped(face: Face, offsets: np.ndarray) -> Face:
    return replace(face, vertices=face.vertices + offsets)


def normals_of(face: Face) -> np.ndarray:
    return np.array(trimesh.Trimesh(face.vertices, face.triangles, process=False).vertex_normals)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_moved_copy_has_no_error(someone: Face, scaled: bool) -> None:
    errors = face_errors(moved(someone, MOVED), someone, scaled)
    assert errors.distances.max() < 10 * MICROMETRE
    assert set(errors.regions) == set(REGIONS)
    assert max(each.max() for each in errors.regions.values()) < 10 * MICROMETRE


def test_a_copy_with_bad_landmarks_is_laid_right_by_its_surface(someone: Face) -> None:
    random = np.random.default_rng(0)
    copy = moved(someone, MOVED)
    copy = replace(copy, landmarks=copy.landmarks + 3 * MILLIMETRE * random.normal(size=(7, 3)))
    assert face_errors(copy, someone, scaled=False).distances.max() < 0.05 * MILLIMETRE


def test_size_counts_in_the_metric_variant_alone(someone: Face) -> None:
    larger = moved(moved(someone, MOVED), Similarity(1.1, np.eye(3), np.zeros(3)))
    assert face_errors(larger, someone, scaled=True).distances.max() < 0.05 * MILLIMETRE
    assert np.median(face_errors(larger, someone, scaled=False).distances) > 0.5 * MILLIMETRE


@pytest.mark.parametrize("millimetres", [0.2, 1.0])
def test_roughness_of_a_known_depth_is_the_error(someone: Face, millimetres: float) -> None:
    """The scan's points lie by turns before and behind the prediction, which no motion can mend."""
    signs = np.where(np.random.default_rng(0).random(len(someone.vertices)) < 0.5, 1, -1)
    scan = shaped(someone, signs[:, None] * normals_of(someone) * millimetres * MILLIMETRE)
    distances = face_errors(moved(someone, MOVED), scan, scaled=False).distances
    assert np.median(distances) == pytest.approx(millimetres * MILLIMETRE, rel=0.05)
    assert distances.max() < 1.3 * millimetres * MILLIMETRE


def test_a_longer_nose_is_an_error_of_the_nose(someone: Face) -> None:
    regions = region_of(someone, someone.vertices)
    tip = someone.vertices[(regions == 0)][someone.vertices[regions == 0, 2].argmax()]
    nearness = np.exp(-np.square(np.linalg.norm(someone.vertices - tip, axis=1) / 0.012))
    longer = shaped(someone, 0.006 * nearness[:, None] * [0, 0, 1])
    errors = face_errors(longer, someone, scaled=False).regions
    means = {name: distances.mean() for name, distances in errors.items()}
    assert means["nose"] > 0.3 * MILLIMETRE
    assert max(means["forehead"], means["cheek"]) < 0.05 * MILLIMETRE


def test_regions_are_where_they_are_called(someone: Face) -> None:
    points = face_points(someone)
    found = region_of(someone, points)
    places = {name: points[found == index] for index, name in enumerate(REGIONS)}
    right_eye, left_eye = someone.landmarks[:2].mean(0), someone.landmarks[2:4].mean(0)
    base, mouth = someone.landmarks[4], someone.landmarks[5:].mean(0)
    between = (right_eye + left_eye) / 2
    assert base[1] - 0.005 < places["nose"][:, 1].min() < places["nose"][:, 1].max() < between[1] + 0.01
    assert np.abs(places["nose"][:, 0]).max() < 0.03
    assert places["mouth"][:, 1].max() < base[1] + 0.005
    assert np.linalg.norm(places["mouth"] - mouth, axis=1).min() < 0.01
    assert places["forehead"][:, 1].min() > between[1] - 0.005
    cheeks = places["cheek"]
    assert (cheeks[:, 0] > 0.03).sum() > 100 and (cheeks[:, 0] < -0.03).sum() > 100
    for eye in (right_eye, left_eye):
        nearest = np.linalg.norm(points - eye, axis=1).argsort()[:20]
        assert np.all(found[nearest] == -1)


def test_the_face_is_what_now_takes_for_it(someone: Face) -> None:
    points = face_points(someone)
    base, bridge = someone.landmarks[4], someone.landmarks[1:3].mean(0)
    width = np.linalg.norm(someone.landmarks[0] - someone.landmarks[3])
    reach = np.linalg.norm(points - (base + 0.3 * (bridge - base)), axis=1).max()
    assert reach == pytest.approx(0.7 * (width + np.linalg.norm(bridge - base)), abs=2 * MILLIMETRE)


def test_other_peoples_faces_differ_by_millimetres(model: MorphableModel, someone: Face) -> None:
    mean = face_of(model, torch.zeros(model.identities))
    metric, free = (face_errors(mean, someone, scaled).distances for scaled in (False, True))
    assert 0.4 * MILLIMETRE < np.median(metric) < 4 * MILLIMETRE
    assert np.square(free).sum() <= 1.001 * np.square(metric).sum()


@pytest.mark.slow
def test_icts_heads_as_scans(model: MorphableModel) -> None:
    if not ICT.exists():
        pytest.skip("ICT-FaceKit's arrays are not here")
    data = np.load(ICT)
    triangles = data["f"][(data["f"] < ICT_HEAD).all(1)].astype(int)
    corners = data["lmk68"][[36, 39, 42, 45, 33, 48, 54]]
    mean = face_of(model, torch.zeros(model.identities))

    def scan(seed: int) -> Face:
        weights = np.random.default_rng(seed).normal(size=len(data["identity"]))
        vertices = (data["v"] + np.tensordot(weights, data["identity"].astype(float), 1)) * 0.01
        return Face("ict", vertices[:ICT_HEAD], triangles, vertices[corners], metric=True)

    first, second = scan(0), scan(1)
    assert face_errors(moved(first, MOVED), first, scaled=False).distances.max() < 0.05 * MILLIMETRE
    for prediction in (mean, second):
        errors = face_errors(prediction, first, scaled=False)
        assert 0.5 * MILLIMETRE < np.median(errors.distances) < 4 * MILLIMETRE
        assert set(errors.regions) == set(REGIONS)


def test_landmarks_in_another_order_are_refused(someone: Face) -> None:
    swapped = replace(someone, landmarks=someone.landmarks[[3, 2, 1, 0, 4, 6, 5]])
    with pytest.raises(Face3DError, match="in its order"):
        face_errors(swapped, someone, scaled=False)


def test_cumulative_curve() -> None:
    errors, shares = cumulative(np.array([0.0, 1e-3, 1e-3, 9e-3]))
    assert shares[0] == 0.25 and shares[-1] == 0.75 and np.all(np.diff(shares) >= 0)
    assert shares[np.searchsorted(errors, 1.01e-3)] == 0.75


# Files


@pytest.fixture
def folders(someone: Face, tmp_path: Path) -> tuple[Path, Path]:
    """One prediction, an exact copy in metres, and its scan in millimetres."""
    predictions, scans = tmp_path / "ours", tmp_path / "scans"
    save(someone, scans / "anna.obj", 1000)
    save(moved(someone, MOVED), predictions / "anna.ply", 1)
    return predictions, scans


def save(face: Face, path: Path, units_a_metre: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.Trimesh(face.vertices * units_a_metre, face.triangles, process=False).export(path)
    np.save(path.with_suffix(".npy"), face.landmarks * units_a_metre)


def run(*arguments: object) -> tuple[str, str, int]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    return result.stdout, result.stderr, result.exit_code


def test_the_command_writes_table_curves_and_json(folders: tuple[Path, Path], someone: Face, tmp_path: Path) -> None:
    predictions, scans = folders
    save(someone, scans / "bert.obj", 1000)
    out, complaint, code = run("--pred", predictions, "--scans", scans, "-o", tmp_path / "out", "--method", "mine")
    assert (complaint, code) == ("Warning: nothing was predicted for bert.\n", 0)
    head, rule, metric, free = out.splitlines()
    assert head.count("|") == rule.count("|") == metric.count("|") == free.count("|") == 11
    assert metric.startswith("| mine | metric | 1 | 0.00 | 0.00 | 0.00 |") and "scale-free" in free
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["curves.png", "errors.json", "table.md"]
    assert (tmp_path / "out/table.md").read_text() == out
    report = json.loads((tmp_path / "out/errors.json").read_text())
    assert report["scans_without_prediction"] == ["bert"]
    assert report["metric"]["predictions"]["anna.ply"]["median"] < 0.01
    assert report["scale_free"]["regions"]["nose"] < 0.01
    assert report["metric"]["curve"]["share"][-1] == 1
    assert Image.open(tmp_path / "out/curves.png").size[0] > 1000


def test_our_heads_need_no_landmarks(model: MorphableModel, someone: Face, tmp_path: Path) -> None:
    identity = torch.randn(model.identities, generator=torch.Generator().manual_seed(7))
    head = Head.from_model(model, identity, {})
    (tmp_path / "ours/anna").mkdir(parents=True)
    head.save(tmp_path / "ours/anna/head.glb")
    face = read_face(tmp_path / "ours/anna/head.glb")
    assert face.metric and np.allclose(face.landmarks, someone.landmarks, atol=MICROMETRE)
    save(someone, tmp_path / "scans/anna.ply", 100)
    out, _, code = run("--pred", tmp_path / "ours", "--scans", tmp_path / "scans")
    assert code == 0 and "| ours | metric | 1 | 0.00 |" in out


def test_the_folders_of_the_now_challenge(someone: Face, tmp_path: Path) -> None:
    save(someone, tmp_path / "scans/FaMoS_1/natural.obj", 1000)
    (tmp_path / "scans/FaMoS_1/natural.npy").unlink()
    picked = tmp_path / "scans_lmks_onlypp/FaMoS_1/natural_picked_points.pp"
    picked.parent.mkdir(parents=True)
    picked.write_text(meshlab(1000 * someone.landmarks))
    for challenge in ("selfie", "multiview_neutral"):
        save(someone, tmp_path / f"mine/FaMoS_1/{challenge}/IMG_1.obj", 1)
    out, complaint, code = run("--pred", tmp_path / "mine", "--scans", tmp_path / "scans")
    assert (complaint, code) == ("", 0)
    assert "| mine | metric | 2 | 0.00 |" in out


def meshlab(points: np.ndarray) -> str:
    rows = [f'<point x="{x}" y="{y}" z="{z}" name="{i}" active="1"/>' for i, (x, y, z) in enumerate(points)]
    return "\n".join(["<!DOCTYPE PickedPoints>", "<PickedPoints>", *rows, "</PickedPoints>"])


@pytest.mark.parametrize("suffix", [".npy", ".txt", ".pp", ".picked_points"])
def test_landmark_files(suffix: str, tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(7, 3))
    path = tmp_path / f"anna{suffix}"
    if suffix == ".npy":
        np.save(path, points)
    else:
        path.write_text("\n".join("{} {}, {}".format(*row) for row in points) if suffix == ".txt" else meshlab(points))
    assert np.allclose(read_landmarks(path), points)


@pytest.mark.parametrize(
    "contents", [b"", b"1 2 3\n4 5 6", b"a b c", b"<point x='1'", b"\xff\xfe\x00", b"nan 1 2\n" * 7]
)
@pytest.mark.parametrize("suffix", [".npy", ".txt", ".pp"])
def test_bad_landmark_files(contents: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"anna{suffix}"
    path.write_bytes(contents)
    with pytest.raises(Face3DError, match="anna"):
        read_landmarks(path)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    class Exploit:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
            return Path.write_text, (tmp_path / "ran", "")  # type: ignore[return-value]

    np.save(tmp_path / "anna.npy", np.array([Exploit()], dtype=object), allow_pickle=True)
    (tmp_path / "bert.npy").write_bytes(pickle.dumps(Exploit()))
    for name in ("anna.npy", "bert.npy"):
        with pytest.raises(Face3DError, match=name):
            read_landmarks(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_prediction_of_unknown_unit_is_judged_by_shape_alone(folders: tuple[Path, Path], someone: Face) -> None:
    predictions, scans = folders
    save(someone, predictions / "anna.ply", 3)
    out, _, code = run("--pred", predictions, "--scans", scans)
    assert code == 0 and "metric" not in out and "| ours | scale-free | 1 | 0.00 |" in out


def _no_scans(predictions: Path, scans: Path) -> None:
    (scans / "anna.obj").unlink()


def _no_landmarks(predictions: Path, scans: Path) -> None:
    (scans / "anna.npy").unlink()


def _other_names(predictions: Path, scans: Path) -> None:
    (predictions / "anna.ply").rename(predictions / "bert.ply")


def _no_mesh(predictions: Path, scans: Path) -> None:
    (predictions / "anna.ply").write_text("no mesh")


def _no_head(predictions: Path, scans: Path) -> None:
    (predictions / "anna.ply").unlink()
    (predictions / "anna.glb").write_text("no head")


def _head_of_another_model(predictions: Path, scans: Path) -> None:
    (predictions / "anna.ply").unlink()
    model = morphable.load()
    head = Head.from_model(model, torch.zeros(model.identities), {})
    own = Topology(model.parts, model.triangles, model.uv, model.uv_triangles, model.skinning_weights)
    replace(head, model="own", topology=own).save(predictions / "anna.glb")


def _scan_of_no_size(predictions: Path, scans: Path) -> None:
    np.save(scans / "anna.npy", np.load(scans / "anna.npy") * 7)


def _no_folder(predictions: Path, scans: Path) -> None:
    predictions.rename(predictions.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_scans, "no scans in"),
        (_no_landmarks, "has no landmarks: put its seven points beside it"),
        (_other_names, "has the name of a scan, such as anna"),
        (_no_mesh, "anna.ply"),
        (_no_head, "is not a GLB file"),
        (_head_of_another_model, "anna.glb: The head has a mesh of its own"),
        (_scan_of_no_size, "no face in metres"),
        (_no_folder, "is no folder"),
    ],
)
def test_bad_input_is_one_sentence_and_no_output(
    folders: tuple[Path, Path], tmp_path: Path, spoil: Callable[[Path, Path], None], message: str
) -> None:
    spoil(*folders)
    out, complaint, code = run("--pred", folders[0], "--scans", folders[1], "-o", tmp_path / "out")
    assert (out, code) == ("", 1)
    assert complaint.startswith("Error: ") and message in complaint and complaint.count("\n") == 1
    assert not (tmp_path / "out").exists()
