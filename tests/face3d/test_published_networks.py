"""Networks that others published: files of their layouts, written here, with weights that nobody was taught.

What is expected of a network is said twice: by the names, shapes and order of operations that were published, as plain
calls on the file's own tensors (`mica_by_hand` and so on), and by the classes that are tested.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from typer.testing import CliRunner, Result

import morphable
from benchmarks.flame_layout import flame_arrays, write_flame
from face3d import correspondence
from face3d.cli import app
from face3d.errors import Face3DError
from face3d.perception import published
from face3d.perception.published.crop import boxed_crop
from face3d.perception.published.deca import BROWS, JAW, OTHER_JAW, SIZES
from face3d.perception.published.mica import FIVE_POINTS, THEIR_LANDMARKS, aligned_crop
from face3d.photo import Photo
from face3d.published_shape import read_photos, reshaped
from morphable import ARKIT_NAMES, Head, catalogue
from morphable.flame import Flame, flame_from
from morphable.storage import write_model

Shapes = dict[str, tuple[int, ...]]
State = dict[str, Tensor]
MOBILE_NETS = {
    "small": (
        2,
        [[(24, 72, 2), (24, 88, 1)], [(40, 96, 2), *2 * [(40, 240, 1)]], [(48, 120, 1), (48, 144, 1)]]
        + [[(96, 288, 2), *2 * [(96, 576, 1)]]],
        576,
    ),
    "large": (
        1,
        [[(24, 64, 2), (24, 72, 1)], [(40, 72, 2), *2 * [(40, 120, 1)]]]
        + [[(80, 240, 2), (80, 200, 1), *2 * [(80, 184, 1)]], [(112, 480, 1), (112, 672, 1)]]
        + [[(160, 672, 2), *2 * [(160, 960, 1)]]],
        960,
    ),
}
"""timm's `tf_mobilenetv3_*_minimal_100`: the first block's stride; stages of blocks (channels after, inside, stride);
features."""
SMIRK = {
    "pose": ("small", "pose_cam_layers", 6),
    "shape": ("large", "shape_layers", 300),
    "expression": ("large", "expression_layers", 55),
}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return flame_arrays()


@pytest.fixture(scope="module")
def flame_file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flame(arrays, tmp_path_factory.mktemp("flame") / "generic_model.pkl")


@pytest.fixture(scope="module")
def store(flame_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a FLAME in it, to which several tests add what does not disturb the others."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("store")
        patch.setenv(catalogue.FOLDER_VARIABLE, str(folder))
        catalogue.add(flame_file)
        yield folder


@pytest.fixture(scope="module")
def mica(store: Path, arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> State:
    """MICA's file as its trainer writes it, with FLAME and a training's state, added; its tensors."""
    recognition, regressor = random_state(recognition_shapes(), 0), random_state(regressor_shapes(), 1)
    generator = {f"generator.{name}": torch.tensor(arrays[name]).float() for name in ("v_template", "shapedirs")}
    held = {
        "flameModel": {f"regressor.{name}": tensor for name, tensor in regressor.items()} | generator,
        "arcface": recognition,
        "opt": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]},
        "validator": {"embeddings_lyhm": {"ada": [np.zeros(512, np.float32)]}, "best_model": {"mean": np.float32(1)}},
        "epoch": 7,
    }
    path = tmp_path_factory.mktemp("mica") / "mica.tar"
    torch.save(held, path)
    result = run("models", "add", path)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("(from generic_model.pkl); networks: mica\n")
    return recognition | {f"regressor.{name}": tensor for name, tensor in regressor.items()}


@pytest.fixture(scope="module")
def emoca(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """EMOCA's checkpoint of a trainer that prefixes names, and DECA's, added."""
    parts = {"E_flame": random_state(encoder_shapes(236), 2), "E_expression": random_state(encoder_shapes(50), 3)}
    folder = tmp_path_factory.mktemp("emoca")
    flat = {f"deca.{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
    torch.save({"state_dict": flat, "epoch": 3, "hyper_parameters": {"root": Path("data")}}, folder / "last.ckpt")
    torch.save(
        {"E_flame": parts["E_flame"], "E_detail": {"layers.2.bias": torch.zeros(128)}}, folder / "deca_model.tar"
    )
    assert published.add(folder / "last.ckpt") == "emoca"
    assert published.add(folder / "deca_model.tar") == "deca"
    return parts


def test_mica_is_what_was_published(mica: State) -> None:
    crops = torch.rand(1, 3, 112, 112, generator=torch.manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        found = published.load("mica", "flame")(crops)
        wanted = mica_by_hand(mica, crops)
    assert found.std() > 1e-3
    assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))


def test_emoca_is_what_was_published(emoca: dict[str, State]) -> None:
    crops = torch.rand(1, 3, 224, 224, generator=torch.manual_seed(0))
    with torch.inference_mode():
        found = published.load("emoca", "flame")(crops)
        coarse, expression = (deca_by_hand(emoca[part], crops) for part in ("E_flame", "E_expression"))
        deca = published.load("deca", "flame")(crops)
    assert [found[name].shape[1] for name in SIZES] == [100, 50, 50, 3, 3, 3, 27]
    wanted = dict(zip(SIZES, coarse.split([100, 50, 50, 3, 3, 3, 27], 1), strict=True))
    for name in SIZES:
        said = expression if name == "expression" else wanted[name]
        assert torch.allclose(found[name], said, atol=1e-4 * float(coarse.abs().max())), name
        assert torch.allclose(deca[name], wanted[name], atol=1e-4 * float(coarse.abs().max())), name


@pytest.fixture(scope="module")
def smirk(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """SMIRK's file, its renderer's weights beside its encoders', added."""
    parts = {part: random_state(mobile_shapes(*kind), seed) for seed, (part, kind) in enumerate(SMIRK.items())}
    held = {f"smirk_encoder.{part}_encoder.{name}": t for part, state in parts.items() for name, t in state.items()}
    path = tmp_path_factory.mktemp("smirk") / "SMIRK_em1.pt"
    torch.save(held | {"smirk_generator.conv.bias": torch.zeros(3)}, path)
    assert published.add(path) == "smirk"
    return parts


def test_smirk_is_what_was_published(smirk: dict[str, State]) -> None:
    crops = torch.rand(1, 3, 224, 224, generator=torch.manual_seed(0))
    with torch.inference_mode():
        found = published.load("smirk", "flame")(crops)
        pose, shape, expression = (smirk_by_hand(smirk[part], crops, *SMIRK[part][:2]) for part in SMIRK)
    jaw = torch.cat([expression[:, 52:53].clamp(min=0), expression[:, 53:].clamp(-0.2, 0.2)], 1)
    wanted = {"shape": shape, "expression": expression[:, :50], "rotation": pose[:, :3], "camera": pose[:, 3:]}
    wanted |= {"jaw": jaw, "eyelids": expression[:, 50:52].clamp(0, 1)}
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert torch.allclose(found[name], wanted[name], atol=1e-4 * float(wanted[name].abs().max())), name


def test_faces_are_read_from_photos(
    mica: State, emoca: dict[str, State], smirk: dict[str, State], astronaut: np.ndarray
) -> None:
    """The same face shifted by whole pixels says the same."""
    landmarks = landmarks_of(seed=0) * (60, 60, 1) + (220, 120, 0)
    shifted = np.roll(astronaut, (7, -12), (0, 1))
    for name, shapes in (("mica", 300), ("smirk", 300), ("deca", 100)):
        network = published.load(name, "flame")
        once, again = network.read(astronaut, landmarks), network.read(shifted, landmarks + (-12, 7, 0))
        assert len(once.shape) == shapes
        assert np.allclose(once.shape, again.shape, atol=1e-3 * np.abs(once.shape).max())
        assert (once.expression is None) == (name == "mica")
    assert once.light is not None and once.light.shape == (9, 3)


def test_recognition_sees_the_face_upright() -> None:
    """Spots at the five landmarks of a turned face come where ArcFace has them."""
    turn = 1.7 * np.exp(0.4j)
    places = turn * (FIVE_POINTS @ (1, 1j)) + (150 + 20j)
    points = np.stack([places.real, places.imag], 1)
    for point, wanted in zip(points, FIVE_POINTS, strict=True):
        crop = aligned_crop(spot(400, point), points)
        assert np.abs(centre(crop) - 0.5 - wanted).max() < 0.1
    assert len(THEIR_LANDMARKS) == 5


def test_box_of_the_68_landmarks_is_cut() -> None:
    points = np.array([(100.0, 80.0), (220.0, 240.0)])
    extent = 140 * 1.375
    for point in points:
        crop = boxed_crop(spot(400, point), points, 1.375)
        wanted = (point - (160, 160)) / extent * 223 + 111.5
        assert np.abs(centre(crop) - 0.5 - wanted).max() < 1.0
    assert len({*BROWS, *JAW, *OTHER_JAW}) == 33


def test_a_head_gets_the_shape_and_the_report_the_expression(store: Path, tmp_path: Path) -> None:
    """A network that says the same of every face; on FLAME's layout with the default head's surface and shapes."""
    model = write_lifelike_flame(store / "lifelike.safetensors")
    shape, expression = np.linspace(-1, 1, 100), np.zeros(50)
    expression[[ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthSmileLeft")]] = 0.8, 0.5
    path = tmp_path / "deca_model.tar"
    torch.save({"E_flame": saying(np.concatenate([shape, np.zeros(50), expression, np.zeros(36)]))}, path)
    assert published.add(path, "lifelike") == "deca"
    seen = published.load("deca", "lifelike").read(np.zeros((90, 90, 3), np.uint8), landmarks_of(0) * 30 + 20)
    textures = {"head": np.full((4, 4, 3), 200, np.uint8)}
    before = Head.from_model(model, torch.zeros(300), textures, {"made": "here"})
    seen = replace(seen, eyelids=np.array([0.0, 0.7]))
    head, report = reshaped(before, "deca", [seen, seen])
    identity = torch.tensor([*shape, *np.zeros(200)]).float()
    assert np.allclose(head.neutral, model.neutral(identity[None])[0], atol=1e-6)
    assert head.textures == before.textures and head.provenance == {"made": "here", "shape_by": "deca"}
    assert report["network"] == "deca" and report["photos"] == 2 and np.allclose(report["shape"], shape, atol=1e-4)
    largest = sorted(ARKIT_NAMES, key=lambda name: -report["expression"][name])[:3]
    assert sorted(largest) == ["eyeBlinkRight", "jawOpen", "mouthSmileLeft"] and report["expression_left_mm"] < 0.1
    assert [report["expression"][name] for name in sorted(largest)] == pytest.approx([0.7, 0.8, 0.5], abs=0.1)


def test_photos_without_the_face_are_passed_over(store: Path, astronaut: np.ndarray) -> None:
    class Blind:
        def detect(self, image: np.ndarray) -> list:
            return []

    with pytest.raises(Face3DError, match=r"No face found in a\.jpg"):
        read_photos(None, [Photo(astronaut, Path("a.jpg"))], 0, Blind())  # type: ignore[arg-type]


def test_damaged_files_are_refused(store: Path, tmp_path: Path) -> None:
    whole = cheap(mica_shapes(), tmp_path / "whole.tar").read_bytes()
    for share in (0.0, 0.01, 0.5, 0.999):
        (tmp_path / "other.tar").write_bytes(whole[: int(share * len(whole))])
        assert_refused(run("models", "add", tmp_path / "other.tar"), "damaged", store)


def test_code_in_checkpoints_is_not_run(store: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"

    class Exploit:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch '{proof}'",)

    held = {"arcface": {"conv1.weight": Exploit()}}
    torch.save(held, tmp_path / "new.tar")
    torch.save(held, tmp_path / "old.tar", _use_new_zipfile_serialization=False)
    assert_refused(run("models", "add", tmp_path / "new.tar"), "asks to run `posix.system`", store)
    assert_refused(run("models", "add", tmp_path / "old.tar"), "nothing of it was run", store)
    assert not proof.exists()


def test_packed_checkpoints_are_refused(store: Path, tmp_path: Path) -> None:
    """What unpacks to more than it is could fill the memory."""
    whole = cheap(mica_shapes(), tmp_path / "whole.tar")
    with (
        zipfile.ZipFile(whole) as archive,
        zipfile.ZipFile(tmp_path / "mica.tar", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in archive.infolist():
            packed.writestr(entry.filename, archive.read(entry))
    assert_refused(run("models", "add", tmp_path / "mica.tar"), "does not compress", store)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("arcface.fc.weight", torch.zeros(512, 25087), "is of shape 512x25087; the network that was published has"),
        (
            "arcface.bn1.bias",
            torch.full((64,), torch.nan),
            "`recognition.bn1.bias` in mica.tar holds values that",
        ),
        ("arcface.bn1.bias", torch.zeros(64, dtype=torch.long), "no plain array of numbers"),
        ("arcface.bn1.bias", torch.zeros(64).to_sparse(), "no plain array of numbers"),
        ("arcface.bn1.bias", None, "mica.tar lacks `recognition.bn1.bias`"),
        ("arcface.layer1.3.bn1.bias", torch.zeros(64), "which is not of the network"),
        ("flameModel.generator.v_template", torch.ones(5023, 3), "another release of FLAME"),
        ("flameModel.generator.shapedirs", torch.ones(9, 3, 300), "another release of FLAME"),
        ("flameModel.regressor.output.bias", "text", "lacks `regressor.output.bias`"),
    ],
)
def test_other_weights_are_refused(name: str, tensor: Tensor | None, message: str, store: Path, tmp_path: Path) -> None:
    path = cheap(mica_shapes(), tmp_path / "mica.tar", {name: tensor})
    assert_refused(run("models", "add", path), message, store)


def test_files_of_no_network_are_refused(store: Path, tmp_path: Path) -> None:
    for number, held in enumerate(({}, [1], torch.zeros(3), {"arcface": {"conv1.weight": torch.zeros(1)}})):
        torch.save(held, tmp_path / f"{number}.pth")
        assert_refused(run("models", "add", tmp_path / f"{number}.pth"), "no network that is known here", store)
    (tmp_path / "folder.tar").mkdir()
    assert_refused(run("models", "add", tmp_path / "absent.tar"), "No such file", store)
    loop: dict = {}
    loop["again"] = loop
    torch.save(loop, tmp_path / "loop.pt")
    assert_refused(run("models", "add", tmp_path / "loop.pt"), "no network that is known here", store)


def test_networks_need_their_model(store: Path, tmp_path: Path) -> None:
    path = cheap(mica_shapes(), tmp_path / "mica.tar")
    assert_refused(run("models", "add", path, "--name", "other"), "add FLAME itself first", store)
    assert_refused(run("models", "add", path, "--name", "default"), "goes with FLAME, and the model 'default'", store)


def test_networks_go_with_their_model(flame_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "own"))
    catalogue.add(flame_file)
    (tmp_path / "own" / "flame.mica").write_bytes(b"cut short")
    assert published.names("flame") == ("mica",)
    photo = tmp_path / "p.jpg"
    arguments = ("reconstruct", photo, "-o", tmp_path / "out", "--model", "flame", "--network")
    for name, message in (("mica", "is damaged"), ("deca", "has no network 'deca' (it has: mica)")):
        result = run(*arguments, name)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ") and message in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    catalogue.remove("flame")
    assert list((tmp_path / "own").iterdir()) == []


@pytest.mark.slow
def test_a_photo_to_a_head_of_the_networks_shape(
    astronaut: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setenv(correspondence.FOLDER_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "models").mkdir()
    model = write_lifelike_flame(tmp_path / "models" / "flame.safetensors")
    shape = np.linspace(1, -1, 100)
    torch.save({"E_flame": saying(np.concatenate([shape, np.zeros(136)]))}, tmp_path / "deca.tar")
    assert run("models", "add", tmp_path / "deca.tar").exit_code == 0
    Image.fromarray(astronaut).save(tmp_path / "p.png")
    arguments = ("--texture-size", 256, "--model", "flame", "--network", "deca")
    result = run("reconstruct", tmp_path / "p.png", "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 0, result.output
    head = Head.load(tmp_path / "out" / "head.glb")
    identity = torch.tensor([*shape, *np.zeros(200)]).float()
    assert np.allclose(head.neutral, model.neutral(identity[None])[0], atol=1e-5)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["shape_by"]["network"] == "deca"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def assert_refused(result: Result, message: str, store: Path) -> None:
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("Error: ") and message in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1
    assert not [path for path in store.iterdir() if path.name.startswith(".")]


def spot(size: int, place: np.ndarray) -> np.ndarray:
    """An image, black but for a bright disc about a place."""
    y, x = np.indices((size, size)) + 0.5
    disc = np.hypot(x - place[0], y - place[1]) < 6
    return np.repeat(np.where(disc, 255, 0).astype(np.uint8)[..., None], 3, 2)


def centre(image: np.ndarray) -> np.ndarray:
    """Of mass, the centre of the top-left pixel being at (0.5, 0.5)."""
    mass = image.astype(float).sum(2)
    y, x = np.indices(mass.shape) + 0.5
    return np.array([(x * mass).sum(), (y * mass).sum()]) / mass.sum()


def landmarks_of(seed: int) -> np.ndarray:
    """Places from 0 to 1, the five that ArcFace looks at where they are on a face."""
    landmarks = np.random.default_rng(seed).uniform(0, 1, (478, 3))
    landmarks[list(THEIR_LANDMARKS), :2] = FIVE_POINTS / 112
    return landmarks


def norm_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.{each}": (width,) for each in ("weight", "bias", "running_mean", "running_var")} | {
        f"{name}.num_batches_tracked": ()
    }


def recognition_shapes() -> Shapes:
    """ArcFace's IR-100, as insightface publishes it."""
    shapes: Shapes = {"conv1.weight": (64, 3, 3, 3), **norm_shapes("bn1", 64), "prelu.weight": (64,)}
    before = 64
    for layer, (width, blocks) in enumerate(((64, 3), (128, 13), (256, 30), (512, 3)), 1):
        for block in range(blocks):
            at = f"layer{layer}.{block}"
            shapes |= norm_shapes(f"{at}.bn1", before) | {f"{at}.conv1.weight": (width, before, 3, 3)}
            shapes |= norm_shapes(f"{at}.bn2", width) | {f"{at}.prelu.weight": (width,)}
            shapes |= {f"{at}.conv2.weight": (width, width, 3, 3)} | norm_shapes(f"{at}.bn3", width)
            if block == 0:
                shapes |= {f"{at}.downsample.0.weight": (width, before, 1, 1)}
                shapes |= norm_shapes(f"{at}.downsample.1", width)
            before = width
    shapes |= norm_shapes("bn2", 512) | {"fc.weight": (512, 25088), "fc.bias": (512,)}
    return shapes | norm_shapes("features", 512)


def regressor_shapes() -> Shapes:
    shapes: Shapes = {}
    for name, before in (("network.0", 512), *((f"network.{i}", 300) for i in (1, 2, 3)), ("output", 300)):
        shapes |= {f"{name}.weight": (300, before), f"{name}.bias": (300,)}
    return shapes


def mica_shapes() -> Shapes:
    recognition = {f"arcface.{name}": shape for name, shape in recognition_shapes().items()}
    return recognition | {f"flameModel.regressor.{name}": shape for name, shape in regressor_shapes().items()}


def encoder_shapes(outputs: int) -> Shapes:
    """DECA's: torchvision's ResNet-50 without its last layer, and two layers."""
    shapes: Shapes = {"encoder.conv1.weight": (64, 3, 7, 7), **norm_shapes("encoder.bn1", 64)}
    before = 64
    for layer, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(blocks):
            at = f"encoder.layer{layer}.{block}"
            for number, (into, out, side) in enumerate(
                ((before, width, 1), (width, width, 3), (width, 4 * width, 1)), 1
            ):
                shapes |= {f"{at}.conv{number}.weight": (out, into, side, side)}
                shapes |= norm_shapes(f"{at}.bn{number}", out)
            if block == 0:
                shapes |= {f"{at}.downsample.0.weight": (4 * width, before, 1, 1)}
                shapes |= norm_shapes(f"{at}.downsample.1", 4 * width)
            before = 4 * width
    shapes |= {"layers.0.weight": (1024, 2048), "layers.0.bias": (1024,)}
    return shapes | {"layers.2.weight": (outputs, 1024), "layers.2.bias": (outputs,)}


def mobile_shapes(kind: str, last: str, outputs: int) -> Shapes:
    """One of SMIRK's encoders, under timm's names."""
    _, stages, features = MOBILE_NETS[kind]
    shapes: Shapes = {"conv_stem.weight": (16, 3, 3, 3), **norm_shapes("bn1", 16)}
    shapes |= {"blocks.0.0.conv_dw.weight": (16, 1, 3, 3), "blocks.0.0.conv_pw.weight": (16, 16, 1, 1)}
    shapes |= norm_shapes("blocks.0.0.bn1", 16) | norm_shapes("blocks.0.0.bn2", 16)
    before = 16
    for stage, blocks in enumerate(stages, 1):
        for block, (after, inside, _) in enumerate(blocks):
            at = f"blocks.{stage}.{block}"
            shapes |= {f"{at}.conv_pw.weight": (inside, before, 1, 1), f"{at}.conv_dw.weight": (inside, 1, 3, 3)}
            shapes |= {f"{at}.conv_pwl.weight": (after, inside, 1, 1)} | norm_shapes(f"{at}.bn3", after)
            shapes |= norm_shapes(f"{at}.bn1", inside) | norm_shapes(f"{at}.bn2", inside)
            before = after
    end = f"blocks.{len(stages) + 1}.0"
    shapes |= {f"{end}.conv.weight": (features, before, 1, 1)} | norm_shapes(f"{end}.bn1", features)
    shapes = {f"encoder.{name}": shape for name, shape in shapes.items()}
    return shapes | {f"{last}.0.weight": (outputs, features), f"{last}.0.bias": (outputs,)}


def random_state(shapes: Shapes, seed: int) -> State:
    """Weights in half precision under which signals neither vanish nor explode."""
    generator = torch.manual_seed(seed)

    def made(name: str, shape: tuple[int, ...]) -> Tensor:
        if name.endswith("num_batches_tracked"):
            return torch.tensor(9)
        values = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            return (values / int(np.prod(shape[1:])) ** 0.5).half()
        return (0.1 * values + (0.0 if name.endswith(("bias", "running_mean")) else 1.0)).half()

    return {name: made(name, shape) for name, shape in shapes.items()}


def cheap(shapes: Shapes, path: Path, changed: dict[str, Tensor | str | None] | None = None) -> Path:
    """A small file of large tensors, all zeros, but for what is changed or, as None, left out."""
    held: dict = {
        name: torch.zeros(()).expand(shape) if shape else torch.tensor(0) for name, shape in shapes.items()
    } | (changed or {})
    nested: dict = {"arcface": {}, "flameModel": {}}
    for name, value in held.items():
        part, rest = name.split(".", 1)
        if value is not None:
            nested[part][rest] = value
    torch.save(nested, path)
    return path


def saying(outputs: np.ndarray) -> State:
    """DECA's network that says the same of every picture."""
    state = {
        name: torch.zeros(shape) if shape else torch.tensor(0) for name, shape in encoder_shapes(len(outputs)).items()
    }
    state |= {name: torch.ones_like(tensor) for name, tensor in state.items() if name.endswith("running_var")}
    return state | {"layers.2.bias": torch.tensor(outputs).float()}


def write_lifelike_flame(path: Path) -> Flame:
    """A model of FLAME's layout whose surface, identities and 52 shapes are the default head's; the shapes are its own
    expressions as well."""
    default = morphable.load()
    stop = default.parts["eye_right"]
    count = stop.vertices.stop
    shapes = default.expressions(torch.zeros(1, default.identities))[0, :, :count].float()
    directions = torch.cat([default.identity_basis[:100, :count], torch.zeros(200, count, 3), shapes])
    weights = np.tile(np.eye(5)[1], (count, 1))
    for joint, name in ((3, "eye_left"), (4, "eye_right")):
        weights[default.parts[name].vertices] = np.eye(5)[joint]
    regressor = np.zeros((5, count))
    regressor[3:] = (weights[:, 3:] / weights[:, 3:].sum(0)).T
    regressor[:3, 0] = 1
    data = {
        "v_template": default.mean[:count].double().numpy(),
        "f": default.triangles[: stop.triangles.stop].numpy(),
        "shapedirs": directions.permute(1, 2, 0).double().numpy(),
        "posedirs": np.zeros((count, 3, 36)),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)]),
    }
    model = flame_from(data, "lifelike", "lifelike.pkl")
    model.expression_basis = shapes
    write_model(model, path, "lifelike.pkl")
    return model


def normed(w: State, name: str, x: Tensor, epsilon: float = 1e-5) -> Tensor:
    mean, variance, scale, shift = (w[f"{name}.{each}"] for each in ("running_mean", "running_var", "weight", "bias"))
    each = (slice(None), *(None,) * (x.ndim - 2))
    return (x - mean[each]) / (variance[each] + epsilon).sqrt() * scale[each] + shift[each]


def mica_by_hand(w: State, crops: Tensor) -> Tensor:
    """The shape, from the names and order of operations that were published."""
    w = {name: tensor.float() for name, tensor in w.items()}
    x = functional.prelu(normed(w, "bn1", functional.conv2d(crops, w["conv1.weight"], padding=1)), w["prelu.weight"])
    for layer, blocks in enumerate((3, 13, 30, 3), 1):
        for block in range(blocks):
            at, stride = f"layer{layer}.{block}", 2 if block == 0 else 1
            inner = functional.conv2d(normed(w, f"{at}.bn1", x), w[f"{at}.conv1.weight"], padding=1)
            inner = functional.prelu(normed(w, f"{at}.bn2", inner), w[f"{at}.prelu.weight"])
            inner = normed(w, f"{at}.bn3", functional.conv2d(inner, w[f"{at}.conv2.weight"], None, stride, 1))
            if block == 0:
                x = normed(w, f"{at}.downsample.1", functional.conv2d(x, w[f"{at}.downsample.0.weight"], None, 2))
            x = inner + x
    x = normed(w, "features", functional.linear(normed(w, "bn2", x).flatten(1), w["fc.weight"], w["fc.bias"]))
    x = x / x.norm(dim=1, keepdim=True)
    for index in range(4):
        at = f"regressor.network.{index}"
        x = functional.leaky_relu(functional.linear(x, w[f"{at}.weight"], w[f"{at}.bias"]), 0.2)
    return functional.linear(x, w["regressor.output.weight"], w["regressor.output.bias"])


def deca_by_hand(w: State, crops: Tensor) -> Tensor:
    """The coefficients, likewise."""
    w = {name: tensor.float() for name, tensor in w.items()}
    x = normed(w, "encoder.bn1", functional.conv2d(crops, w["encoder.conv1.weight"], None, 2, 3)).relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            at, stride = f"encoder.layer{layer}.{block}", 2 if block == 0 and layer > 1 else 1
            inner = normed(w, f"{at}.bn1", functional.conv2d(x, w[f"{at}.conv1.weight"])).relu()
            inner = normed(w, f"{at}.bn2", functional.conv2d(inner, w[f"{at}.conv2.weight"], None, stride, 1)).relu()
            inner = normed(w, f"{at}.bn3", functional.conv2d(inner, w[f"{at}.conv3.weight"]))
            if block == 0:
                x = functional.conv2d(x, w[f"{at}.downsample.0.weight"], None, stride)
                x = normed(w, f"{at}.downsample.1", x)
            x = (inner + x).relu()
    x = functional.avg_pool2d(x, 7).flatten(1)
    x = functional.linear(x, w["layers.0.weight"], w["layers.0.bias"]).relu()
    return functional.linear(x, w["layers.2.weight"], w["layers.2.bias"])


def smirk_by_hand(w: State, crops: Tensor, kind: str, last: str) -> Tensor:
    """One encoder's numbers, likewise."""
    w = {name.removeprefix("encoder."): tensor.float() for name, tensor in w.items()}
    first, stages, _ = MOBILE_NETS[kind]

    def convolved(name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        if w[f"{name}.weight"].shape[2] == 3:
            x = functional.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        return functional.conv2d(x, w[f"{name}.weight"], None, stride, groups=groups)

    x = normed(w, "bn1", convolved("conv_stem", crops, 2), 1e-3).relu()
    inner = normed(w, "blocks.0.0.bn1", convolved("blocks.0.0.conv_dw", x, first, 16), 1e-3).relu()
    inner = normed(w, "blocks.0.0.bn2", convolved("blocks.0.0.conv_pw", inner), 1e-3)
    x = inner + x if first == 1 else inner
    for stage, blocks in enumerate(stages, 1):
        for block, (_, inside, stride) in enumerate(blocks):
            at = f"blocks.{stage}.{block}"
            inner = normed(w, f"{at}.bn1", convolved(f"{at}.conv_pw", x), 1e-3).relu()
            inner = normed(w, f"{at}.bn2", convolved(f"{at}.conv_dw", inner, stride, inside), 1e-3).relu()
            inner = normed(w, f"{at}.bn3", convolved(f"{at}.conv_pwl", inner), 1e-3)
            x = inner + x if inner.shape == x.shape else inner
    end = f"blocks.{len(stages) + 1}.0"
    x = normed(w, f"{end}.bn1", convolved(f"{end}.conv", x), 1e-3).relu().mean((2, 3))
    return functional.linear(x, w[f"{last}.0.weight"], w[f"{last}.0.bias"])
