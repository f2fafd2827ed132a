"""Several clips of one person make one avatar, each in its own light and by its own camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars import gaussian, radiance
from avatars.capture import Capture
from avatars.gaussian import GaussianAvatar
from avatars.gaussian.training import Training
from avatars.neural.avatar import NeuralAvatar
from avatars.neural.evaluation import report, shown
from avatars.neural.footage import Footage
from avatars.neural.looks import Look, Looks
from avatars.radiance import RadianceAvatar
from morphable.editing import sampled

AS_IT_WAS = np.ones(3)
BALANCE = np.array([0.6, 0.9, 1.0])
"""Of the second clip's channels against the first's."""
SHORT = gaussian.Preset(72, 50, 11_000)
FEW = radiance.Preset(size=72, steps=8, rays=96, levels=3, finest=48, entries=2**12)
HELD_OUT = np.array([0, 1, 2, 3, 5, 6, 7, 8])
"""Where learning has to be short."""


def part(capture: Capture, frames: slice, balance: np.ndarray = AS_IT_WAS) -> Capture:
    """Some frames of a capture, in another white balance."""
    pictures, background = (
        (image * balance + 0.5).astype(np.uint8) for image in (capture.frames[frames], capture.background)
    )
    performance = sampled(capture.performance, capture.performance.times[frames])
    return replace(
        capture, frames=pictures, masks=capture.masks[frames], background=background, performance=performance
    )


@pytest.fixture(scope="module")
def clips(capture: Capture) -> list[Capture]:
    return [part(capture, slice(0, 5)), part(capture, slice(5, 10), BALANCE)]


@pytest.fixture(scope="module")
def learned(clips: list[Capture], tmp_path_factory: pytest.TempPathFactory) -> GaussianAvatar:
    return gaussian.trained(clips, tmp_path_factory.mktemp("steps"), preset=SHORT, held_out=np.array([4, 9]))


@pytest.fixture(scope="module")
def radiant(clips: list[Capture], tmp_path_factory: pytest.TempPathFactory) -> RadianceAvatar:
    return radiance.trained(clips, tmp_path_factory.mktemp("steps"), preset=FEW, held_out=HELD_OUT)


def error(avatar: NeuralAvatar, footage: Footage, number: int) -> float:
    shot = footage[number]
    return float((torch.as_tensor(shown(avatar, shot)) / 255 - shot.picture).square().mean())


def test_frames_are_numbered_through(clips: list[Capture], capture: Capture) -> None:
    footage = Footage(clips)
    assert len(footage) == 10
    for number in range(10):
        shot = footage[number]
        assert (shot.clip, shot.frame) == divmod(number, 5)
        np.testing.assert_array_equal(footage.weights[number], capture.performance.weights[number])
    assert footage.of_first(np.array([2, 7, 4])).tolist() == [2, 4]


def test_captures_of_two_heads_are_refused(clips: list[Capture]) -> None:
    other = replace(clips[1], head=replace(clips[1].head, neutral=1.1 * clips[1].head.neutral))
    with pytest.raises(ValueError, match="have one head"):
        Footage([clips[0], other])
    with pytest.raises(ValueError, match="at least one"):
        Footage([])


def test_a_look_changes_balance_and_light() -> None:
    colours, normals = torch.full((2, 3), 0.5), torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]])
    none = Look(torch.zeros(3, 4), torch.zeros(3, 3))
    assert torch.equal(none(colours, normals), colours)
    redder = none._replace(colour=torch.tensor([[0.2, 0, 0, 0.1], [0, 0, 0, 0], [0, 0, 0, 0]]))
    torch.testing.assert_close(redder(colours, normals)[0], torch.tensor([0.7, 0.5, 0.5]))
    from_left = none._replace(light=torch.tensor([[0.4, 0, 0]] * 3))
    torch.testing.assert_close(from_left(colours, normals)[:, 0], torch.tensor([0.7, 0.3]))


def test_each_clip_keeps_its_own_white_balance(
    clips: list[Capture], learned: GaussianAvatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out frames of both come out better than where clips cannot differ, and the second in its own colours."""
    footage = Footage(clips)
    monkeypatch.setattr("avatars.gaussian.training.LOOK_RATES", dict.fromkeys(("colour", "light", "torso"), 0.0))
    mixed = gaussian.trained(clips, tmp_path, preset=SHORT, held_out=np.array([4, 9]))
    assert not mixed.looks.colour.any()
    assert error(learned, footage, 4) < 0.95 * error(mixed, footage, 4)
    assert error(learned, footage, 9) < 0.5 * error(mixed, footage, 9)
    as_first = replace(learned, looks=Looks.none(1))
    assert error(learned, footage, 9) < 0.5 * error(as_first, footage, 9)
    skin = torch.tensor([[0.7, 0.5, 0.4]])
    red, _, blue = (Look(learned.looks.colour[0], torch.zeros(3, 3))(skin, skin) / skin)[0].tolist()
    assert red < 0.8 < 0.9 < blue


def test_a_clip_of_which_nothing_is_learned_looks_as_the_first(clips: list[Capture]) -> None:
    training = Training(Footage(clips), np.arange(5), SHORT)
    for _ in range(2):
        training.advance()
    assert not any(tensor.any() for tensor in training.avatar.looks.tensors().values())


@pytest.mark.parametrize("kind", ["gaussian", "radiance"])
def test_interrupted_learning_ends_in_the_same_avatar(
    clips: list[Capture], radiant: RadianceAvatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def learn(folder: Path, progress: Callable | None = None) -> NeuralAvatar:
        if kind == "radiance":
            return radiance.trained(clips, folder, preset=FEW, held_out=HELD_OUT, progress=progress)
        preset = gaussian.Preset(72, FEW.steps, 11_000)
        return gaussian.trained(clips, folder, preset=preset, held_out=HELD_OUT, progress=progress)

    def killed(done: int, total: int, quality: float) -> None:
        if done == 6:
            raise KeyboardInterrupt

    whole = radiant if kind == "radiance" else learn(tmp_path / "whole")
    monkeypatch.setattr("avatars.neural.learning.SAVE_EVERY", 4)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "killed", killed)
    steps: list[int] = []
    again = learn(tmp_path / "killed", lambda done, *_: steps.append(done))
    assert steps[0] == 5
    assert whole.looks.colour.any()
    for name, tensor in again.looks.tensors().items():
        assert torch.equal(tensor, whole.looks.tensors()[name]), name
    np.testing.assert_array_equal(*(shown(each, Footage(clips)[9]) for each in (whole, again)))


def test_looks_are_kept_with_the_avatar_and_reported(
    clips: list[Capture], learned: GaussianAvatar, tmp_path: Path
) -> None:
    learned.save(tmp_path)
    back = GaussianAvatar.load(tmp_path)
    for name, tensor in learned.looks.tensors().items():
        assert torch.equal(tensor, back.looks.tensors()[name])
    found = report(back, clips, np.array([4, 9]), tmp_path)
    assert found["frames"] == 10
    assert [each["frames"] for each in found["clips"]] == [5, 5]
    assert found["psnr"] == pytest.approx(np.mean([each["psnr"] for each in found["clips"]]), abs=1e-3)
    assert sorted(path.name for path in (tmp_path / "heldout").glob("*_truth.png")) == [
        "0004_truth.png",
        "0009_truth.png",
    ]


def test_radiance_avatars_draw_each_clip_in_its_look(
    clips: list[Capture], radiant: RadianceAvatar, tmp_path: Path
) -> None:
    radiant.save(tmp_path)
    back = RadianceAvatar.load(tmp_path)
    darker = replace(back, looks=replace(back.looks, colour=back.looks.colour - 0.5 * torch.eye(3, 4)))
    first, second = Footage(clips)[4], Footage(clips)[9]
    np.testing.assert_array_equal(shown(back, first), shown(darker, first))
    assert shown(darker, second).mean() < shown(back, second).mean() - 1
