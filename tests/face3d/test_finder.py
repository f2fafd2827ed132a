"""The project's own face detector: pictures, what cells are to say, losses, faces out of what they say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from face3d.cli import app
from face3d.errors import Face3DError
from face3d.perception.finder import FaceFinder
from face3d.perception.finder.architecture import STRIDES, FinderNetwork, Finds, cells, fused
from face3d.perception.finder.losses import SHARES, assigned, losses
from face3d.perception.finder.scenes import MOST_FACES, Scenes, _batched, _mirrored, scene, scenes
from face3d.perception.finder.training import Preset, lesson
from face3d.perception.finder.weights import load_finder, save_finder
from face3d.perception.network.examples import rendered
from face3d.perception.teaching import learn
from face3d.synth import synthetic_photo

SIDE = 128


@pytest.fixture(scope="module")
def people() -> list[dict[str, np.ndarray]]:
    return [rendered(synthetic_photo(9, index, 256)) for index in range(4)]


@pytest.fixture(scope="module")
def batch(people: list[dict[str, np.ndarray]]) -> Scenes:
    return _batched(scene(people, np.random.default_rng([4, index]), SIDE) for index in range(6))


def test_pictures_hold_the_faces_that_they_say(batch: Scenes) -> None:
    counts = batch.there.sum(1)
    assert batch.pixels.shape == (6, 3, SIDE, SIDE) and counts.sum() > 0 and counts.max() <= MOST_FACES
    box, points = batch.box[batch.there], batch.points[batch.there]
    side = (box[:, 2:] - box[:, :2]).amax(1)
    assert (side > 8).all()
    low, high = box[:, None, :2] - 0.1 * side[:, None, None], box[:, None, 2:] + 0.1 * side[:, None, None]
    assert ((points > low) & (points < high)).all()
    unit = batch.rotation[batch.there]
    assert torch.allclose(unit @ unit.mT, torch.eye(3).expand_as(unit), atol=1e-4)


def test_points_turn_as_the_pose_does(people: list[dict[str, np.ndarray]]) -> None:
    """The right eye is on the side of the picture to which the skull's x axis does not point."""
    for index in range(20):
        drawn = scene(people, np.random.default_rng([5, index]), SIDE)
        for face in np.flatnonzero(drawn["there"]):
            across = drawn["points"][face, 1] - drawn["points"][face, 0]
            axis = drawn["rotation"][face][:2, 0] * [1, -1]
            if np.hypot(*axis) > 0.7:
                assert np.dot(across, axis) > 0


def test_mirrored_twice_is_the_same(people: list[dict[str, np.ndarray]]) -> None:
    drawn = scene(people, np.random.default_rng([4, 1]), SIDE)
    twice = _mirrored(_mirrored(drawn))
    for name, value in drawn.items():
        assert np.allclose(
            twice[name][drawn["there"]] if name != "pixels" else twice[name],
            value[drawn["there"]] if name != "pixels" else value,
            atol=1e-3,
        ), name


def test_the_stream_goes_on_from_any_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face3d.perception.finder.scenes.BLOCK", 8)
    stream = scenes(3, 2, 96, 0, 0)
    wanted = [next(stream) for _ in range(2)][1]
    found = next(scenes(3, 2, 96, 1, 0))
    assert all(torch.equal(a, b) for a, b in zip(vars(wanted).values(), vars(found).values(), strict=True))


def test_each_face_has_cells_of_its_size(batch: Scenes) -> None:
    places, strides = cells(SIDE, SIDE, torch.device("cpu"))
    face, unclear = assigned(batch, places, strides)
    for picture, index in batch.there.nonzero().tolist():
        mine = face[picture] == index
        box = batch.box[picture, index]
        inside = ((box[:2] + box[2:]) / 2 > 0).all() and ((box[:2] + box[2:]) / 2 < SIDE).all()
        assert mine.any() or not inside
        if mine.any():
            side = float((box[2:] - box[:2]).max())
            assert strides[mine].min() <= max(side / 3, STRIDES[0])
    assert not (unclear & (face >= 0)).any()


def perfect(batch: Scenes) -> Finds:
    places, strides = cells(SIDE, SIDE, torch.device("cpu"))
    face, _ = assigned(batch, places, strides)
    chosen = face.clamp(min=0)
    rows = torch.arange(len(face))[:, None]
    score = torch.where(face >= 0, 12.0, -12.0)
    return Finds(score, batch.box[rows, chosen], batch.points[rows, chosen], batch.rotation[rows, chosen])


def test_the_truth_costs_nothing(batch: Scenes) -> None:
    assert all(float(term) < 1e-3 for term in losses(perfect(batch), batch).values())


class _Says(torch.nn.Module):
    def __init__(self, finds: Finds) -> None:
        super().__init__()
        self.finds = finds

    def forward(self, pixels: torch.Tensor) -> Finds:
        return self.finds


def test_each_face_is_found_once(batch: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many cells find the same face; of them the surest stays, in the photo's own pixels."""
    monkeypatch.setattr("face3d.perception.finder.finding.SIDES", (SIDE,))
    finds = perfect(batch)
    for picture in range(len(finds.score)):
        one = Finds(*(each[picture : picture + 1] for each in vars(finds).values()))
        found = FaceFinder(_Says(one)).find(np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8))
        boxes = 2 * batch.box[picture][batch.there[picture]].numpy()
        assert len(found) <= len(boxes)
        for face in found:
            assert np.abs(boxes - np.array(face.box)).max(1).min() < 1e-3


def test_network_learns_one_batch(batch: Scenes) -> None:
    torch.manual_seed(0)
    network = FinderNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    task = lesson(Preset(SIDE, 1, 6, 3e-3, 0, 1), 0)
    costs = [learn(network, task, batch, optimizer, 3e-3) for _ in range(20)]
    total = [sum(SHARES[name] * float(term) for name, term in each.items()) for each in costs]
    assert total[-1] < 0.5 * total[0]


def test_fused_it_says_the_same() -> None:
    torch.manual_seed(0)
    network = FinderNetwork()
    network.says.weight.data.normal_(0, 0.1)
    pixels = torch.randn(2, 3, 64, 96)
    network(3 * pixels + 1)  # so that the normalisations have something to do
    network.eval()
    with torch.no_grad():
        wanted = network(pixels)
        layers = sum(isinstance(each, torch.nn.BatchNorm2d) for each in network.modules())
        found = fused(network)(pixels)
    assert layers > 20 and not any(isinstance(each, torch.nn.BatchNorm2d) for each in network.modules())
    assert torch.allclose(wanted.score, found.score, atol=1e-3) and torch.allclose(wanted.box, found.box, atol=0.05)


def test_weights_come_back_and_others_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FinderNetwork().eval()
    save_finder(network, tmp_path / "d.safetensors", {"step": "0"})
    pixels = torch.randn(1, 3, 64, 96)
    assert torch.allclose(network(pixels).box, load_finder(tmp_path / "d.safetensors")(pixels).box, atol=0.3)
    image = np.full((50, 333, 3), 128, np.uint8)
    assert FaceFinder.load(tmp_path / "d.safetensors").find(image) == []
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(Face3DError, match="cannot be read"):
        load_finder(tmp_path / "bad.safetensors")


def test_unknown_preset_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "detector", "-o", str(tmp_path), "--preset", "toaster"])
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
