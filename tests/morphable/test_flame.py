"""FLAME: read safely, checked, equal to smplx, and behind the common interface."""

import copy
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from benchmarks.flame_layout import EXPRESSIONS, EYE, HEAD, SHAPES, flame_arrays, smplx_folder, write_flame
from morphable import catalogue
from morphable.errors import ModelFileError
from morphable.flame import albedo_from, flame_from, landmarks_from, regions_from
from morphable.model import on_surface

PARENTS = (-1, 0, 1, 1, 1)
MODELS = catalogue.FOLDER_VARIABLE


@pytest.fixture(scope="module")
def arrays():
    return flame_arrays()


@pytest.fixture(scope="module")
def flame(arrays):
    return flame_from(arrays, "flame", "generic_model.pkl")


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv(MODELS, str(tmp_path / "models"))
    return tmp_path / "models"


def coefficients(batch, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, SHAPES, generator=generator, dtype=dtype),
        torch.randn(batch, EXPRESSIONS, generator=generator, dtype=dtype),
        0.3 * torch.randn(batch, 5, 3, generator=generator, dtype=dtype),
    )


def rotation(axis_angle):
    x, y, z = axis_angle
    return torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64))


def twin(arrays, shape, expression, pose):
    """Vertices and joints of one head as FLAME's paper says, with 4 × 4 matrices along the chain."""
    components = torch.from_numpy(arrays["shapedirs"]) @ torch.cat([shape, expression])
    shaped = torch.from_numpy(arrays["v_template"]) + components
    joints = torch.from_numpy(arrays["J_regressor"]) @ shaped
    turns = [rotation(each) for each in pose.tolist()]
    bend = torch.cat([(turn - torch.eye(3)).flatten() for turn in turns[1:]])
    corrected = shaped + torch.from_numpy(arrays["posedirs"]) @ bend
    chain = []
    for joint, parent in enumerate(PARENTS):
        local = torch.eye(4, dtype=torch.float64)
        local[:3, :3] = turns[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        chain.append(chain[parent] @ local if parent >= 0 else local)
    posed = torch.zeros_like(corrected)
    for joint, place in enumerate(chain):
        moved = (corrected - joints[joint]) @ place[:3, :3].T + place[:3, 3]
        posed += torch.from_numpy(arrays["weights"])[:, joint, None] * moved
    return posed, torch.stack([place[:3, 3] for place in chain])


def test_native_forward_is_the_papers(flame, arrays):
    shape, expression, pose = coefficients(2, torch.float64)
    double = copy.deepcopy(flame).double()
    vertices, joints = double.native(shape, expression, pose)
    single, _ = flame.native(shape.float(), expression.float(), pose.float())
    for i in range(2):
        expected, expected_joints = twin(arrays, shape[i], expression[i], pose[i])
        assert (vertices[i] - expected).abs().max() < 1e-7
        assert (joints[i] - expected_joints).abs().max() < 1e-7
        assert (single[i] - expected).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_native_forward_agrees_with_smplx(flame, arrays, tmp_path, dtype):
    smplx = pytest.importorskip("smplx", reason="smplx is not installed (its licence forbids commercial use)")
    peer = smplx.FLAME(
        str(smplx_folder(arrays, tmp_path)), num_betas=SHAPES, num_expression_coeffs=EXPRESSIONS, dtype=dtype
    )
    shape, expression, pose = coefficients(5, dtype, seed=1)
    names = ("global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose")
    theirs = peer(betas=shape, expression=expression, **dict(zip(names, pose.unbind(1), strict=True)))
    vertices, joints = copy.deepcopy(flame).to(dtype).native(shape, expression, pose)
    assert (vertices - theirs.vertices).abs().max() < 1e-6
    assert (joints - theirs.joints[:, :5]).abs().max() < 1e-6


def test_fewer_coefficients_are_the_first(flame):
    shape, expression, pose = coefficients(2)
    few = flame.native(shape[:, :10], expression[:, :5], pose)[0]
    shape[:, 10:] = 0
    expression[:, 5:] = 0
    assert torch.allclose(few, flame.native(shape, expression, pose)[0], atol=1e-6)


def test_native_gradients_match_finite_differences(flame):
    double = copy.deepcopy(flame).double()
    arguments = [each.requires_grad_() for each in coefficients(1, torch.float64, seed=2)]
    heads = torch.randn(1, len(flame.mean), 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def value(*arguments):
        return (double.native(*arguments)[0] * heads).sum()

    gradients = torch.autograd.grad(value(*arguments), arguments)
    for which, gradient in enumerate(gradients):
        step = 1e-6 * torch.randn(gradient.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        ahead, behind = (
            value(*[a + sign * step if i == which else a for i, a in enumerate(arguments)]) for sign in (1, -1)
        )
        assert (2 * gradient * step).sum().item() == pytest.approx((ahead - behind).item(), rel=1e-4)


def test_common_interface(flame):
    identity = coefficients(2)[0]
    rest = torch.zeros(2, 4, 3)
    vertices, joints = flame(identity, torch.zeros(2, 52), rest)
    native, native_joints = flame.native(identity, torch.zeros(2, 1), torch.zeros(2, 5, 3))
    assert torch.allclose(vertices, native - flame.origin, atol=1e-6)
    assert torch.allclose(joints, native_joints[:, [0, 1, 3, 4]] - flame.origin, atol=1e-6)
    eyes = flame.joint_mean[2:]
    assert torch.allclose(eyes.mean(0), torch.tensor([0.0, 0.0, 0.08]), atol=1e-6)
    assert eyes[0, 0] > 0 > eyes[1, 0]
    assert torch.allclose(flame.skinning_weights.sum(1), torch.ones(len(vertices[0])), atol=1e-5)


def test_eyes_and_head_turn_as_natively(flame):
    """The jaw follows the head; without the correctives of posture both skeletons move alike."""
    plain = copy.deepcopy(flame)
    plain.pose_basis.zero_()
    identity, _, pose = coefficients(2)
    pose[:, 2] = 0
    vertices = flame(identity, torch.zeros(2, 52), pose[:, [0, 1, 3, 4]])[0]
    assert torch.allclose(vertices, plain.native(identity, torch.zeros(2, 1), pose)[0] - flame.origin, atol=1e-6)


def test_parts_are_meshes_of_their_own(flame):
    assert list(flame.parts) == ["head", "eye_left", "eye_right"]
    assert flame.parts["eye_left"].vertices == slice(HEAD, HEAD + EYE)
    for part in flame.parts.values():
        used = flame.triangles[part.triangles].unique()
        assert used.tolist() == list(range(part.vertices.start, part.vertices.stop))


def test_without_shapes_the_face_keeps_still_until_it_is_given_them(flame, models, arrays, tmp_path):
    assert not flame.can_express
    identity = coefficients(1)[0]
    assert not flame.expressions(identity).any()
    catalogue.add(write_flame(arrays, tmp_path / "generic_model.pkl"))
    shapes = torch.randn(52, len(flame.mean), 3)
    region = torch.arange(len(flame.mean)) < 100
    given = catalogue.amend("flame", expressions=shapes, regions={"face": region})
    assert given.can_express
    assert torch.equal(given.expressions(identity)[0], shapes)
    again = catalogue.load("flame")
    assert torch.equal(again.expression_basis, shapes)
    assert torch.equal(again.regions["face"], region)
    with pytest.raises(ValueError, match="do not fit"):
        catalogue.amend("flame", expressions=shapes[:, 1:])


@pytest.mark.parametrize("suffix", [".pkl", ".npz"])
def test_stored_models_are_the_files(flame, models, arrays, tmp_path, suffix):
    path = tmp_path / f"flame2023_Open{suffix}"
    if suffix == ".pkl":
        write_flame(arrays, path)
    else:
        np.savez(path, **arrays)
    entry = catalogue.add(path)
    assert (entry.name, entry.vertices, entry.identities, entry.shapes) == ("flame", len(flame.mean), 300, ())
    path.unlink()
    loaded = catalogue.load("flame")
    assert loaded is catalogue.load("flame")
    for key, tensor in flame.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    assert loaded.parts == flame.parts


def test_chumpy_models_are_read_without_chumpy(flame, arrays, models, tmp_path, monkeypatch):
    module = ModuleType("chumpy.ch")
    module.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "chumpy", ModuleType("chumpy"))
        context.setitem(sys.modules, "chumpy.ch", module)
        wrapped = dict(arrays)
        for key in ("v_template", "shapedirs", "weights", "posedirs"):
            wrapped[key] = module.Ch()
            wrapped[key].x = arrays[key]
        path = write_flame(wrapped, tmp_path / "generic_model.pkl")
    catalogue.add(path)
    assert torch.equal(catalogue.load("flame").identity_basis, flame.identity_basis)


def changed(arrays, key, change):
    array = np.array(arrays[key], copy=True)
    return {**arrays, key: change(array)}


def with_nan(array):
    array.flat[7] = np.nan
    return array


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("v_template", lambda a: a[:, :2], "wrong shape: 5023 x 2 instead of any x 3"),
        ("v_template", with_nan, "`v_template` in flame.pkl holds values that are no finite numbers"),
        ("v_template", lambda a: 1000 * a, "another unit"),
        ("v_template", lambda a: a[:, [2, 1, 0]], "do not lie as FLAME's do"),
        ("shapedirs", with_nan, "no finite numbers"),
        ("shapedirs", lambda a: a[..., :300], "FLAME has 300 of identity and more"),
        ("shapedirs", lambda a: a[:-1], "wrong shape"),
        ("posedirs", lambda a: a[..., :27], "wrong shape"),
        ("J_regressor", lambda a: a[:4], "wrong shape"),
        ("weights", lambda a: 2 * a, "do not sum to one"),
        ("weights", lambda a: a[:, :4], "wrong shape"),
        ("kintree_table", lambda a: a[::-1], "skeleton"),
        ("f", lambda a: a + 10, "indices that are not within 0 and 5022"),
        ("f", lambda a: a.astype(str), "no array of numbers"),
    ],
)
def test_wrong_contents_are_one_sentence(arrays, key, change, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        flame_from(changed(arrays, key, change), "flame", "flame.pkl")
    assert "\n" not in str(caught.value)


def test_missing_arrays_are_named(arrays):
    partial = {key: arrays[key] for key in ("v_template", "shapedirs", "f", "weights")}
    with pytest.raises(ModelFileError, match="no FLAME model: it lacks `J_regressor`, `kintree_table`, `posedirs`"):
        flame_from(partial, "flame", "smpl.pkl")


def test_landmark_embeddings(flame):
    random = np.random.default_rng(0)
    static = {"lmk_face_idx": random.integers(0, 9000, 51), "lmk_b_coords": random.dirichlet((1, 1, 1), 51)}
    dynamic = {"lmk_face_idx": random.integers(0, 9000, (79, 17)), "lmk_b_coords": random.dirichlet((1,) * 3, (79, 17))}
    full = {
        "full_lmk_faces_idx": random.integers(0, 9000, (1, 68)),
        "full_lmk_bary_coords": random.dirichlet((1, 1, 1), (1, 68)),
    }
    found = landmarks_from(static, flame, "a") | landmarks_from(dynamic, flame, "b") | landmarks_from(full, flame, "c")
    assert {name: len(each.triangles) for name, each in found.items()} == {"ibug51": 51, "ibug17": 17, "ibug68": 68}
    corners = flame_arrays()["v_template"][flame_arrays()["f"][static["lmk_face_idx"]]]
    expected = (corners * static["lmk_b_coords"][..., None]).sum(1) - flame.origin.numpy()
    assert np.abs(on_surface(found["ibug51"], flame.mean, flame.triangles).numpy() - expected).max() < 1e-6
    with pytest.raises(ModelFileError, match="do not sum to one"):
        landmarks_from({**static, "lmk_b_coords": static["lmk_b_coords"] * 2}, flame, "a")
    with pytest.raises(ModelFileError, match="indices"):
        landmarks_from({**static, "lmk_face_idx": static["lmk_face_idx"] + 10**6}, flame, "a")


def test_masks(flame):
    names = ("face", "scalp", "lips", "neck", "nose")
    regions = regions_from({name: np.array([i, 10 + i]) for i, name in enumerate(names)}, flame, "FLAME_masks.pkl")
    assert regions["lips"].nonzero().flatten().tolist() == [2, 12]


@pytest.mark.parametrize("layout", ["flame", "basel"])
def test_texture_spaces(flame, arrays, models, tmp_path, layout):
    random = np.random.default_rng(0)
    mean = np.stack([np.full((8, 8), 60.0), np.full((8, 8), 100.0), np.full((8, 8), 180.0)], -1)  # blue first
    basis = random.normal(0, 4, (8, 8, 3, 5))
    where = {"vt": random.random((5118, 2)), "ft": random.integers(0, 5118, arrays["f"].shape)}
    path = tmp_path / "texture.npz"
    if layout == "flame":
        np.savez(path, mean=mean, tex_dir=basis, **where)
    else:
        np.savez(path, MU=mean.reshape(1, -1) / 255, PC=basis.reshape(-1, 5) / 255, specMU=mean.reshape(1, -1), **where)
    with pytest.raises(ModelFileError, match="first add FLAME itself"):
        catalogue.add(path)
    catalogue.add(write_flame(arrays, tmp_path / "generic_model.pkl"))
    catalogue.add(path)
    space, model = catalogue.load_albedo("flame"), catalogue.load("flame")
    assert torch.allclose(space.mean.float(), torch.tensor([180.0, 100.0, 60.0]) / 255, atol=1e-3)
    expected = torch.from_numpy(((mean + basis @ np.array([1.0, -2, 0, 0, 0]))[..., ::-1] / 255).copy())
    assert torch.allclose(space(torch.tensor([[1.0, -2.0]]))[0].double(), expected, atol=1e-3)
    assert torch.allclose(model.uv[:, 1].double(), 1 - torch.from_numpy(where["vt"][:, 1]), atol=1e-6)
    assert torch.equal(model.uv_triangles[model.file_triangles.long()].long(), torch.from_numpy(where["ft"]))
    assert albedo_from({"mean": mean}, flame, "x.npz") is None


def test_embeddings_are_added_to_the_named_model(arrays, models, tmp_path):
    catalogue.add(write_flame(arrays, tmp_path / "generic_model.pkl"), "flame2020")
    embedding = {"lmk_face_idx": np.arange(51), "lmk_b_coords": np.full((51, 3), 1 / 3)}
    (tmp_path / "flame_static_embedding.pkl").write_bytes(pickle.dumps(embedding))
    catalogue.add(tmp_path / "flame_static_embedding.pkl", "flame2020")
    assert list(catalogue.load("flame2020").landmarks) == ["ibug51"]
    assert catalogue.names() == ("default", "flame2020")
    catalogue.remove("flame2020")
    assert catalogue.names() == ("default",)
