import copy
import subprocess
import sys
from importlib.resources import files

import pytest
import torch

from morphable import on_surface
from morphable.skinning import rotation_matrices

REST = torch.zeros(1, 4, 3)


def some(model, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randn(count, model.identities, generator=generator)
    return identity, torch.rand(count, 52, generator=generator), 0.3 * torch.randn(count, 4, 3, generator=generator)


def test_size_on_disk():
    assert (files("assets") / "default_head" / "head.safetensors").stat().st_size <= 15e6


def test_loads_quickly_once_torch_is_there():
    timed = "start = time.process_time(); import morphable; morphable.load(); print(time.process_time() - start)"
    code = f"import time, torch; {timed}"
    seconds = min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3))
    assert seconds <= 0.3


def test_a_batch_is_its_members(model):
    identity, expression, pose = some(model, 3)
    vertices, joints = model(identity, expression, pose)
    for i in range(3):
        alone = model(identity[i : i + 1], expression[i : i + 1], pose[i : i + 1])
        assert torch.allclose(vertices[i], alone[0][0], atol=1e-6)
        assert torch.allclose(joints[i], alone[1][0], atol=1e-6)


def test_double_precision_agrees(model):
    double = copy.deepcopy(model).double()
    arguments = some(model, 2)
    single, twice = model(*arguments)[0], double(*(a.double() for a in arguments))[0]
    assert twice.dtype == torch.float64
    assert torch.allclose(single.double(), twice, atol=1e-5)


def test_gradients_match_finite_differences(model):
    double = copy.deepcopy(model).double()
    arguments = [a.double().requires_grad_() for a in some(model, 1, seed=3)]
    generator = torch.Generator().manual_seed(1)
    heads = torch.randn(1, len(model.mean), 3, generator=generator, dtype=torch.float64)

    def value(*arguments):
        return (double(*arguments)[0] * heads).sum()

    gradients = torch.autograd.grad(value(*arguments), arguments)
    for which, gradient in enumerate(gradients):
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        step = 1e-6
        ahead, behind = (
            value(*[a + sign * step * direction if i == which else a for i, a in enumerate(arguments)])
            for sign in (1, -1)
        )
        assert (gradient * direction).sum().item() == pytest.approx(((ahead - behind) / (2 * step)).item(), rel=1e-4)


def test_neutral_is_linear_in_identity(model):
    identity = some(model, 2)[0]
    halfway = model.neutral(identity.mean(0, keepdim=True))
    assert torch.allclose(halfway[0], model.neutral(identity).mean(0), atol=1e-6)


def test_vertices_are_linear_in_the_weights(model):
    identity, expression, _ = some(model, 2)
    vertices = model(identity, expression, REST.expand(2, -1, -1))[0]
    rebuilt = model.neutral(identity) + torch.einsum("be,bevi->bvi", expression, model.expressions(identity))
    assert torch.allclose(vertices, rebuilt, atol=1e-6)


def test_the_head_joint_moves_what_follows_it_rigidly(model):
    identity, expression, _ = some(model, 1)
    pose = REST.clone()
    pose[0, 1] = torch.tensor([0.2, -0.4, 0.1])
    rest, joints = model(identity, expression, REST)
    posed, _ = model(identity, expression, pose)
    rotation = rotation_matrices(pose[0, 1])
    follows = model.skinning_weights[:, 1] == 1
    goal = (rest[0] - joints[0, 1]) @ rotation.T + joints[0, 1]
    assert follows.sum() > 1000
    assert torch.allclose(posed[0, follows], goal[follows], atol=1e-6)


@pytest.mark.parametrize("eye", [2, 3])
def test_eye_joints_turn_eyeballs_about_their_centres(model, eye):
    identity = some(model, 1)[0]
    pose = REST.clone()
    pose[0, eye] = torch.tensor([0.3, 0.2, 0.0])
    part = model.parts[("eye_left", "eye_right")[eye - 2]].vertices
    rest, joints = model(identity, torch.zeros(1, 52), REST)
    posed, _ = model(identity, torch.zeros(1, 52), pose)
    away = lambda vertices: vertices[0, part] - joints[0, eye]  # noqa: E731
    assert torch.allclose(away(posed), away(rest) @ rotation_matrices(pose[0, eye]).T, atol=1e-6)
    assert away(rest).norm(dim=1).std() < 2e-4


def test_the_mean_is_symmetric(model):
    mirrored = model.mean * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.cdist(mirrored, model.mean).amin(1).max() < 1e-3


def test_landmarks_lie_where_they_should(model):
    points = on_surface(model.landmarks["ibug68"], model.mean, model.triangles)
    chin, nose = points[8], points[30]
    right_eye, left_eye = points[36:42].mean(0), points[42:48].mean(0)
    for eye, joint in ((right_eye, model.joint_mean[3]), (left_eye, model.joint_mean[2])):
        assert (eye - joint)[:2].norm() < 0.005
    assert right_eye[0] < nose[0] < left_eye[0]
    assert nose[2] > left_eye[2] + 0.01
    assert -0.14 < chin[1] < -0.09
    assert 0.04 < (points[54] - points[48]).norm() < 0.07


def test_normals_point_outwards(model):
    for name in ("eye_left", "eye_right"):
        corners = model.mean[model.triangles[model.parts[name].triangles].long()]
        normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        away = corners.mean(1) - model.mean[model.parts[name].vertices].mean(0)
        assert ((normal * away).sum(1) > 0).all()
