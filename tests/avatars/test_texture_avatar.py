"""Texture avatars: learned from pictures of a known head, kept, resumed, drawn at any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.capture import Capture
from avatars.neural.driving import Cloth, Moment, Surface
from avatars.neural.evaluation import report, shown
from avatars.neural.footage import Footage
from avatars.neural.habits import DEVIATIONS, Habits
from avatars.neural.looks import Look
from avatars.neural.performer import View, frames
from avatars.neural.storage import kind_of
from avatars.radiance import RadianceAvatar
from avatars.texture import Preset, TextureAvatar, trained
from avatars.texture.sheet import Sheet
from avatars.texture.training import Training, begun
from morphable import Head, Performance

SHORT = Preset(size=72, steps=60, texels=64, widths=(8, 16))
LEARNED, HELD_OUT = np.array([0, 1, 2, 3, 5, 6, 7, 8]), np.array([4, 9])


@pytest.fixture(scope="module")
def blank(capture: Capture) -> TextureAvatar:
    return begun(Footage([capture]), LEARNED, SHORT)


@pytest.fixture(scope="module")
def learned(capture: Capture, tmp_path_factory: pytest.TempPathFactory) -> TextureAvatar:
    return trained([capture], tmp_path_factory.mktemp("steps"), preset=SHORT, held_out=HELD_OUT)


def test_parts_and_cloth_share_no_texel(person: Head) -> None:
    """Each part's texture coordinates are in a rectangle of their own; both eyes have one, and both rows of teeth."""
    sheet_of_cloth = torch.tensor([[-0.2, -0.3, 0.0], [0.2, -0.3, 0.0], [0.0, -0.1, 0.0]])
    cloth = Cloth(sheet_of_cloth, torch.tensor([[0, 1, 2]]), torch.zeros(3))
    sheet = Sheet.of(person, cloth, 64)
    assert float(sheet.uv.min()) >= 0
    assert float(sheet.uv.max()) <= 1
    assert len(sheet.triangles) == len(Surface(person, cloth).triangles)
    boxes = []
    for names in (("head",), ("eye_left", "eye_right"), ("teeth_upper", "teeth_lower"), ("tongue",), ("cloth",)):
        spans = [person.layout.parts[name].triangles for name in names if name != "cloth"] or [slice(-1, None)]
        corners = torch.cat([sheet.uv[sheet.triangles[span]].view(-1, 2) for span in spans])
        boxes.append((corners.amin(0), corners.amax(0)))
    for number, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:number]:
            assert bool(((high <= other_low) | (low >= other_high)).any())


def test_nothing_learned_is_a_grey_mesh(blank: TextureAvatar, capture: Capture) -> None:
    drawn = blank.drawn(blank.moment(capture.performance, 0), capture.camera)
    covered = drawn.coverage > 0.99
    torch.testing.assert_close(drawn.colour[covered], torch.full((int(covered.sum()), 3), 0.5), atol=0.01, rtol=0)
    assert float(drawn.opacity[covered].detach().min()) > 0.9
    assert float(drawn.opacity[drawn.coverage == 0].detach().max()) < 0.1


def test_learning_comes_nearer_to_frames_held_out(
    capture: Capture, learned: TextureAvatar, blank: TextureAvatar
) -> None:
    shot = Footage([capture])[4]
    before, after = (
        np.abs(shown(avatar, shot).astype(float) - capture.frames[4]).mean() for avatar in (blank, learned)
    )
    assert after < 0.7 * before


def test_frames_held_out_are_not_looked_at(capture: Capture) -> None:
    changed = replace(capture, frames=capture.frames.copy(), masks=capture.masks.copy())
    changed.frames[HELD_OUT], changed.masks[HELD_OUT] = 0, 255
    training = [Training(Footage([each]), LEARNED, SHORT) for each in (capture, changed)]
    for each in training:
        for _ in range(2):
            each.advance()
    one, other = (each.state() for each in training)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_picture_pulls_at_pose_and_expression(capture: Capture, learned: TextureAvatar) -> None:
    moment = learned.moment(capture.performance, 4)
    change = torch.zeros(64, requires_grad=True)
    picture = learned.drawn(moment.changed(change), capture.camera).over(torch.ones(72, 72, 3))
    (picture - torch.as_tensor(capture.frames[4]) / 255).square().mean().backward()
    assert change.grad is not None
    assert bool(change.grad[:6].all())


def test_what_frames_changes_have_in_common_becomes_a_habit(capture: Capture) -> None:
    """Changes of place that follow pose and expression are known of a frame that had none; weights stay."""
    habits, performance = Habits.of(capture.performance.weights), capture.performance
    tracked = [Moment.tracked(performance, index) for index in range(len(performance))]
    causes = torch.stack([habits.causes(moment) for moment in tracked])
    random = torch.Generator().manual_seed(0)
    follows = torch.randn(causes.shape[1], 64, generator=random) / causes.abs().amax(0)[:, None].clamp(min=0.1)
    changes = 0.3 * causes @ follows
    assert torch.equal(habits.moment(performance, 9).head, tracked[9].head)
    habits.absorb(changes[:9], tracked[:9])
    wanted = tracked[9].changed(changes[9] * DEVIATIONS)
    assert torch.equal(habits.moment(performance, 9).weights, tracked[9].weights)
    for name in ("head", "place", "torso"):
        found, right, before = (getattr(each, name) for each in (habits.moment(performance, 9), wanted, tracked[9]))
        assert float((found - right).norm()) < 0.5 * float((before - right).norm()), name


def test_interrupted_learning_ends_in_the_same_avatar(
    capture: Capture, learned: TextureAvatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatars.neural.learning.SAVE_EVERY", 5)

    def killed(done: int, total: int, quality: float) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained([capture], tmp_path, preset=SHORT, held_out=HELD_OUT, progress=killed)
    steps: list[int] = []
    again = trained([capture], tmp_path, preset=SHORT, held_out=HELD_OUT, progress=lambda done, *_: steps.append(done))
    assert steps[0] == 11
    torch.testing.assert_close(again.features, learned.features, atol=1e-5, rtol=0)
    for name, weights in again.decoder.state_dict().items():
        torch.testing.assert_close(weights, learned.decoder.state_dict()[name], atol=1e-5, rtol=0)


def test_an_avatar_comes_back_and_damage_is_named(learned: TextureAvatar, tmp_path: Path) -> None:
    folder = tmp_path / "ada.avatar"
    learned.save(folder)
    assert kind_of(folder) == "texture"
    back = TextureAvatar.load(folder)
    moment = learned.moment(Performance.of(np.zeros(1), np.full((1, 52), 0.1)))
    white = torch.ones(72, 72, 3)
    assert torch.equal(*(each.picture(moment, learned.camera, white) for each in (learned, back)))
    with pytest.raises(ValueError, match="of the kind texture, and this is for radiance ones"):
        RadianceAvatar.load(folder)
    content = (folder / "texture.safetensors").read_bytes()
    (folder / "texture.safetensors").write_bytes(content[:-1] + b"?")
    with pytest.raises(ValueError, match="is damaged"):
        TextureAvatar.load(folder)


def test_larger_pictures_show_the_same(learned: TextureAvatar) -> None:
    camera, moment = learned.camera, Moment.rest()
    small = learned.picture(moment, camera, torch.ones(72, 72, 3))
    large = learned.picture(moment, camera.scaled(2), torch.ones(144, 144, 3))
    shrunk = torch.nn.functional.avg_pool2d(large.permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0)
    assert float((shrunk - small).abs().mean()) < 0.01
    assert float((1 - small).abs().mean()) > 0.02


def test_a_look_changes_what_is_drawn(learned: TextureAvatar) -> None:
    darker = Moment.rest()._replace(look=Look(-0.5 * torch.eye(3, 4), torch.zeros(3, 3)))
    with torch.no_grad():
        own, other = (learned.drawn(moment, learned.camera) for moment in (Moment.rest(), darker))
    torch.testing.assert_close(other.colour, (0.5 * own.colour).clamp(min=0))
    assert torch.equal(other.opacity, own.opacity)


def test_it_is_reported_and_drawn_as_any_avatar(learned: TextureAvatar, capture: Capture, tmp_path: Path) -> None:
    found = report(learned, [capture], HELD_OUT, tmp_path)
    assert found["psnr"] > 18
    assert found["texels"] == 64 * (64 + 16 + 32)
    assert (tmp_path / "heldout" / "0004_render.png").is_file()
    performance = Performance.of(np.arange(1) / 25, np.zeros((1, 52)))
    (picture,) = frames(learned, performance, 25.0, View(yaw=0.4, size=51), background=np.ones(3, np.float32))
    assert picture.shape == (52, 52, 3)
    assert (picture < 250).any()
