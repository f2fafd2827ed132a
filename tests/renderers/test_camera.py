import math

import pytest
import torch

from renderers import Camera, rasterize

POINTS = torch.tensor([[0.03, 0.05, 0.02], [-0.04, 0.01, -0.05], [0.0, -0.06, 0.04]])


@pytest.fixture
def camera():
    return Camera.looking_at((0.2, 0.1, 0.7), (0.01, 0.02, 0.0), (0, 1, 0), 0.3, (60, 80))


def test_axes_are_right_down_forward():
    camera = Camera.looking_at((0.0, 0, 1), (0, 0, 0), (0, 1, 0), math.pi / 2, (100, 200))
    pixels = camera.project(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]))
    torch.testing.assert_close(pixels, torch.tensor([[100.0, 50], [150, 50], [100, 0]]))
    torch.testing.assert_close(camera.view(torch.tensor([[1.0, 2, 0]])), torch.tensor([[1.0, -2, 1]]))


def test_the_eye_looks_at_the_target(camera):
    torch.testing.assert_close(camera.position, torch.tensor([0.2, 0.1, 0.7]))
    torch.testing.assert_close(camera.project(torch.tensor([[0.01, 0.02, 0.0]])), torch.tensor([[40.0, 30]]))
    torch.testing.assert_close(camera.rotation @ camera.rotation.mT, torch.eye(3))
    assert torch.linalg.det(camera.rotation) == pytest.approx(1)


def test_clip_and_project_agree(camera):
    clip = camera.clip(POINTS)
    ndc = clip[:, :2] / clip[:, 3:]
    pixels = torch.stack([(0.5 + 0.5 * ndc[:, 0]) * 80, (0.5 - 0.5 * ndc[:, 1]) * 60], -1)
    torch.testing.assert_close(pixels, camera.project(POINTS), atol=1e-4, rtol=0)
    torch.testing.assert_close(clip[:, 3], camera.view(POINTS)[:, 2])


def test_near_and_far_are_the_ends_of_clip_space():
    camera = Camera.looking_at((0.0, 0, 0), (0, 0, -1), (0, 1, 0), 1.0, (4, 4), near=0.5, far=20.0)
    clip = camera.clip(torch.tensor([[0.0, 0, -0.5], [0, 0, -20]]))
    torch.testing.assert_close(clip[:, 2] / clip[:, 3], torch.tensor([-1.0, 1.0]))


def test_a_tiny_triangle_lands_on_its_projected_pixel(camera):
    for point in POINTS:
        x, y = camera.project(point[None])[0]
        ray = torch.tensor([(x.floor() + 0.5 - 40) / camera.focal[0], (y.floor() + 0.5 - 30) / camera.focal[1], 1.0])
        centre = camera.position + 0.7 * (camera.rotation.mT @ ray)
        ring = [centre + 2e-4 * camera.rotation[0], centre + 2e-4 * camera.rotation[1]]
        corners = torch.stack([*ring, centre - 2e-4 * (camera.rotation[0] + camera.rotation[1])])
        seen = rasterize(camera.clip(corners[None]), torch.tensor([[0, 1, 2]]), camera.resolution).triangle[0] == 0
        assert seen.nonzero().tolist() == [[int(y), int(x)]]


def test_scaled_and_cropped_cameras_see_the_resized_and_cropped_image(camera):
    pixels = camera.project(POINTS)
    torch.testing.assert_close(camera.scaled(2.5).project(POINTS), pixels * 2.5)
    assert camera.scaled(2.5).resolution == (150, 200)
    uneven = camera.scaled(0.33)
    assert uneven.resolution == (20, 26)
    torch.testing.assert_close(uneven.project(POINTS), pixels * torch.tensor([26 / 80, 20 / 60]))
    crop = camera.cropped(11, 7, 30, 40)
    assert crop.resolution == (30, 40)
    torch.testing.assert_close(crop.project(POINTS), pixels - torch.tensor([11.0, 7]))


def test_batches_of_cameras():
    eyes = torch.tensor([[0.0, 0, 1], [0.5, 0, 1]])
    camera = Camera.looking_at(eyes, (0, 0, 0), (0, 1, 0), torch.tensor([0.4, 0.5]), (32, 48))
    assert camera.clip(POINTS).shape == (2, 3, 4)
    assert camera.clip(POINTS[None]).shape == (2, 3, 4)
    alone = Camera.looking_at(eyes[1], (0, 0, 0), (0, 1, 0), 0.5, (32, 48))
    torch.testing.assert_close(camera.project(POINTS)[1], alone.project(POINTS))


def test_gradients_reach_every_tensor():
    tensors = [
        torch.tensor([120.0, 130]),
        torch.tensor([40.0, 30]),
        torch.linalg.qr(torch.eye(3) + 0.1).Q,
        torch.tensor([0.1, 0, 2]),
    ]
    tensors = [t.double().requires_grad_() for t in tensors]

    def both(focal, principal, rotation, translation):
        camera = Camera(focal, principal, rotation, translation, (60, 80))
        return camera.clip(POINTS.double()), camera.project(POINTS.double())

    assert torch.autograd.gradcheck(both, tensors)
