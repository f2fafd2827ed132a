"""Scans: whatever unit, pose, format and colour, the head comes out in metres, facing +z."""

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from face3d.errors import Face3DError
from face3d.scan import run_scan
from face3d.scan_file import guess_unit, is_scan, load_scan
from morphable import Head
from morphable.surface import Surface

PLY = b"ply\n"
TURN = Rotation.from_rotvec([0.2, 0.5, -0.1]).as_matrix()


@pytest.fixture(scope="module")
def person(model, skin_and_eyeballs):
    """Vertices (metres) and triangles of a head's skin and eyeballs; red on its left half, green on its right."""
    vertices, triangles = skin_and_eyeballs(0.6, 5)
    vertices = vertices[: model.parts["eye_right"].vertices.stop]
    colours = np.where(vertices[:, :1] > 0, [210, 150, 120], [150, 190, 120]).astype(np.uint8)
    return vertices, triangles, colours


@pytest.fixture(scope="module")
def result(person, detector, tmp_path_factory):
    """A coloured scan in millimetres, turned and far from the origin, reconstructed and saved."""
    vertices, triangles, colours = person
    folder = tmp_path_factory.mktemp("scan")
    placed = 1000 * vertices @ TURN.T + [500.0, -200.0, 900.0]
    trimesh.Trimesh(placed, triangles, vertex_colors=colours, process=False).export(folder / "my scan.ply")
    result = run_scan(folder / "my scan.ply", texture_size=256, detector=detector)
    result.save(folder / "out")
    return result, folder / "out"


def test_outputs_are_those_of_a_photo(result):
    _, folder = result
    names = {"head.glb", "preview.png", "fit.png", "albedo.png", "report.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert Head.load(folder / "head.glb") == result[0].head
    report = json.loads((folder / "report.json").read_text())
    assert report["scan"]["unit"] == "millimetres"
    assert any("millimetres" in warning for warning in report["warnings"])


def test_head_lies_on_the_scan(model, person, result):
    vertices, _, _ = person
    head, report = result[0].head, result[0].report
    turn, shift = np.array(report["scan"]["rotation_to_head"]), np.array(report["scan"]["translation_to_head_m"])
    scan = (0.001 * (1000 * vertices @ TURN.T + [500.0, -200.0, 900.0])) @ turn.T + shift
    face = model.regions["face"].numpy()
    skin = Surface(head.neutral.astype(float), model.triangles[model.parts["head"].triangles].long().numpy())
    assert np.median(skin.closest(scan[face[: len(scan)]]).distances) < 0.2e-3
    assert report["distance_from_scan_mm"]["median"] < 0.2
    assert np.linalg.norm(head.neutral[: len(scan)] - scan, axis=1)[face[: len(scan)]].max() < 6e-3


def test_shapes_fit_the_head(model, result):
    """Lids close on the eyeballs, which detail has not driven into the skin."""
    head = result[0].head
    assert head.expressions.shape == (52, len(model.mean), 3)
    skin = head.neutral[model.parts["head"].vertices]
    for side, name in enumerate(("eye_left", "eye_right")):
        ball = head.neutral[model.parts[name].vertices]
        radius = np.linalg.norm(ball - head.joints[2 + side], axis=1).max()
        assert np.linalg.norm(skin - head.joints[2 + side], axis=1).min() > radius


def test_colours_are_carried_over(model, result):
    albedo = result[0].albedo.astype(float)
    cheeks = model.uv[model.uv_triangles[model.triangles.long().new_tensor(_cheek(model))].long()].mean(1).numpy()
    (left, right) = (albedo[tuple((uv[::-1] * len(albedo)).astype(int))] for uv in cheeks)
    assert left[0] > left[1] + 30
    assert right[1] > right[0] + 20


def _cheek(model):
    """The triangles in the middle of the left and of the right cheek."""
    centres = model.mean[model.triangles[model.parts["head"].triangles].long()].mean(1)
    return [int((centres - torch.tensor([x, -0.04, 0.09])).norm(dim=1).argmin()) for x in (0.04, -0.04)]


@pytest.mark.parametrize(
    "unit, name", [(1.0, "metres"), (100.0, "centimetres"), (1e3, "millimetres"), (39.37, "inches")]
)
@pytest.mark.parametrize("size", [0.85, 1.0, 1.15])
def test_units_are_told_by_the_size_of_heads(unit, name, size):
    found = guess_unit(size / unit)
    assert found is not None and found[0] == name
    assert found[1] == pytest.approx(1 / unit, rel=1e-3)


def test_a_unit_ball_has_no_unit():
    assert guess_unit(0.13) is None


def test_textured_obj_and_its_seams(tmp_path):
    """Vertices that a seam splits are one; colours come from the image, row 0 being the top."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2] = (255, 0, 0)
    pixels[2:] = (0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "skin.png")
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd skin.png\n")
    (tmp_path / "a.obj").write_text(
        "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
        "vt .1 .9\nvt .2 .9\nvt .2 .8\nvt .1 .1\nvt .2 .1\nvt .1 .2\n"
        "usemtl m\nf 1/1 2/2 3/3\nf 1/4 3/5 4/6\n"
    )
    scan = load_scan(tmp_path / "a.obj")
    assert len(scan.vertices) == 4 and len(scan.triangles) == 2
    colours = scan.colours_at(np.array([0, 1]), np.full((2, 3), 1 / 3))
    np.testing.assert_allclose(colours, [[1, 0, 0], [0, 0, 1]], atol=1e-6)


def test_glb_scenes_are_placed(tmp_path):
    scene = trimesh.Scene()
    ball = trimesh.creation.icosphere(1)
    for x in (0.0, 5.0):
        scene.add_geometry(ball, transform=trimesh.transformations.translation_matrix([x, 0, 0]))
    scene.export(tmp_path / "two.glb")
    scan = load_scan(tmp_path / "two.glb")
    assert len(scan.triangles) == 2 * len(ball.faces)
    np.testing.assert_allclose(scan.vertices[:, 0].max(), 6, atol=1e-6)


def test_suffixes():
    assert is_scan("a b.PLY") and is_scan("x.obj") and not is_scan("x.jpg")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.ply", None, "is not a file"),
        ("photo.jpg", b"x", "is no scan"),
        ("zero.ply", b"", "damaged"),
        ("text.glb", b"hello", "damaged"),
        (
            "cut.ply",
            b"ply\nformat binary_little_endian 1.0\nelement vertex 10\nproperty float x\nend_header\n",
            "damaged",
        ),
        (
            "points.ply",
            PLY + b"format ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
            b"property float z\nend_header\n1 2 3\n",
            "points without triangles",
        ),
        ("nan.obj", b"v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
        ("flat.obj", b"v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n", "one point"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Face3DError, match=message):
        load_scan(tmp_path / name)


def test_a_scan_without_a_face(tmp_path, detector):
    trimesh.creation.box((0.2, 0.3, 0.2)).export(tmp_path / "box.stl")
    with pytest.raises(Face3DError, match="No face can be seen on box"):
        run_scan(tmp_path / "box.stl", detector=detector)
