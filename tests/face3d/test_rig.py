"""Meshes of other topology, with and without eyeballs, get shapes, eyes and joints."""

import numpy as np
import pytest
import torch
import trimesh
from typer.testing import CliRunner

from face3d.cli import app
from face3d.rig import rig
from morphable import ARKIT_NAMES, Head

PARTS = ("head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")


def mesh_of(model, parts) -> trimesh.Trimesh:
    """A head of the model in centimetres."""
    identity = 0.5 * torch.randn(1, model.identities, generator=torch.Generator().manual_seed(4))
    triangles = torch.cat([model.triangles[model.parts[name].triangles] for name in parts]).long().numpy()
    mesh = trimesh.Trimesh(100 * model.neutral(identity)[0].double().numpy(), triangles, process=False)
    mesh.remove_unreferenced_vertices()
    return mesh


@pytest.fixture(scope="module")
def whole(model, detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("rig") / "whole.obj"
    mesh_of(model, PARTS).subdivide().export(path)
    return rig(path, detector=detector)


@pytest.fixture(scope="module")
def bare(model, detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("rig") / "bare.ply"
    mesh_of(model, ("head",)).export(path)
    return rig(path, detector=detector)


def shape(head: Head, name: str) -> np.ndarray:
    return head.expressions[ARKIT_NAMES.index(name)]


def test_own_eyeballs_become_parts_and_turn(whole):
    head = whole.head
    assert list(head.layout.parts) == ["head", "eye_left", "eye_right"]
    ball = head.neutral[head.layout.parts["eye_left"].vertices]
    centre = head.joints[2]
    assert np.ptp(np.linalg.norm(ball - centre, axis=1)) < 3e-3
    turned = ball + shape(head, "eyeLookUpLeft")[head.layout.parts["eye_left"].vertices]
    front, after = ball[ball[:, 2].argmax()] - centre, turned[ball[:, 2].argmax()] - centre
    angle = np.degrees(np.arccos(front @ after / np.linalg.norm(front) / np.linalg.norm(after)))
    assert after[1] > front[1] and angle == pytest.approx(30, abs=4)
    assert any("centimetres" in warning for warning in whole.warnings)


def test_absent_eyeballs_are_put_in(bare):
    head = bare.head
    assert list(head.layout.parts) == ["head", "eye_left", "eye_right"]
    assert {"head", "eyes"} <= head.textures.keys()
    assert head.joints[2, 0] > 0.02 and head.joints[3, 0] < -0.02


@pytest.mark.parametrize("which", ["whole", "bare"])
def test_lids_close_outside_of_the_eyeballs(which, request):
    head = request.getfixturevalue(which).head
    skin = head.layout.parts["head"].vertices
    rest = head.neutral[skin]
    closed = rest + shape(head, "eyeBlinkLeft")[skin]
    ball = head.neutral[head.layout.parts["eye_left"].vertices] - head.joints[2]
    radius = np.median(np.linalg.norm(ball, axis=1))
    outside = np.linalg.norm(rest - head.joints[2], axis=1) > radius
    assert np.linalg.norm(closed[outside] - head.joints[2], axis=1).min() > radius
    assert np.linalg.norm(closed - rest, axis=1).max() > 5e-3


def test_teeth_stay_rigid_and_the_lower_follow_the_jaw(whole):
    """Pieces that the jaw moves: some tens of them are teeth, none of which is bent; others keep still above."""
    head = whole.head
    triangles = head.layout.triangles.numpy()
    edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    pieces = trimesh.graph.connected_component_labels(edges, node_count=len(head.neutral))
    low, high = head.neutral[head.layout.parts["head"].vertices].min(0), head.joints[2:].min(0)
    moved, still = [], []
    for piece in np.unique(pieces):
        members = np.flatnonzero(pieces == piece)
        centre = head.neutral[members].mean(0)
        if len(members) < 500 and low[1] < centre[1] < high[1] - 0.03:
            before, after = head.neutral[members], (head.neutral + shape(head, "jawOpen"))[members]
            lengths = [np.linalg.norm(each - each[0], axis=1) for each in (before, after)]
            np.testing.assert_allclose(*lengths, atol=1e-4)
            (moved if np.abs(before - after).max() > 3e-3 else still).append(centre[1])
    assert moved and still
    assert max(moved) < min(still) + 5e-3
    assert np.median(moved) < np.median(still)


def test_weights_and_files(whole, tmp_path):
    head = whole.head
    weights = head.layout.skinning_weights
    assert torch.equal(weights.sum(1), torch.ones(len(weights)))
    assert weights[:, 0].max() > 0.9 and weights[:, 1].max() > 0.9
    head.save(tmp_path / "rigged.glb")
    assert Head.load(tmp_path / "rigged.glb") == head
    head.save(tmp_path / "rigged.obj")
    head.save(tmp_path / "rigged.ply")


@pytest.mark.slow
def test_textures_and_seams_come_back(model, detector, tmp_path):
    from PIL import Image

    span = model.parts["head"]
    mesh = trimesh.Trimesh(
        model.mean[span.vertices].numpy()[model.triangles[span.triangles].long().numpy()].reshape(-1, 3),
        np.arange(3 * (span.triangles.stop - span.triangles.start)).reshape(-1, 3),
        visual=trimesh.visual.TextureVisuals(
            uv=model.uv[model.uv_triangles[span.triangles].long()].reshape(-1, 2).numpy() * [1, -1] + [0, 1],
            image=Image.fromarray(np.full((32, 32, 3), (200, 150, 120), np.uint8)),
        ),
        process=False,
    )
    mesh.export(tmp_path / "textured.glb")
    head = rig(tmp_path / "textured.glb", detector=detector).head
    skin = head.layout.parts["head"].vertices
    assert skin.stop - skin.start == len(np.unique(model.mean[span.vertices].numpy(), axis=0))
    assert abs(head.textures["head"].pixels.reshape(-1, 3).mean(0) - [200, 150, 120]).max() < 3
    head.save(tmp_path / "rigged.glb")
    assert Head.load(tmp_path / "rigged.glb") == head


def test_command_line_refuses_what_it_cannot_do(tmp_path):
    trimesh.creation.box((0.2, 0.3, 0.2)).export(tmp_path / "box.stl")
    for mesh, output in (("box.stl", "out.glb"), ("box.stl", "out.obj"), ("absent.obj", "out.glb")):
        result = CliRunner().invoke(app, ["rig", str(tmp_path / mesh), "-o", str(tmp_path / output)])
        assert result.exit_code == 1
        assert not (tmp_path / output).exists()
