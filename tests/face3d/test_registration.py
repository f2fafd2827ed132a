"""Registration: meshes that are known exactly, moved, scaled, cut; and heads of a model that nobody here fitted to."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from face3d.errors import Face3DError
from face3d.registration import find_landmarks, register
from face3d.registration.alignment import Similarity, aligning
from morphable import on_surface
from morphable.surface import Surface

ICT_FILE = Path(__file__).parents[3] / "shared/data/ict_facekit.npz"
FACE, HEAD = 9409, 11248
"""ICT-FaceKit's vertices: the face comes first, then the rest of head and neck."""
NARROW = 6706
"""Of them, the face without ears, neck and crown."""


@pytest.fixture(scope="module")
def person(skin_and_eyeballs):
    """A head of the model, not the average one: vertices (metres) and triangles of skin and eyeballs."""
    return skin_and_eyeballs(0.7, 3)


@pytest.fixture(scope="module")
def landmarks(model, person, detector):
    return find_landmarks(model, *person, detector)


def test_similarity_composes_and_inverts():
    one = Similarity(2.0, Rotation.from_rotvec([0.1, 0.5, -0.3]).as_matrix(), np.array([1.0, 2.0, 3.0]))
    other = Similarity(0.3, Rotation.from_rotvec([-1.0, 0.2, 0.4]).as_matrix(), np.array([0.0, -1.0, 0.5]))
    points = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_allclose(one.after(other)(points), one(other(points)), atol=1e-12)
    np.testing.assert_allclose(one.inverse()(one(points)), points, atol=1e-12)
    found = aligning(points, one(points), scaled=True)
    np.testing.assert_allclose(found(points), one(points), atol=1e-9)


def test_landmarks_lie_where_the_model_has_them(model, person, landmarks):
    vertices, _ = person
    known = on_surface(model.landmarks["mediapipe"], torch.as_tensor(vertices), model.triangles).numpy()
    off = np.linalg.norm(landmarks.points - known, axis=1)[landmarks.seen]
    assert landmarks.seen.sum() > 400
    assert np.median(off) < 2e-3


@pytest.mark.parametrize("unit, turn", [(1000.0, [0.4, 2.0, 0.3]), (39.37, [1.6, 0.0, 0.0])])
def test_landmarks_in_any_pose_and_unit(model, person, landmarks, detector, unit, turn):
    vertices, triangles = person
    moved = Similarity(unit, Rotation.from_rotvec(turn).as_matrix(), np.array([5.0, -3.0, 1.0]) * unit)
    found = find_landmarks(model, moved(vertices), triangles, detector)
    both = found.seen & landmarks.seen
    off = np.linalg.norm(moved.inverse()(found.points) - landmarks.points, axis=1)[both]
    assert np.median(off) < 2e-3
    assert found.to_model.scale * unit == pytest.approx(landmarks.to_model.scale, rel=0.02)


def test_no_face_no_landmarks(model, detector):
    import trimesh

    ball = trimesh.creation.icosphere(3, 0.1)
    with pytest.raises(Face3DError, match="no face can be seen"):
        find_landmarks(model, np.asarray(ball.vertices), np.asarray(ball.faces), detector)


def test_a_head_of_the_model_is_found_again(model, person, landmarks):
    vertices, triangles = person
    found = register(model, vertices, triangles, landmarks, detail=False)
    ours = found.vertices(model)
    face = model.regions["face"].numpy()
    assert not found.detail.any()
    off = np.linalg.norm(ours - found.to_model(vertices), axis=1)[face]
    assert np.median(off) < 0.7e-3  # along the surface, too
    assert np.median(found.residuals) < 0.15e-3


def test_detail_reaches_what_the_model_cannot(model, person, landmarks):
    vertices, triangles = person
    bumpy = vertices.copy()
    bump = np.exp(-(((vertices - [0.035, -0.035, 0.09]) ** 2).sum(1)) / (2 * 0.012**2))
    bumpy[:, 2] += 4e-3 * bump
    found = register(model, bumpy, triangles, landmarks)
    there = bump > 0.5
    reached = Surface(found.vertices(model), triangles).closest(found.to_model(bumpy[there])).distances
    missed = Surface(found.vertices(model, detail=False), triangles).closest(found.to_model(bumpy[there])).distances
    assert np.median(reached) < 0.3e-3
    assert np.median(missed) > 2 * np.median(reached)
    assert np.median(found.residuals) < np.median(found.residuals_without_detail)


def test_a_part_of_a_head_is_enough(model, person, landmarks):
    """A scan of the front only: what is missing pulls nothing, and stays near the model."""
    vertices, triangles = person
    front = triangles[(vertices[triangles][..., 2] > 0.03).all(1)]
    found = register(model, vertices, front, landmarks)
    face = model.regions["face"].numpy()
    ours = found.vertices(model)
    assert np.median(np.linalg.norm(ours - found.to_model(vertices), axis=1)[face]) < 1.5e-3
    assert np.linalg.norm(ours - found.to_model(vertices), axis=1)[: model.parts["head"].vertices.stop].max() < 0.03


@pytest.mark.slow
def test_scale_is_found_where_asked_for(model, skin_and_eyeballs, detector):
    vertices, triangles = skin_and_eyeballs(0.7, 3)
    grown = 1.7 * vertices
    found = register(model, grown, triangles, find_landmarks(model, grown, triangles, detector), scaled=True)
    assert found.to_model.scale * 1.7 == pytest.approx(1, rel=0.06)  # people differ in size


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not ICT_FILE.exists(), reason="ICT-FaceKit's heads are not here")
def test_heads_of_another_model(model, detector):
    """Median distances from true vertices of the face to the registered surface, over 20 heads."""
    stored = np.load(ICT_FILE)
    neutral, modes = stored["v"][:HEAD] / 100.0, stored["identity"][:, :HEAD] / 100.0
    triangles = stored["f"][(stored["f"] < HEAD).all(1)]
    skin = model.triangles[model.parts["head"].triangles].long().numpy()
    with_detail, without = [], []
    for seed in range(5):
        vertices = neutral + np.tensordot(np.random.default_rng(seed).normal(size=len(modes)), modes, 1)
        landmarks = find_landmarks(model, vertices, triangles, detector)
        for detail, kept in ((True, with_detail), (False, without)):
            found = register(model, vertices, triangles, landmarks, detail=detail)
            feet = Surface(found.vertices(model), skin).closest(found.to_model(vertices[:FACE]))
            kept.append((np.median(feet.distances), np.median(feet.distances[:NARROW])))
    assert np.mean(with_detail, 0).max() < 0.35e-3
    assert np.mean(without, 0)[1] < 0.5e-3
