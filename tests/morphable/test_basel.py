"""The Basel Face Models, on files of their layouts made of the default head's face."""

import json

import numpy as np
import pytest
import torch
from scipy.io import savemat

import morphable
from morphable import catalogue, on_surface
from morphable.basel import basel_from_hdf5, basel_from_mat
from morphable.errors import ModelFileError

h5py = pytest.importorskip("h5py")
MILLIMETRE = 1e-3
AWAY = np.array([0.01, -0.02, 0.05])
"""Of the files' origin, metres."""


@pytest.fixture(scope="module")
def face():
    """Vertices in metres and triangles of a face like Basel's: no eyeballs, no neck."""
    model = morphable.load()
    skin = model.regions["face"] | model.regions["forehead"] | model.regions["nose"] | model.regions["lips"]
    skin[model.parts["head"].vertices.stop :] = False
    inside = skin[model.triangles.long()].all(1)
    kept, triangles = model.triangles[inside].unique(return_inverse=True)
    return model.mean[kept.long()].double().numpy() + AWAY, triangles.numpy()


@pytest.fixture(scope="module")
def modes(face):
    random = np.random.default_rng(0)
    return random.normal(0, 1, (5, *face[0].shape)), np.array([3.0, 2.0, 1.0, 0.5, 0.25]) * MILLIMETRE


@pytest.fixture(scope="module")
def keypoints(face):
    model = morphable.load()
    points = on_surface(model.landmarks["ibug68"], model.mean, model.triangles).numpy() + AWAY
    return np.array([np.square(face[0] - point).sum(1).argmin() for point in points])


def columns(modes):
    return modes.reshape(len(modes), -1).T


def arrays_2009(face, modes):
    basis, deviations = modes
    return {
        "shapeMU": face[0].reshape(-1, 1) * 1e6,
        "shapePC": columns(basis),
        "shapeEV": deviations[:, None] * 1e6,
        "tl": (face[1] + 1).astype(np.float64),
        "texMU": np.tile([200.0, 150.0, 120.0], len(face[0]))[:, None],
        "texPC": columns(basis),
        "texEV": np.full((5, 1), 10.0),
    }


def arrays_front(face, modes, keypoints):
    basis, deviations = modes
    scaled = columns(basis * deviations[:, None, None]) * 10
    return {
        "meanshape": face[0].reshape(1, -1) * 10,
        "idBase": scaled,
        "exBase": scaled[:, :3] * 2,
        "meantex": np.tile([200.0, 150.0, 120.0], len(face[0]))[None],
        "texBase": columns(basis),
        "tri": face[1].astype(np.int32) + 1,
        "keypoints": keypoints[None] + 1,
    }


def landmarks_of(face, keypoints):
    """As Basel's files name the corners of the eyes, millimetres."""
    names = ("right.eye.corner_outer", "right.eye.corner_inner", "left.eye.corner_inner", "left.eye.corner_outer")
    places = (1e3 * face[0][keypoints[[36, 39, 42, 45]]]).tolist()
    return json.dumps([{"id": name, "coordinates": place} for name, place in zip(names, places, strict=True)])


def write_2017(path, face, modes, named=None):
    basis, deviations = modes
    with h5py.File(path, "w") as file:
        for part, mean, unit in (
            ("shape", face[0], 1e3),
            ("expression", 0 * face[0], 1e3),
            ("color", face[0] * 0 + 0.5, 1),
        ):
            file[f"{part}/model/mean"] = mean.ravel() * unit
            file[f"{part}/model/pcaBasis"] = columns(basis)
            file[f"{part}/model/pcaVariance"] = (deviations * unit) ** 2
        file["shape/representer/cells"] = face[1].T.astype(np.uint32)
        if named is not None:
            file["metadata/landmarks/json"] = named
    return path


def assert_is_the_face(model, face, modes):
    basis, deviations = modes
    shift = model.mean.numpy() - face[0]
    assert np.ptp(shift, axis=0).max() < 1e-6
    assert np.abs(shift[0] + AWAY).max() < 6 * MILLIMETRE  # the eyes are not in the file but near where they were
    expected = basis * deviations[:, None, None]
    assert np.abs(model.identity_basis.numpy() - expected).max() < 1e-7
    assert torch.allclose(model.joint_mean[2:].mean(0), torch.tensor([0.0, 0.0, 0.08]), atol=1e-6)
    assert 0.055 < model.joint_mean[2, 0] - model.joint_mean[3, 0] < 0.07
    assert sorted(model.triangles.sort(1).values.tolist()) == sorted(np.sort(face[1], 1).tolist())
    corners = model.mean[model.triangles.long()]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert normals[:, 2].sum() > 0
    assert not model.can_express


@pytest.mark.parametrize("clockwise", [False, True])
def test_2009(face, modes, tmp_path, clockwise):
    arrays = arrays_2009(face, modes)
    if clockwise:
        arrays["tl"] = arrays["tl"][:, ::-1]
    savemat(tmp_path / "01_MorphableModel.mat", arrays)
    model, albedo = basel_from_mat(tmp_path / "01_MorphableModel.mat", "basel")
    assert_is_the_face(model, face, modes)
    assert torch.allclose(albedo.mean[0].float(), torch.tensor([200.0, 150.0, 120.0]) / 255, atol=1e-3)
    assert np.abs(albedo.basis.numpy() - modes[0] * 10 / 255).max() < 2e-4


def test_front(face, modes, keypoints, tmp_path):
    savemat(tmp_path / "BFM_model_front.mat", arrays_front(face, modes, keypoints))
    model, _ = basel_from_mat(tmp_path / "BFM_model_front.mat", "basel")
    assert_is_the_face(model, face, modes)
    found = on_surface(model.landmarks["ibug68"], model.mean, model.triangles)
    assert torch.allclose(found, model.mean[torch.from_numpy(keypoints)], atol=1e-6)
    expected = 2 * modes[0][:3] * modes[1][:3, None, None]
    assert np.abs(model.native_expression_basis.numpy() - expected).max() < 1e-7


@pytest.mark.parametrize(
    "stored",
    [None, str, lambda text: [text], lambda text: np.void(text.encode()), lambda text: np.bytes_(text.encode())],
)
def test_2017(face, modes, keypoints, tmp_path, stored):
    """Landmarks are stored in several ways, or not at all; then the nose says where the eyes are."""
    named = stored(landmarks_of(face, keypoints)) if stored else None
    model, albedo = basel_from_hdf5(write_2017(tmp_path / "model2017.h5", face, modes, named), "basel")
    assert_is_the_face(model, face, modes)
    assert np.abs(model.native_expression_basis.numpy() - model.identity_basis.numpy()).max() < 1e-7
    assert torch.allclose(albedo.mean.float(), torch.tensor(0.5))
    corners = model.mean[torch.from_numpy(keypoints[[42, 45]])].mean(0)
    on_corners = torch.allclose(model.joint_mean[2], corners - torch.tensor([0, 0, 0.012]), atol=1e-6)
    assert on_corners == (stored is not None)


def test_stored_models_come_back(face, modes, keypoints, tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    savemat(tmp_path / "BFM_model_front.mat", arrays_front(face, modes, keypoints))
    catalogue.add(tmp_path / "BFM_model_front.mat")
    catalogue.add(write_2017(tmp_path / "model2019_bfm.h5", face, modes, landmarks_of(face, keypoints)), "basel2019")
    assert catalogue.names() == ("default", "basel", "basel2019")
    model, albedo = basel_from_mat(tmp_path / "BFM_model_front.mat", "basel")
    loaded = catalogue.load("basel")
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    assert torch.equal(catalogue.load_albedo("basel").basis, albedo.basis)
    posed, _ = loaded(torch.zeros(1, 5), torch.zeros(1, 52), torch.zeros(1, 4, 3))
    assert torch.allclose(posed[0], loaded.mean, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("shapeMU", lambda a: a[:-1], "no triples"),
        ("shapeMU", lambda a: a / 1000, "another unit"),
        ("shapeMU", lambda a: a * np.nan, "no finite numbers"),
        ("shapeMU", lambda a: (a.reshape(-1, 3) * (-1, 1, -1)).reshape(a.shape), "face that looks along|do not lie"),
        ("shapePC", lambda a: a[:-3], "wrong shape"),
        ("shapeEV", lambda a: a[:-1], "wrong shape"),
        ("tl", lambda a: a + 10**6, "indices"),
        ("texPC", lambda a: a[:-3], "wrong shape"),
        ("texMU", None, "lacks `texMU`"),
    ],
)
def test_wrong_contents_of_2009_are_one_sentence(face, modes, tmp_path, key, change, message):
    arrays = arrays_2009(face, modes)
    if change is None:
        del arrays[key]
    else:
        arrays[key] = change(arrays[key])
    savemat(tmp_path / "model.mat", arrays)
    with pytest.raises(ModelFileError, match=message) as caught:
        basel_from_mat(tmp_path / "model.mat", "basel")
    assert "\n" not in str(caught.value)


def test_other_mat_files_and_damaged_ones(face, modes, tmp_path):
    path = tmp_path / "model.mat"
    savemat(path, {"x": np.eye(3)})
    with pytest.raises(ModelFileError, match="no Basel Face Model"):
        basel_from_mat(path, "basel")
    savemat(path, arrays_2009(face, modes))
    whole = path.read_bytes()
    for length in (0, 60, 200, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"model\.mat"):
            basel_from_mat(path, "basel")


def test_damaged_and_foreign_h5_files(face, modes, tmp_path):
    path = write_2017(tmp_path / "model.h5", face, modes)
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"model\.h5 is damaged"):
            basel_from_hdf5(path, "basel")
    with h5py.File(path, "w") as file:
        file["other"] = np.eye(3)
    with pytest.raises(ModelFileError, match="lacks `shape/model/mean`"):
        basel_from_hdf5(path, "basel")
    with h5py.File(path, "w") as file:
        file["shape/model/mean/x"] = np.eye(3)
    with pytest.raises(ModelFileError):
        basel_from_hdf5(path, "basel")
