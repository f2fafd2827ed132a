"""Radiance avatars: space goes with the head, learned from pictures of a known one, kept, resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from avatars.capture import Capture
from avatars.gaussian import GaussianAvatar
from avatars.neural.driving import Moment
from avatars.neural.evaluation import report
from avatars.neural.footage import Footage
from avatars.neural.performer import View, frames
from avatars.neural.storage import kind_of
from avatars.radiance import Preset, RadianceAvatar, trained
from avatars.radiance.avatar import canonical_moment, centres, covered
from avatars.radiance.shell import EMPTY, OUTSIDE, shell_of
from avatars.radiance.training import Training, begun
from morphable import ARKIT_NAMES, Performance
from morphable.surface import Surface
from renderers import OccupancyGrid, camera_rays

SHORT = Preset(size=72, steps=40, rays=96, levels=3, finest=48, entries=2**12)
FRAMES = np.arange(8, 10)
"""That are learned from: the others are held out."""
HELD_OUT = np.arange(8)


@pytest.fixture(scope="module")
def blank(capture: Capture) -> RadianceAvatar:
    return begun(Footage([capture]), FRAMES, SHORT)


@pytest.fixture(scope="module")
def learned(capture: Capture, tmp_path_factory: pytest.TempPathFactory) -> RadianceAvatar:
    return trained([capture], tmp_path_factory.mktemp("steps"), preset=SHORT, held_out=HELD_OUT)


def on_surface(avatar: RadianceAvatar, moment: Moment, triangle: torch.Tensor, height: float) -> torch.Tensor:
    """Points in the middle of triangles, metres above them."""
    frames = avatar.surface.frames(moment)
    return frames.centre[triangle] + height * frames.rotation[triangle, :, 1]


def test_what_is_above_a_triangle_stays_above_it(blank: RadianceAvatar) -> None:
    """Whatever the head does: turned, and with the mouth open and an eye shut."""
    weights = torch.zeros(52)
    for name in ("jawOpen", "eyeBlinkLeft"):
        weights[ARKIT_NAMES.index(name)] = 0.8
    moment = Moment(weights, torch.tensor([0.1, 0.4, 0.0]), torch.tensor([0.01, 0.02, -0.03]), torch.zeros(6))
    triangle = torch.arange(len(blank.surface.triangles))
    for height in (0.0, 0.004):
        found = blank.carrying(on_surface(blank, moment, triangle, height), triangle, *blank.posed(moment))
        expected = on_surface(blank, canonical_moment(), triangle, height)
        assert float((found - expected).norm(dim=-1).quantile(0.999)) < 1e-5


def test_space_about_the_skull_moves_rigidly(blank: RadianceAvatar, capture: Capture) -> None:
    random = torch.Generator().manual_seed(0)
    canonical = canonical_moment()
    turned = canonical._replace(head=torch.tensor([0.1, 0.3, -0.1]), place=torch.tensor([0.01, 0.02, -0.03]))
    skull = torch.as_tensor(capture.head.layout.skinning_weights[:, 1] > 0.9999)
    bound = skull[blank.surface.triangles[: blank.surface.head_triangles]].all(1).nonzero()[:, 0]
    points = on_surface(blank, canonical, bound, 0.01) + 0.003 * torch.randn(len(bound), 3, generator=random)
    rotation, joint = roma.rotvec_to_rotmat(turned.head), torch.as_tensor(capture.head.joints[1])
    moved = (points - joint) @ rotation.T + joint + turned.place
    torch.testing.assert_close(blank.carrying(moved, bound, *blank.posed(turned)), points, atol=5e-6, rtol=0)


def test_a_shell_is_near_the_surface_and_knows_what_is_nearest(blank: RadianceAvatar) -> None:
    vertices, triangles = blank.surface.vertices(Moment.rest()), blank.surface.triangles
    shell = shell_of(vertices, triangles)
    assert torch.equal(shell.grid.occupied.flatten(), shell.triangles[:, 0] != EMPTY)
    surface = Surface(vertices.numpy(), triangles.numpy())
    some = shell.grid.occupied.flatten().nonzero()[::500, 0]
    middles = shell.grid.middles(some).numpy()
    feet = surface.closest(middles)
    assert feet.distances.max() < OUTSIDE + 1e-6
    told = surface.corners[shell.triangles[some, 0]].mean(1)
    assert np.median(np.linalg.norm(told - feet.points, axis=1)) < 0.006
    random = np.random.default_rng(0).choice(blank.surface.head_triangles, 300, replace=False)
    above = surface.corners[random].mean(1) + 0.01 * surface.triangle_normals[random]
    assert float(shell.grid.at(torch.as_tensor(above).float()).float().mean()) > 0.95  # others are deep inside


def test_the_nearest_triangle_is_told_among_those_of_a_cell(blank: RadianceAvatar) -> None:
    """Better than by the cell alone, on the upper lid over the eyeball too."""
    weights = torch.zeros(52)
    weights[ARKIT_NAMES.index("eyeBlinkLeft")] = 1
    moment = Moment.rest()._replace(weights=weights)
    vertices, triangles = blank.surface.vertices(moment), blank.surface.triangles
    shell = shell_of(vertices, triangles)
    surface = Surface(vertices.numpy(), triangles.numpy())
    random = np.random.default_rng(0).choice(blank.surface.head_triangles, 500, replace=False)
    points = torch.as_tensor(surface.corners[random].mean(1) + 0.0005 * surface.triangle_normals[random]).float()
    candidates = shell.triangles.index_select(0, shell.grid.cells(points)[0])
    known = candidates[:, 0] != EMPTY
    told = blank.carrying.nearest(points[known], candidates[known], vertices).numpy()
    right = random[known.numpy()]
    assert (told == right).mean() > (candidates[known, 0].numpy() == right).mean() + 0.1
    assert (told == right).mean() > 0.6


def test_rays_through_pixels_that_are_left_out_meet_nothing(blank: RadianceAvatar) -> None:
    moment = Moment.rest()
    shell = blank.shell(moment)
    camera = blank.camera
    others = torch.ones(72 * 72, dtype=torch.bool)
    others[covered(shell, camera)] = False
    left_out = others.nonzero()[:, 0]
    assert len(left_out) > 100
    samples, _, _ = blank.sampled(camera_rays(camera, centres(camera, left_out)), moment, shell)
    assert len(samples.ray) == 0


def test_learning_comes_nearer_and_looks_at_nothing_held_out(
    capture: Capture, learned: RadianceAvatar, blank: RadianceAvatar
) -> None:
    background = torch.as_tensor(capture.background).float() / 255

    def error(avatar: RadianceAvatar) -> float:
        picture = avatar.picture(avatar.moment(capture.performance, 9), capture.camera, background)
        return float((picture - torch.as_tensor(capture.frames[9]) / 255).abs().mean())

    assert error(learned) < 0.8 * error(blank)
    changed = replace(capture, frames=capture.frames.copy())
    changed.frames[HELD_OUT] = 0
    training = [Training(Footage([each]), FRAMES, SHORT) for each in (capture, changed)]
    for each in training:
        each.advance()
    for name, tensor in training[0].avatar.field.tensors().items():
        assert torch.equal(tensor, training[1].avatar.field.tensors()[name]), name


def test_interrupted_learning_ends_in_the_same_avatar(
    capture: Capture, learned: RadianceAvatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatars.neural.learning.SAVE_EVERY", 5)

    def killed(done: int, total: int, quality: float) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained([capture], tmp_path, preset=SHORT, held_out=HELD_OUT, progress=killed)
    steps: list[int] = []
    again = trained([capture], tmp_path, preset=SHORT, held_out=HELD_OUT, progress=lambda done, *_: steps.append(done))
    assert steps[0] == 6
    for name, tensor in again.field.tensors().items():
        assert torch.equal(tensor, learned.field.tensors()[name]), name
    assert torch.equal(again.room.occupied, learned.room.occupied)


def test_an_avatar_comes_back_and_damage_is_named(learned: RadianceAvatar, tmp_path: Path) -> None:
    folder = tmp_path / "ada.avatar"
    learned.save(folder)
    assert kind_of(folder) == "radiance"
    back = RadianceAvatar.load(folder)
    moment = learned.moment(Performance.of(np.zeros(1), np.full((1, 52), 0.1)))
    white = torch.ones(72, 72, 3)
    assert torch.equal(*(each.picture(moment, learned.camera, white) for each in (learned, back)))
    with pytest.raises(ValueError, match="of the kind radiance, and this is for gaussian ones"):
        GaussianAvatar.load(folder)
    content = (folder / "radiance.safetensors").read_bytes()
    (folder / "radiance.safetensors").write_bytes(content[:-1] + b"?")
    with pytest.raises(ValueError, match="is damaged"):
        RadianceAvatar.load(folder)


def test_space_that_is_left_out_is_not_drawn(learned: RadianceAvatar) -> None:
    nothing = replace(learned.room, occupied=torch.zeros_like(learned.room.occupied))
    empty = replace(learned, room=nothing)
    white = torch.ones(72, 72, 3)
    moment = Moment.rest()
    assert torch.equal(empty.picture(moment, learned.camera, white), white)
    assert float((learned.picture(moment, learned.camera, white) - white).abs().mean()) > 0.02
    assert isinstance(empty.room, OccupancyGrid)


def test_it_is_reported_and_drawn_as_any_avatar(learned: RadianceAvatar, capture: Capture, tmp_path: Path) -> None:
    found = report(learned, [capture], np.array([4]), tmp_path)
    assert found["psnr"] > 5
    assert found["features"] > 0
    assert (tmp_path / "heldout" / "0004_render.png").is_file()
    performance = Performance.of(np.arange(1) / 25, np.zeros((1, 52)))
    (picture,) = frames(learned, performance, 25.0, View(yaw=0.4, size=51), background=np.ones(3, np.float32))
    assert picture.shape == (52, 52, 3)
    assert (picture < 250).any()
