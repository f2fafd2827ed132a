"""Do heads drawn from the prior vary the way people do?"""

import pytest
import torch
from scipy.spatial import cKDTree

import morphable
from morphable import on_surface

MIRROR = torch.tensor([-1.0, 1.0, 1.0])
MILLIMETRE = 1e-3
SURVEYED = {
    "interpupillary": (0.0630, 0.0036),
    "menton_sellion": (0.1180, 0.0080),
    "lip_length": (0.0505, 0.0042),
}
"""Mean and deviation in metres; see the card."""


@pytest.fixture(scope="module")
def model():
    return morphable.load()


@pytest.fixture(scope="module")
def people(model):
    generator = torch.Generator().manual_seed(3)
    identity = torch.randn(400, model.identities, generator=generator)
    return model.neutral(identity), model.joints(identity)


@pytest.fixture(scope="module")
def measured(model, people):
    vertices, joints = people
    points = on_surface(model.landmarks["mediapipe"], vertices, model.triangles)
    return {
        "interpupillary": (joints[:, 2] - joints[:, 3]).norm(dim=-1),
        "menton_sellion": (points[:, 168] - points[:, 152]).norm(dim=-1),
        "lip_length": (points[:, 61] - points[:, 291]).norm(dim=-1),
    }


@pytest.mark.parametrize("name", SURVEYED)
def test_sizes_are_those_of_adults(measured, name):
    mean, deviation = SURVEYED[name]
    assert abs(float(measured[name].mean()) - mean) < deviation
    assert 0.4 * deviation < float(measured[name].std()) < 1.6 * deviation


def test_faces_differ_by_millimetres(model, people):
    face = people[0][:, model.regions["face"]]
    spread = (face - face.mean(0)).square().sum(-1).mean().sqrt()
    assert 1.5 * MILLIMETRE < float(spread) < 4.5 * MILLIMETRE


@pytest.mark.parametrize("part", ["head", "tongue"])
def test_the_mean_is_symmetric(model, part):
    vertices = model.mean[model.parts[part].vertices]
    assert cKDTree(vertices).query(vertices * MIRROR)[0].max() < 0.3 * MILLIMETRE


def test_the_texture_is_symmetric(model):
    uv = model.uv[model.uv_triangles[model.parts["head"].triangles].long().unique()].numpy()
    assert cKDTree(uv).query(uv * (-1, 1) + (1, 0))[0].max() < 1e-3


def test_landmarks_mirror_each_other(model):
    points = on_surface(model.landmarks["mediapipe"], model.mean, model.triangles)
    assert cKDTree(points).query(points * MIRROR)[0].max() < 1.5 * MILLIMETRE


def test_irises_are_as_wide_as_peoples(model):
    points = on_surface(model.landmarks["mediapipe"], model.mean, model.triangles)
    for centre, ring in ((468, range(469, 473)), (473, range(474, 478))):
        across = (points[list(ring)][:, None] - points[list(ring)]).norm(dim=-1).max()
        assert float(across) == pytest.approx(11.7 * MILLIMETRE, rel=0.05)
        assert (points[list(ring)].mean(0) - points[centre])[:2].norm() < 0.5 * MILLIMETRE


def test_regions_lie_where_their_names_say(model):
    centre = {name: model.mean[mask].mean(0) for name, mask in model.regions.items() if mask.any()}
    assert centre["brow_left"][0] > 0 > centre["brow_right"][0]
    assert centre["scalp"][1] > centre["forehead"][1] > centre["nose"][1] > centre["lips"][1] > centre["chin"][1]
    assert centre["neck"][1] < centre["chin"][1]
    assert centre["lip_upper"][1] > centre["lip_lower"][1]
    assert centre["nose"][2] > centre["ears"][2]
