"""ICT-FaceKit behind the common interface."""

from pathlib import Path

import numpy as np
import pytest
import torch

import morphable
from morphable import ARKIT_NAMES, catalogue, on_surface
from morphable.errors import ModelFileError
from morphable.ict import PARTS, VERTICES, ict_from_arrays, ict_from_folder

ICT = Path(__file__).parents[3] / "shared/data/ict_facekit.npz"
pytestmark = pytest.mark.skipif(not ICT.exists(), reason="ICT-FaceKit's arrays are not part of the repository")
USED = 3
"""Identities, of the file's hundred, that suffice here."""


@pytest.fixture(scope="module")
def arrays():
    with np.load(ICT) as held:
        return {key: held[key][:USED] if key == "identity" else held[key] for key in held}


@pytest.fixture(scope="module")
def ict(arrays):
    return ict_from_arrays(arrays, "ict", ICT.name)


def shape(model, name):
    return model.expression_basis[ARKIT_NAMES.index(name)]


def test_frame_and_eyes_are_the_default_heads(ict):
    default = morphable.load()
    assert torch.allclose(ict.joint_mean[2:].mean(0), torch.tensor([0.0, 0.0, 0.08]), atol=1e-6)
    assert torch.allclose(ict.joint_mean, default.joint_mean, atol=0.003)
    nose = [on_surface(model.landmarks["ibug68"], model.mean, model.triangles)[30] for model in (ict, default)]
    assert (nose[0] - nose[1]).norm() < 0.012
    for side in (2, 3):
        ball = ict.mean[ict.parts[("eye_left", "eye_right")[side - 2]].vertices]
        radius = (ball - ict.joint_mean[side]).norm(dim=1)
        assert radius.std() < 0.1 * radius.mean()


def test_vertices_are_the_files_in_metres(ict, arrays):
    skin = slice(*PARTS["head"])
    shift = ict.mean[skin].numpy() - arrays["v"][skin] / 100
    assert np.ptp(shift, axis=0).max() < 1e-6
    assert (
        np.abs(ict.identity_basis[:, skin].numpy() - arrays["identity"][:, skin].astype(np.float64) / 100).max() < 1e-7
    )


def test_parts_are_meshes_of_their_own(ict):
    assert {"head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "lashes"} == set(ict.parts)
    for part in ict.parts.values():
        used = ict.triangles[part.triangles].unique()
        assert part.vertices.start <= used.min() and used.max() < part.vertices.stop
    assert ict.parts["lashes"].vertices.stop == len(ict.mean)
    assert ict.uv.min() >= 0 and ict.uv.max() <= 1


def test_shapes_have_arkits_names(ict, arrays):
    names = [str(name) for name in arrays["names"]]
    offsets = arrays["expr"].astype(np.float64) / 100
    skin = slice(*PARTS["head"])
    for ours, theirs in {
        "browDownLeft": ["browDown_L"],
        "browInnerUp": ["browInnerUp_L", "browInnerUp_R"],
        "jawOpen": ["jawOpen"],
        "cheekPuff": ["cheekPuff_L", "cheekPuff_R"],
        "eyeBlinkRight": ["eyeBlink_R"],
    }.items():
        expected = sum(offsets[names.index(name), skin] for name in theirs)
        assert np.abs(shape(ict, ours)[skin].numpy() - expected).max() < 1e-6
    still = [name for name in ARKIT_NAMES if not shape(ict, name).any()]
    assert still == ["tongueOut"]


def test_left_is_at_plus_x(ict):
    for name in ("browDownLeft", "eyeBlinkLeft", "mouthSmileLeft"):
        moved = shape(ict, name).norm(dim=1)
        assert ict.mean[moved > moved.max() / 2, 0].median() > 0.01


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("eyeLookUpLeft", 1, 1), ("eyeLookDownLeft", 1, -1), ("eyeLookInLeft", 0, -1), ("eyeLookOutLeft", 0, 1)],
)
def test_gaze_turns_eyeballs_by_30_degrees(ict, name, axis, sign):
    ball = ict.parts["eye_left"].vertices
    rest = ict.mean[ball] - ict.joint_mean[2]
    front = rest[:, 2].argmax()
    before, after = rest[front], (rest + shape(ict, name)[ball])[front]
    across = torch.tensor([axis, 2])
    before, after = before[across] / before[across].norm(), after[across] / after[across].norm()
    turned = torch.rad2deg(torch.atan2(after[0] * before[1] - after[1] * before[0], after @ before))
    assert turned * sign == pytest.approx(30, abs=0.1)


def test_eyes_stay_on_their_joints_whoever_it_is(ict):
    """The joints are where the eyeballs' vertices go."""
    identity = torch.tensor([[2.0, -1.0, 1.5]])
    vertices, joints = ict.neutral(identity)[0], ict.joints(identity)[0]
    moved = vertices - ict.mean
    for side, part in ((2, "eye_left"), (3, "eye_right")):
        expected = ict.joint_mean[side] + moved[ict.parts[part].vertices].mean(0)
        assert torch.allclose(joints[side], expected, atol=1e-6)


def test_stored_and_described(arrays, tmp_path, monkeypatch, ict):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    np.savez(tmp_path / "ict.npz", **arrays)
    entry = catalogue.add(tmp_path / "ict.npz")
    assert (entry.name, entry.identities, len(entry.shapes)) == ("ict", USED, 51)
    loaded = catalogue.load("ict")
    for key, tensor in ict.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    head = morphable.Head.from_model(loaded, torch.zeros(USED), {})
    assert head.expressions.shape == (52, len(ict.mean), 3)


def write_obj(path, vertices, arrays=None, quads=()):
    lines = ["v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in vertices]
    if arrays is not None:
        lines += ["vt {:.6f} {:.6f}".format(*corner) for corner in arrays["uv"]]
        faces = zip((arrays["f"] + 1).tolist(), (arrays["ft"] + 1).tolist(), strict=True)
        lines += ["f " + " ".join(f"{v}/{t}" for v, t in zip(*face, strict=True)) for face in faces]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(arrays, tmp_path):
    inside = tmp_path / "ICT-FaceKit" / "FaceXModel"
    inside.mkdir(parents=True)
    write_obj(inside / "generic_neutral_mesh.obj", arrays["v"], arrays)
    write_obj(inside / "identity000.obj", arrays["v"] + arrays["identity"][0])
    for name in ("jawOpen", "browInnerUp_L", "browInnerUp_R"):
        which = list(arrays["names"]).index(name)
        write_obj(inside / f"{name}.obj", arrays["v"] + arrays["expr"][which])
    return inside.parent


def test_a_folder_of_objs_is_the_same_model(folder, ict):
    model = ict_from_folder(folder, "ict")
    assert torch.allclose(model.mean, ict.mean, atol=1e-6)
    assert torch.allclose(model.identity_basis[0], ict.identity_basis[0], atol=1e-6)
    assert torch.equal(model.triangles, ict.triangles)
    assert torch.allclose(model.uv, ict.uv, atol=1e-5)
    for name in ("jawOpen", "browInnerUp"):
        assert torch.allclose(shape(model, name), shape(ict, name), atol=1e-6)
    assert not shape(model, "mouthPucker").any()


def test_quadrilaterals_are_cut_in_two(folder, ict):
    path = folder / "FaceXModel" / "generic_neutral_mesh.obj"
    lines = path.read_text().splitlines()
    faces = [line for line in lines if line.startswith("f ")]
    first, second = (line.split()[1:] for line in faces[:2])
    shared = [corner for corner in first if corner in second]
    assert len(shared) == 2, "the file's first two triangles make a quadrilateral"
    turned = first[first.index(next(c for c in first if c not in shared)) :] + first
    quad = [turned[0], turned[1], next(c for c in second if c not in shared), turned[2]]
    path.write_text(
        "\n".join([x for x in lines if not x.startswith("f ")] + ["f " + " ".join(quad)] + faces[2:]) + "\n"
    )
    model = ict_from_folder(folder, "ict")
    assert len(model.triangles) == len(ict.triangles)
    area = [
        torch.linalg.cross(
            *(m.mean[m.triangles[:2].long()][:, [1, 2]] - m.mean[m.triangles[:2].long()][:, :1]).unbind(1)
        )
        for m in (model, ict)
    ]
    assert torch.allclose(area[0].sum(0), area[1].sum(0), atol=1e-8)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("identity000.obj", lambda text: text[: len(text) // 2], "instead of 26719|is damaged"),
        ("jawOpen.obj", lambda text: "v 1 2\n" + text, "is damaged"),
        ("jawOpen.obj", lambda text: text.replace("v ", "v x", 1), "is damaged"),
        ("jawOpen.obj", lambda text: "v 1 2 nan\n" + text.split("\n", 1)[1], "no finite numbers"),
        ("generic_neutral_mesh.obj", lambda text: text.replace("f ", "f a", 1), "its faces cannot be read"),
    ],
)
def test_damaged_objs(folder, name, spoil, message):
    path = folder / "FaceXModel" / name
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ModelFileError, match=message):
        ict_from_folder(folder, "ict")


def test_missing_identities(folder):
    (folder / "FaceXModel" / "identity000.obj").unlink()
    with pytest.raises(ModelFileError, match=r"holds no identity000\.obj"):
        ict_from_folder(folder, "ict")


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("v", lambda a: a[:-1], "wrong shape"),
        ("v", lambda a: a * 100, "another unit"),
        ("identity", lambda a: a[:, :, :2], "wrong shape"),
        ("expr", lambda a: a[:-1], "wrong shape"),
        ("expr", lambda a: np.where(np.arange(VERTICES)[:, None] == 5, np.inf, a), "no finite numbers"),
        ("f", lambda a: a + VERTICES, "indices"),
        ("lmk68", lambda a: a[:50], "wrong shape"),
    ],
)
def test_wrong_contents_are_one_sentence(arrays, key, change, message):
    with pytest.raises(ModelFileError, match=message):
        ict_from_arrays({**arrays, key: change(arrays[key])}, "ict", "ict.npz")
