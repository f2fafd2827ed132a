"""Live: what is sent is what other readers read, and a filmed face arrives over loopback."""

import io
import socket
import struct
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import roma
import torch
from PIL import Image
from typer.testing import CliRunner

from avatars.live import live_link, osc
from avatars.live.preview import Preview
from avatars.live.sender import Sender
from face3d.cli import app
from face3d.track.live import paced
from face3d.track.pose_expression import Placed
from face3d.track.streaming import OneEuro, Steadier
from face3d.track.video import Frame
from morphable import ARKIT_NAMES, Head, MorphableModel, Performance, default_textures
from morphable.live_link import COLUMNS, to_angles


@pytest.fixture
def moment() -> Performance:
    random = np.random.default_rng(1)
    return Performance.of(
        np.array([12.5]),
        random.uniform(size=(1, 52)),
        head=np.array([[0.1, -0.3, 0.05]]),
        translation=np.array([[0.01, 0.02, 0.03]]),
        gaze=np.array([[[0.1, 0.2, 0.0], [0.1, 0.15, 0.0]]]),
    )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)
        yield listening


def test_live_link_datagram_as_its_format_says(moment: Performance) -> None:
    (data,) = live_link.encode(moment, subject="Ada")
    assert data[0] == 6
    assert data[1:5] == struct.pack(">I", 36)
    assert data[41:48] == struct.pack(">I", 3) + b"Ada"
    frame, part, rate, over = struct.unpack(">IfII", data[48:64])
    assert (frame + part) * over / rate == pytest.approx(12.5)
    assert data[64] == 61
    values = dict(zip(COLUMNS, struct.unpack(">61f", data[65:]), strict=True))
    assert values["JawOpen"] == pytest.approx(moment.weights[0, ARKIT_NAMES.index("jawOpen")])
    yaw, pitch, roll = to_angles(moment.head[0])
    assert [values["HeadYaw"], values["HeadPitch"], values["HeadRoll"]] == pytest.approx([yaw, pitch, roll], abs=1e-6)


def test_live_link_datagram_in_another_reader(moment: Performance) -> None:
    reader = pytest.importorskip("pylivelinkface")
    seen, face = reader.PyLiveLinkFace.decode(live_link.encode(moment, subject="Ada")[0])
    assert seen and face.name == "Ada"
    shapes = reader.FaceBlendShape
    assert face.get_blendshape(shapes.JawOpen) == pytest.approx(moment.weights[0, ARKIT_NAMES.index("jawOpen")])
    assert face.get_blendshape(shapes.RightEyeYaw) == pytest.approx(float(to_angles(moment.gaze[0, 1])[0]), abs=1e-6)


@pytest.mark.parametrize("protocol", ["osc", "vmc"])
def test_osc_in_another_reader(protocol: str, moment: Performance, listener: socket.socket) -> None:
    packets = pytest.importorskip("pythonosc.osc_packet")
    with Sender(f"{protocol}://127.0.0.1:{listener.getsockname()[1]}") as sender:
        sender.send(moment)
        datagrams = [listener.recv(4096) for _ in sender.encode(moment)]
    messages = [timed.message for data in datagrams for timed in packets.OscPacket(data).messages]
    if protocol == "osc":
        found = {each.address.removeprefix("/face3d/"): each.params for each in messages}
        assert found["head"] == pytest.approx(moment.head[0].tolist())
        weights = {name: found[name][0] for name in ARKIT_NAMES}
    else:
        values = [each.params for each in messages if each.address == "/VMC/Ext/Blend/Val"]
        weights = {name[0].lower() + name[1:]: weight for name, weight in values}
        assert messages[-1].address == "/VMC/Ext/Blend/Apply"
    assert list(weights.values()) == pytest.approx(moment.weights[0].tolist())
    assert tuple(weights) == ARKIT_NAMES


def test_osc_message_is_aligned() -> None:
    assert osc.message("/a", 1, 0.5, "hey") == b"/a\0\0,ifs\0\0\0\0\0\0\0\1?\0\0\0hey\0"


@pytest.mark.parametrize("address", ["127.0.0.1:9000", "http://127.0.0.1", "osc://", "osc://host:port", "osc://a:1/b"])
def test_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        Sender(address)


def test_one_euro_filter_is_steady_at_rest_and_follows_a_step() -> None:
    random = np.random.default_rng(0)
    rest = OneEuro(1.0, 10.0)
    still = np.array([rest(np.array([0.01 * random.normal()]), 0.04)[0] for _ in range(200)])
    assert still[50:].std() < 0.006
    step = OneEuro(1.0, 10.0)
    moved = [step(np.array([float(index >= 10)]), 0.04)[0] for index in range(16)]
    assert moved[9] == 0 and moved[12] > 0.9


def test_filtered_rotation_stays_a_rotation_and_comes_to_rest_where_the_head_does() -> None:
    steadier = Steadier()
    angles = np.minimum(np.arange(60) * 0.05, 1.0)
    for angle in angles:
        turned = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        place = steadier(Placed(np.zeros(52), turned, np.zeros(3)), 0.04)
    np.testing.assert_allclose(place.rotation @ place.rotation.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(place.rotation, turned, atol=0.01)


def standing(count: int, random: np.random.Generator, speed: float = 0.0, start: int = 0) -> list[Placed]:
    """Places with noise of 0.4 degrees and 2 mm of depth; from `start` on the head turns by so much a second."""
    places = []
    for index in range(count):
        angle = speed * max(0, index - start) / 25
        turned = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        noise = roma.rotvec_to_rotmat(torch.as_tensor(random.normal(0, 0.004, 3))).numpy()
        places.append(Placed(np.zeros(52), noise @ turned, random.normal(0, [0.0004, 0.0004, 0.002])))
    return places


def test_standing_head_is_averaged() -> None:
    steadier = Steadier()
    steady = [steadier(place, 0.04) for place in standing(150, np.random.default_rng(0))][75:]
    turns = roma.rotmat_to_rotvec(torch.as_tensor(np.stack([place.rotation for place in steady]))).numpy()
    places = np.stack([place.translation for place in steady])
    assert np.degrees(np.linalg.norm(turns - turns.mean(0), axis=1)).mean() < 0.05
    assert 1000 * np.linalg.norm(places - places.mean(0), axis=1).mean() < 0.2


@pytest.mark.parametrize("speed", [0.05, 0.3, 1.5])
def test_head_that_begins_to_turn_is_not_held_back(speed: float) -> None:
    steadier, start = Steadier(), 100
    places = standing(150, np.random.default_rng(1), speed, start)
    steady = np.stack([steadier(place, 0.04).rotation for place in places])
    true = speed * np.maximum(0, np.arange(150) - start) / 25
    late = true - np.arctan2(steady[:, 0, 2], steady[:, 0, 0])
    assert np.degrees(np.abs(late[start:])).max() < 1.0 + np.degrees(0.06 * speed)


def test_files_are_played_at_their_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    frames = [Frame(index * 0.1, np.zeros((1, 1, 3), np.uint8)) for index in range(20)]
    shown = []
    for frame in paced(frames):
        shown.append(round(frame.time, 1))
        clock[0] += {0.2: 0.34, 1.0: 5.0}.get(shown[-1], 0.0)  # slow work, then a long pause
    assert shown[:5] == [0.0, 0.1, 0.2, 0.5, 0.6]
    assert shown[-9:] == [1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--send", "nowhere"], "is no address"),
        (["--send", "osc://127.0.0.1:9", "--camera", "no such camera"], "no camera"),
        (["--send", "osc://127.0.0.1:9", "--camera", "0", "--video", "a.mp4"], "one of them"),
        (["--send", "osc://127.0.0.1:9", "--video", "missing.mp4"], "no video at"),
        (["--video", "a.mp4"], "Nobody would see it"),
    ],
)
def test_live_says_what_was_wrong(options: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["live", *options])
    assert result.exit_code == 1
    assert said in result.output and "Traceback" not in result.output


@pytest.fixture
def page(model: MorphableModel) -> Iterator[Preview]:
    textures = default_textures(model, resolution=64)
    with Preview(Head.from_model(model, torch.zeros(model.identities), textures)) as preview:
        yield preview


def streamed(response: HTTPResponse) -> np.ndarray:
    """The next picture of a page's stream."""
    lines = [response.readline().strip() for _ in range(4)]
    assert lines[:2] == [b"--frame", b"Content-Type: image/jpeg"]
    picture = response.read(int(lines[2].removeprefix(b"Content-Length: ")))
    response.readline()
    return np.asarray(Image.open(io.BytesIO(picture)), dtype=int)


def test_preview_shows_the_camera_and_a_head_that_moves(page: Preview) -> None:
    with urlopen(page.address, timeout=10) as response:
        assert b'src="/stream"' in response.read()
    seen = np.zeros((90, 160, 3), np.uint8)
    seen[:, :80, 0], seen[:, 80:, 2] = 200, 200
    weights = np.zeros((1, 52))
    page.show(Performance.of(np.zeros(1), weights), seen)
    with urlopen(f"{page.address}/stream", timeout=10) as response:
        first = streamed(response)
        assert first.shape == (360, 640 + 360, 3)
        assert first[:, 20:300, 0].min() > 150 and first[:, 340:620, 2].min() > 150
        weights[0, ARKIT_NAMES.index("jawOpen")] = 1
        page.show(Performance.of(np.ones(1), weights), seen)
        moved = np.abs(streamed(response) - first).max(2)
    assert moved[:, :630].max() < 10
    assert moved[220:, 640:].mean() > 4 * moved[:140, 640:].mean() and moved[:, 640:].max() > 60


def test_preview_answers_to_this_computer_alone(page: Preview) -> None:
    for path, host, status in (("/nothing", "localhost", 404), ("/", "evil.example", 403), ("/stream", "", 403)):
        with pytest.raises(HTTPError) as told:
            urlopen(Request(page.address + path, headers={"Host": host}), timeout=10)
        assert told.value.code == status
    with pytest.raises(ValueError, match="cannot be had for the preview"):
        Preview(page._performer.head, int(page.address.rsplit(":", 1)[1]))


def test_a_preview_that_has_ended_lets_its_viewers_go(model: MorphableModel) -> None:
    head = Head.from_model(model, torch.zeros(model.identities), default_textures(model, resolution=64))
    with Preview(head) as page:
        viewer = urlopen(f"{page.address}/stream", timeout=10)
    assert viewer.read() == b""
