"""The project's own network: crops, losses, and teaching that can be interrupted."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from face3d.cli import app
from face3d.errors import Face3DError
from face3d.perception.network import FaceReader
from face3d.perception.network.architecture import (
    EXPRESSIONS,
    IDENTITIES,
    LANDMARKS,
    SIZES,
    FaceNetwork,
    Sight,
    Size,
    normalised,
)
from face3d.perception.network.crop import Crop
from face3d.perception.network.examples import (
    PASSES,
    UNKNOWN,
    Batch,
    Stream,
    leading_directions,
    mirror_identity,
    mirrored,
    rendered,
    seen,
)
from face3d.perception.network.losses import gaussian, losses, missing_overlap
from face3d.perception.network.reading import upright
from face3d.perception.network.training import PRESETS, Preset, lesson
from face3d.perception.network.weights import load_network, save_network
from face3d.perception.teaching import learn, rate_of_learning, teach
from face3d.synth import CLASSES, synthetic_photo
from face3d.synth.anatomy import anatomy

TINY = Size(32, 4, 1)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return next(Stream(3, 4, 64, block=8).batches(0))


def test_crop_and_back() -> None:
    crop = Crop(40.0, 25.0, 30.0, 0.4)
    points = np.random.default_rng(0).uniform(0, 60, (20, 2))
    assert np.abs(crop.out_of(crop.into(points)) - points).max() < 1e-9
    assert np.allclose(crop.into(np.array([[40.0, 25.0]])), 0.5)


@pytest.mark.parametrize("extent", [40.0, 150.0])
def test_cut_puts_things_where_into_says(extent: float) -> None:
    """A spot's centre of mass in the crop is its place by `into`."""
    image = np.zeros((200, 200, 1), np.float32)
    image[88:92, 108:112] = 1.0
    crop = Crop(100.0, 100.0, extent, 0.3)
    cut = crop.cut(image, 64).reshape(64, 64)
    y, x = np.indices(cut.shape) + 0.5
    centre = np.array([(x * cut).sum(), (y * cut).sum()]) / cut.sum() / 64
    assert np.abs(centre - crop.into(np.array([[110.0, 90.0]]))[0]).max() < 0.004


def test_upright_crop_sees_the_face_upright() -> None:
    photo = synthetic_photo(3, 0, 128)
    crop = upright(photo.landmarks)
    places = crop.into(photo.landmarks)
    assert abs(places[152, 0] - places[10, 0]) < 1e-6 and places[152, 1] > places[10, 1]
    assert np.allclose((places[:468].min(0) + places[:468].max(0)) / 2, 0.5)


def test_turned_crop_turns_the_pose() -> None:
    """The skull's axes in the picture turn with the landmarks."""
    photo = rendered(synthetic_photo(3, 1, 128))
    straight = seen(photo, np.random.default_rng(0), 64, jitter=0.0)
    turned = seen(photo, np.random.default_rng(5), 64, jitter=2.0)
    left, right = 454, 234
    for example in (straight, turned):
        assert abs(np.linalg.det(example["rotation"]) - 1) < 1e-4
    across = [e["landmarks"][left] - e["landmarks"][right] for e in (straight, turned)]
    angle = np.arctan2(across[1][1], across[1][0]) - np.arctan2(across[0][1], across[0][0])
    axes = [e["rotation"][:2, 0] * [1, -1] for e in (straight, turned)]
    expected = np.arctan2(axes[1][1], axes[1][0]) - np.arctan2(axes[0][1], axes[0][0])
    mirror = not np.isclose(np.cos(angle), np.cos(expected), atol=0.02)
    assert not mirror or np.isclose(np.cos(angle), -np.cos(expected), atol=0.5)


def test_mirrored_twice_is_the_same() -> None:
    example = seen(rendered(synthetic_photo(3, 2, 128)), np.random.default_rng(0), 64, jitter=0.0)
    twice = mirrored(mirrored(example))
    for name in ("pixels", "landmarks", "visible", "classes", "rotation", "expression"):
        assert np.allclose(twice[name], example[name], atol=1e-6), name
    assert np.abs(twice["identity"] - example["identity"]).max() < 0.6


def test_mirrored_identity_is_the_mirrored_face() -> None:
    mean, directions, deviations = leading_directions()
    known, model = anatomy(), anatomy().model
    coordinates = np.random.default_rng(1).normal(size=IDENTITIES)

    def points(leading: np.ndarray) -> np.ndarray:
        identity = torch.from_numpy(mean + directions @ (deviations * leading)).float()[None]
        return known.landmarks(model.neutral(identity)[0].numpy())

    flipped = points(coordinates)[known.landmark_mirror] * [-1, 1, 1]
    kept, changed = (
        np.linalg.norm(points(c) - flipped, axis=1).mean() for c in (mirror_identity() @ coordinates, coordinates)
    )
    assert kept < 0.0003 and changed > 2 * kept


def test_stream_goes_on_from_any_step() -> None:
    stream = Stream(3, 4, 32, block=8)
    steps = stream.steps_per_block
    assert steps == 8 * PASSES // 4
    from_start = stream.batches(0)
    wanted = [next(from_start) for _ in range(3)][2]
    found = next(stream.batches(2))
    assert all(torch.equal(a, b) for a, b in zip(vars(wanted).values(), vars(found).values(), strict=True))


def test_processes_see_different_photos() -> None:
    first, second = (next(Stream(3, 4, 32, block=8, rank=rank, world=2).batches(0)) for rank in range(2))
    gaps = (first.identity[:, None] - second.identity[None]).abs().amax(-1)
    assert gaps.min() > 0.1


@pytest.mark.parametrize("size", [TINY, SIZES["small"]])
def test_network_gives_what_it_promises(size: Size) -> None:
    torch.manual_seed(0)
    sight = FaceNetwork(size).eval()(torch.zeros(2, 3, size.side, size.side))
    assert sight.landmarks.shape == (2, LANDMARKS, 2)
    assert sight.classes.shape == (2, len(CLASSES), size.side // 2, size.side // 2)
    assert torch.allclose(sight.rotation @ sight.rotation.mT, torch.eye(3).expand(2, 3, 3), atol=1e-5)
    assert sight.expression.shape == (2, EXPRESSIONS) and sight.identity.shape == (2, IDENTITIES)
    assert (sight.landmarks > 0).all() and (sight.landmarks < 1).all()


def test_landmarks_are_those_of_the_photos(batch: Batch) -> None:
    assert batch.landmarks.shape[1] == LANDMARKS


def perfect(batch: Batch, log_deviation: float) -> Sight:
    classes = torch.nn.functional.one_hot(batch.classes.where(batch.classes != UNKNOWN, 0), len(CLASSES))
    return Sight(
        landmarks=batch.landmarks,
        log_deviation=torch.full(batch.landmarks.shape[:2], log_deviation),
        visible=20 * (2 * batch.visible - 1),
        classes=20.0 * classes.permute(0, 3, 1, 2),
        rotation=batch.rotation,
        identity=batch.identity,
        identity_log_deviation=torch.full_like(batch.identity, log_deviation),
        expression=batch.expression,
        expression_log_deviation=torch.full_like(batch.expression, log_deviation),
    )


def test_perfect_sight_costs_nothing(batch: Batch) -> None:
    terms = losses(perfect(batch, -4.0), batch)
    for name in ("places", "visible", "classes", "overlap", "pose"):
        assert float(terms[name]) < 1e-2, name


def test_gaussian_is_least_at_the_true_deviation() -> None:
    """The gradient of the log deviation vanishes where the deviation is the error's."""
    torch.manual_seed(0)
    errors = 0.3 * torch.randn(200_000, 2)
    log_deviation = torch.tensor(0.3).log().requires_grad_()
    gaussian(errors.square().sum(-1), log_deviation.expand(len(errors)), 2).mean().backward()
    assert abs(float(log_deviation.grad)) < 0.1
    wrong = torch.tensor(0.6).log().requires_grad_()
    gaussian(errors.square().sum(-1), wrong.expand(len(errors)), 2).mean().backward()
    assert float(wrong.grad) > 1


def test_overlap_counts_rare_classes_alike() -> None:
    truth = torch.zeros(1, 10, 10, dtype=torch.long)
    truth[0, 0, 0] = 3
    logits = torch.zeros(1, len(CLASSES), 10, 10)
    logits[:, 0] = 20
    assert float(missing_overlap(logits, truth)) > 0.2
    logits[0, :, 0, 0] = 0
    logits[0, 3, 0, 0] = 20
    assert float(missing_overlap(logits, truth)) < 1e-2


def test_teaching_goes_on_as_if_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", TINY)
    preset = Preset("tiny", steps=6, batch=4, rate=1e-3, block=8, workers=0, kept_every=3)
    teach(tmp_path / "once", lesson(preset, 3))

    def killed(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path / "twice", lesson(preset, 3), killed)
    teach(tmp_path / "twice", lesson(preset, 3))
    once, twice = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("once", "twice"))
    assert once["step"] == twice["step"] == 6
    for kind in ("network", "average"):
        for name, tensor in once[kind].items():
            assert torch.equal(tensor, twice[kind][name]), name
    log = [json.loads(line) for line in (tmp_path / "twice" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [3, 6]
    assert (tmp_path / "once" / "curves.png").stat().st_size > 1000
    with pytest.raises(Face3DError, match="other settings"):
        teach(tmp_path / "once", lesson(preset, 4))


def test_a_lesson_made_longer_goes_on_at_the_highest_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", TINY)
    preset = Preset("tiny", steps=2, batch=2, rate=1e-3, block=8, workers=0, kept_every=1)
    teach(tmp_path, lesson(preset, 3))
    longer = lesson(replace(preset, steps=3000), 3)
    told: list[int] = []

    def stopped(step: int, steps: int, loss: float) -> None:
        told.append(step)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path, longer, stopped)
    assert told == [3]
    rates = [rate_of_learning(longer, step) / longer.rate for step in (299, 2000, 2250, 2625, 2999)]
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.02])


def test_a_lesson_begins_with_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", TINY)
    torch.manual_seed(5)
    known = FaceNetwork(TINY).half().float()
    save_network(known, "tiny", tmp_path / "known.safetensors", {})
    preset = Preset("tiny", steps=2, batch=2, rate=1e-3, block=8, workers=0, kept_every=1)
    begun = lesson(preset, 3, tmp_path / "known.safetensors").network()
    for mine, theirs in zip(begun.parameters(), known.parameters(), strict=True):
        assert torch.equal(mine, theirs) and mine.requires_grad


def test_expression_is_told_from_where_landmarks_are() -> None:
    """Wherever and however large the same face is in the crop, it is the same for the heads."""
    places = torch.rand(2, LANDMARKS, 2)
    moved = 0.6 * places + torch.tensor([0.1, 0.2])
    assert torch.allclose(normalised(places), normalised(moved), atol=1e-5)
    assert not torch.allclose(normalised(places[:1]), normalised(places[1:]), atol=0.1)


def test_what_varies_least_counts_as_much_as_what_varies_most() -> None:
    """A mouth that opens is a small part of how landmarks vary, and one of the heads' inputs all the same."""
    random = torch.Generator().manual_seed(0)
    turned, opened = torch.randn(400, 1, 1, generator=random), 0.05 * torch.randn(400, 1, 1, generator=random)
    face, turn, mouth = (torch.rand(1, LANDMARKS, 2, generator=random) for _ in range(3))
    mouth[:, 20:] = 0
    landmarks = face + turned * turn + opened * mouth
    network = FaceNetwork(TINY)
    network.whiten(landmarks)
    shapes = (normalised(landmarks) - network.usual) @ network.whitening
    best = max(abs(float(torch.corrcoef(torch.stack([each, opened.flatten()]))[0, 1])) for each in shapes.T[:5])
    assert best > 0.9
    assert shapes.std(0).max() < 1.01


def test_network_learns_one_batch(batch: Batch) -> None:
    torch.manual_seed(0)
    network = FaceNetwork(Size(64, 8, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    costs = [learn(network, lesson(PRESETS["cpu"], 0), batch, optimizer, 3e-3) for _ in range(40)]
    assert float(costs[-1]["places"]) < 0.4 * float(costs[0]["places"])
    assert float(costs[-1]["classes"]) < 0.7 * float(costs[0]["classes"])


def test_weights_come_back_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FaceNetwork(SIZES["small"]).eval()
    save_network(network, "small", tmp_path / "n.safetensors", {"step": "0"})
    again = load_network(tmp_path / "n.safetensors")
    pixels = torch.randn(1, 3, 128, 128)
    assert torch.allclose(network(pixels).landmarks, again(pixels).landmarks, atol=2e-3)
    reader = FaceReader.load(tmp_path / "n.safetensors")
    image = np.full((90, 120, 3), 128, np.uint8)
    reading = reader.read(image, (30.0, 20.0, 80.0, 80.0), looks=1)
    assert reading.landmarks.shape == (LANDMARKS, 2) and (reading.deviation > 0).all()
    classes, inside = reading.classes_in(90, 120)
    assert classes.shape == (90, 120) and inside.any()


def test_classes_lie_where_the_crop_does() -> None:
    crop = Crop(15.0, 15.0, 10.0)
    reading = _reading_with(np.full((5, 5), 3, np.uint8), crop)
    classes, inside = reading.classes_in(40, 40)
    assert (classes[10:20, 10:20] == 3).all() and inside.sum() == 100 and classes.sum() == 300


def _reading_with(classes: np.ndarray, crop: Crop):
    from face3d.perception.network import FaceReading

    empty = np.zeros(0)
    return FaceReading(np.zeros((0, 2)), empty, empty, classes, crop, np.eye(3), empty, empty, empty, empty)


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no network at all")
    with pytest.raises(Face3DError):
        load_network(bad)
    with pytest.raises(Face3DError):
        load_network(tmp_path / "absent.safetensors")
    monkeypatch.setenv("FACE3D_NETWORK", str(bad))
    with pytest.raises(Face3DError):
        FaceReader.load()
    torch.manual_seed(0)
    save_network(FaceNetwork(SIZES["small"]), "full", bad, {})
    with pytest.raises(Face3DError, match="other weights"):
        load_network(bad)


def test_unknown_preset_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "perception", "-o", str(tmp_path), "--preset", "toaster"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1


@pytest.mark.slow
def test_two_processes_teach_one_network(tmp_path: Path) -> None:
    """Through torchrun, which keeps to this machine."""
    script = tmp_path / "teach.py"
    script.write_text(
        "import pathlib, sys\n"
        "from face3d.perception.network.training import Preset, lesson\n"
        "from face3d.perception.teaching import teach\n"
        "teach(pathlib.Path(sys.argv[1]), lesson(Preset('small', 2, 2, 1e-3, 8, 0, 2), 3))\n"
    )
    runner = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*runner, str(script), str(tmp_path / "run")], check=True, timeout=300)
    assert json.loads((tmp_path / "run" / "log.jsonl").read_text())["step"] == 2
    load_network(tmp_path / "run" / "perception.safetensors")
