import math

import torch

from morphable.skinning import blend_skinning, rotation_matrices


def test_rotation_matrices_match_the_matrix_exponential():
    for size in (0.0, 1e-4, 0.02, 0.04, 1.0, 3.0):
        turn = size * torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]], dtype=torch.float64))
        x, y, z = turn[0]
        generator = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
        assert torch.allclose(rotation_matrices(turn)[0], torch.linalg.matrix_exp(generator), atol=1e-12)


def test_rotation_matrices_have_gradients_at_rest_and_beyond():
    for size in (0.0, 0.02, 1.5):
        turn = torch.full((1, 3), size, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(rotation_matrices, (turn,))


def test_children_follow_their_parents():
    joints = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    point = torch.tensor([[[0.0, 2.0, 0.0]]])
    pose = torch.zeros(1, 2, 3)
    pose[0, :, 2] = math.pi / 2
    posed, moved = blend_skinning(point, joints, (-1, 0), torch.tensor([[0.0, 1.0]]), pose)
    assert torch.allclose(moved[0, 1], torch.tensor([-1.0, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose(posed[0, 0], torch.tensor([-1.0, -1.0, 0.0]), atol=1e-6)
