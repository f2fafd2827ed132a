"""Gaussian avatars: bound to the head, learned from pictures of a known one, kept, resumed."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from safetensors.numpy import load as read_tensors

import morphable
from avatars.capture import Capture, still_background
from avatars.export.splats import Splats
from avatars.gaussian import GaussianAvatar, Preset, save_page, splats, trained
from avatars.gaussian.start import started
from avatars.gaussian.training import Training
from avatars.mesh_performer import MeshPerformer
from avatars.neural import checkpoints as stored
from avatars.neural.driving import Moment
from avatars.neural.evaluation import report
from avatars.neural.footage import Footage
from avatars.neural.performer import View, frames
from avatars.neural.similarity import structural_similarity
from morphable import ARKIT_NAMES, Performance
from renderers import splat

WHITE = np.ones(3, np.float32)
SHORT = Preset(72, 12, 11_000)


@pytest.fixture(scope="module")
def learned(capture: Capture, tmp_path_factory: pytest.TempPathFactory) -> GaussianAvatar:
    return trained([capture], tmp_path_factory.mktemp("steps"), preset=SHORT, held_out=np.array([9]))


def _at(performance: Performance, index: int) -> Performance:
    return morphable.editing.sampled(performance, performance.times[index : index + 1])


def test_a_capture_comes_back(capture: Capture, tmp_path: Path) -> None:
    capture.save(tmp_path / "capture")
    back = Capture.load(tmp_path / "capture")
    for name in ("frames", "masks", "background"):
        np.testing.assert_array_equal(getattr(back, name), getattr(capture, name))
    assert back.head == capture.head
    np.testing.assert_array_equal(back.performance.weights, capture.performance.weights)
    torch.testing.assert_close(back.camera.project(torch.ones(1, 3)), capture.camera.project(torch.ones(1, 3)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "capture.json").write_text("{}"), "does not describe a capture"),
        (lambda folder: set_version(folder / "capture.json", 2), "of version 2 .* reads version 1"),
        (lambda folder: shutil.copy(folder / "head.glb", folder / "masks/000003.png"), "000003.png"),
        (lambda folder: (folder / "frames/000009.png").unlink(), "000009.png"),
    ],
)
def test_damaged_captures_are_named(capture: Capture, tmp_path: Path, damage, message: str) -> None:
    capture.save(tmp_path / "capture")
    damage(tmp_path / "capture")
    with pytest.raises((ValueError, OSError), match=message):
        Capture.load(tmp_path / "capture")


def set_version(path: Path, version: int) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))


def test_the_background_is_what_is_seen_without_the_person() -> None:
    random = np.random.default_rng(0)
    behind = random.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    pictures, masks = np.repeat(behind[None], 5, 0), np.zeros((5, 20, 30), np.uint8)
    for index in range(5):
        masks[index, 5:15, 5 * index : 5 * index + 8] = 255
        pictures[index][masks[index] > 0] = 9
    np.testing.assert_array_equal(still_background(pictures, masks), behind)


def test_gaussians_move_as_the_head_does(capture: Capture) -> None:
    """Turning and moving the skull turns and moves those on the scalp rigidly."""
    avatar = started(Footage([capture]), np.arange(9))
    rest = Moment.rest()
    turned = rest._replace(head=torch.tensor([0.1, 0.3, -0.1]), place=torch.tensor([0.01, 0.02, -0.03]))
    skull = torch.as_tensor(capture.head.layout.skinning_weights[:, 1] > 0.9999)
    bound = skull[avatar.surface.triangles[: avatar.surface.head_triangles]].all(1).nonzero()[:, 0]
    (means, axes), (moved, moved_axes) = avatar.shaped(rest), avatar.shaped(turned)
    rotation, joint = roma.rotvec_to_rotmat(turned.head), torch.as_tensor(capture.head.joints[1])
    expected = (means[bound] - joint) @ rotation.T + joint + turned.place
    torch.testing.assert_close(moved[bound], expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(moved_axes[bound], rotation @ axes[bound], atol=2e-6, rtol=0)


def test_the_surface_is_posed_as_the_performer_poses_it(capture: Capture) -> None:
    avatar = started(Footage([capture]), np.arange(9))
    vertices = avatar.surface.vertices(avatar.moment(capture.performance, 4))[: len(capture.head.neutral)]
    posed = MeshPerformer(capture.head, 64).posed(_at(capture.performance, 4))[0]
    torch.testing.assert_close(vertices, posed, atol=1e-6, rtol=0)


def test_similarity_is_one_for_the_same_and_has_its_gradient() -> None:
    random = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, 20, 24, 3, generator=random)
    torch.testing.assert_close(structural_similarity(one, one), torch.ones(20, 24, 3), atol=1e-4, rtol=0)
    one.requires_grad_()
    structural_similarity(one, other).sum().backward()
    direction = torch.randn(20, 24, 3, generator=random)
    ends = [structural_similarity(one.detach() + s * direction, other).double().sum() for s in (1e-3, -1e-3)]
    torch.testing.assert_close((one.grad * direction).sum().double(), (ends[0] - ends[1]) / 2e-3, rtol=0.02, atol=0.05)


def test_learning_comes_nearer_and_looks_at_nothing_held_out(capture: Capture, learned: GaussianAvatar) -> None:
    def error(avatar: GaussianAvatar, index: int) -> float:
        drawn = avatar.splatted(avatar.moment(capture.performance, index), capture.camera)
        picture = drawn.over(torch.as_tensor(capture.background) / 255)
        return float((picture - torch.as_tensor(capture.frames[index]) / 255).abs().mean())

    with torch.no_grad():
        assert error(learned, 4) < 0.8 * error(started(Footage([capture]), np.arange(9)), 4)
    changed = replace(capture, frames=capture.frames.copy())
    changed.frames[9] = 0
    training = [Training(Footage([each]), np.arange(9), SHORT) for each in (capture, changed)]
    for each in training:
        each.advance()
    for name, tensor in training[0].avatar.gaussians.tensors().items():
        assert torch.equal(tensor, training[1].avatar.gaussians.tensors()[name]), name


def test_interrupted_learning_ends_in_the_same_avatar(
    capture: Capture, learned: GaussianAvatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a checkpoint, with the newest one damaged: it is named, and the one before it is used."""
    monkeypatch.setattr("avatars.neural.learning.SAVE_EVERY", 4)

    def killed(done: int, total: int, quality: float) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained([capture], tmp_path, preset=SHORT, held_out=np.array([9]), progress=killed)
    newest = sorted(tmp_path.glob("*.safetensors"))[-1]
    assert newest.name.startswith("0000008-")
    newest.write_bytes(newest.read_bytes()[:-100] + b"x" * 100)
    steps: list[int] = []
    with pytest.warns(UserWarning, match=newest.name):
        again = trained(
            [capture], tmp_path, preset=SHORT, held_out=np.array([9]), progress=lambda done, *_: steps.append(done)
        )
    assert steps[0] == 5
    for name, tensor in again.gaussians.tensors().items():
        assert torch.equal(tensor, learned.gaussians.tensors()[name]), name


def test_checkpoints_are_few_and_none_is_no_state(tmp_path: Path) -> None:
    assert stored.newest(tmp_path) is None
    for step in range(5):
        stored.write(tmp_path, step, {"training.step": torch.tensor(step)})
    assert len(list(tmp_path.iterdir())) == 3
    newest = stored.newest(tmp_path)
    assert newest is not None
    assert int(newest["training"]["step"]) == 4


def test_an_avatar_comes_back_and_damage_is_named(learned: GaussianAvatar, tmp_path: Path) -> None:
    folder = tmp_path / "ada.avatar"
    learned.save(folder)
    back = GaussianAvatar.load(folder)
    moment = learned.moment(Performance.of(np.zeros(1), np.full((1, 52), 0.1)))
    with torch.no_grad():
        one, other = (each.splatted(moment, learned.camera) for each in (learned, back))
    assert torch.equal(one.image, other.image)
    content = (folder / "gaussians.safetensors").read_bytes()
    (folder / "gaussians.safetensors").write_bytes(content[:-1] + b"?")
    with pytest.raises(ValueError, match="is damaged"):
        GaussianAvatar.load(folder)
    set_version(folder / "avatar.json", 2)
    with pytest.raises(ValueError, match=r"of version 2 .* reads version 1"):
        GaussianAvatar.load(folder)
    with pytest.raises(ValueError, match="holds no avatar"):
        GaussianAvatar.load(tmp_path)


def test_the_report_can_be_recomputed(learned: GaussianAvatar, capture: Capture, tmp_path: Path) -> None:
    from PIL import Image

    found = report(learned, [capture], np.array([8, 9]), tmp_path)
    values = []
    for index in (8, 9):
        render, truth, mask = (
            np.asarray(Image.open(tmp_path / f"heldout/{index:04d}_{name}.png")).astype(float)
            for name in ("render", "truth", "mask")
        )
        np.testing.assert_array_equal(truth, capture.frames[index])
        assert 0.1 < (mask > 0).mean() < 0.6
        values.append(-10 * np.log10(np.square((render - truth)[mask > 0] / 255).mean()))
    assert found["psnr"] == pytest.approx(np.mean(values), abs=1e-3)


def test_splats_of_a_turned_head_draw_what_the_avatar_draws(learned: GaussianAvatar) -> None:
    """Also colours that depend on the direction, which turn with the head."""
    avatar = replace(learned, gaussians=replace(learned.gaussians, colour=learned.gaussians.colour.clone()))
    avatar.gaussians.colour[:, 1:] += 0.2
    performance = Performance.of(np.zeros(1), np.full((1, 52), 0.1), head=np.array([[0.1, 0.5, 0.0]]))
    made: Splats = splats(avatar, performance)
    quaternions = torch.as_tensor(made.rotations[:, [1, 2, 3, 0]])
    axes = roma.unitquat_to_rotmat(quaternions) * torch.as_tensor(made.deviations).exp()[:, None]
    means = torch.as_tensor(made.means)
    x, y, z = torch.nn.functional.normalize(means - avatar.camera.position, dim=-1)[:, :, None].unbind(1)
    sh = torch.as_tensor(made.colours)
    colours = 0.5 + 0.28209479 * sh[:, 0] + 0.48860251 * (-y * sh[:, 1] + z * sh[:, 2] - x * sh[:, 3])
    opacities = torch.as_tensor(made.opacities).sigmoid()
    with torch.no_grad():
        expected = avatar.splatted(avatar.moment(performance), avatar.camera)
        drawn = splat(means, axes, opacities, colours.clamp(0, 1), avatar.camera)
    torch.testing.assert_close(drawn.image, expected.image, atol=5e-3, rtol=0)


def test_a_page_holds_the_motion_and_fetches_nothing(learned: GaussianAvatar, tmp_path: Path) -> None:
    """Posed from the page's own numbers, the surface is where the avatar's is, but for rounding."""
    performance = Performance.of(np.arange(3) / 25, np.full((3, 52), 0.2), head=np.outer([0, 1, 2], [0.1, 0.2, 0.0]))
    assert save_page(learned, tmp_path / "ada.html", performance) == 3
    page = (tmp_path / "ada.html").read_text()
    assert not re.search(r"https?://|{{|(src|href)=", page)
    scene, packed = (re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', page) for name in ("scene", "tensors"))
    assert scene and packed
    units = json.loads(scene[1])["units"]
    found = {
        name: tensor * units.get(name, 1)
        for name, tensor in read_tensors(gzip.decompress(base64.b64decode(packed[1]))).items()
    }
    weights, motions = found["weights"][2], found["motions"][2]
    shaped = found["rest"].copy()
    shaped[: found["shapes"].shape[1] // 3] += (weights @ found["shapes"]).reshape(-1, 3)
    vertices = np.einsum(
        "vj,jik,vk->vi", found["skinning"], motions, np.pad(shaped, ((0, 0), (0, 1)), constant_values=1)
    )
    expected = learned.surface.vertices(learned.moment(performance, 2))
    np.testing.assert_allclose(vertices, expected, atol=5e-5)
    assert save_page(learned, tmp_path / "still.html") == 1


def test_a_performance_is_drawn_at_any_size_and_from_any_side(learned: GaussianAvatar) -> None:
    performance = Performance.of(np.arange(3) / 25, np.zeros((3, 52)))
    pictures = list(frames(learned, performance, 25.0, View(yaw=0.4, size=51), background=WHITE))
    assert [picture.shape for picture in pictures] == [(52, 52, 3)] * 3
    front = next(iter(frames(learned, performance, 25.0, View(size=51), background=WHITE)))
    covered = [(picture < 250).any(-1) for picture in (front, pictures[0])]
    assert np.abs(front.astype(int) - pictures[0]).mean() > 3
    assert 0.5 < covered[0].sum() / covered[1].sum() < 2
    with pytest.raises(ValueError, match="16 to"):
        next(iter(frames(learned, performance, 25.0, View(size=4))))


def test_a_page_shows_it_and_listens_on_this_machine_alone(learned: GaussianAvatar) -> None:
    pytest.importorskip("viser")
    import urllib.request

    from avatars.gaussian.viewer import Page

    page = Page(learned, port=8123)
    try:
        assert page.address.startswith("http://127.0.0.1:")
        assert len(page.sliders) == 52
        page.sliders[ARKIT_NAMES.index("jawOpen")].value = 0.5
        assert page.by_hand().weights[0, ARKIT_NAMES.index("jawOpen")] == 0.5
        with urllib.request.urlopen(page.address, timeout=20) as answer:
            assert answer.status == 200
    finally:
        page.close()
