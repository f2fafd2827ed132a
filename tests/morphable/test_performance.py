"""Performances, their files, and Live Link Face's angles."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from morphable import ARKIT_NAMES, Performance
from morphable.live_link import COLUMNS, SHAPES, from_angles, gaze_of, gaze_weights, to_angles

HEADER = ",".join(("Timecode", "BlendShapeCount", *COLUMNS))


@pytest.fixture
def performance() -> Performance:
    random = np.random.default_rng(0)
    frames = 40
    return Performance.of(
        np.arange(frames) / 30,
        random.random((frames, 52)),
        head=random.normal(0, 0.3, (frames, 3)),
        translation=random.normal(0, 0.01, (frames, 3)),
        gaze=random.normal(0, 0.2, (frames, 2, 3)),
        confidence=random.random(frames),
        provenance={"from": "ä.mp4", "nested": {"": [None, 1 / 3]}},
    )


def same(one: Performance, other: Performance) -> bool:
    pairs = ((getattr(one, each.name), getattr(other, each.name)) for each in fields(Performance))
    return all(np.array_equal(a, b) and a.dtype == b.dtype if isinstance(a, np.ndarray) else a == b for a, b in pairs)


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_json_and_npz_give_back_every_bit(performance: Performance, suffix: str, tmp_path) -> None:
    performance.save(tmp_path / f"clip.{suffix}")
    assert same(Performance.load(tmp_path / f"clip.{suffix}"), performance)


def test_csv_gives_back_times_shapes_and_rotations(performance: Performance, tmp_path) -> None:
    performance.save(tmp_path / "clip.csv")
    back = Performance.load(tmp_path / "clip.csv")
    assert np.array_equal(back.times, performance.times)
    assert np.array_equal(back.weights, performance.weights)
    assert np.allclose(back.head, performance.head, atol=1e-6)
    assert np.allclose(back.gaze, performance.gaze, atol=1e-6)
    back.save(tmp_path / "again.csv")
    assert same(replace(Performance.load(tmp_path / "again.csv"), head=back.head, gaze=back.gaze), back)


@pytest.mark.parametrize("rate", [1, 2, 10, 12, 15, 24, 25, 29.97, 30, 50, 59.94, 60, 120])
@pytest.mark.parametrize("frames", [1, 2, 7, 200])
def test_csv_keeps_any_frame_rate(rate: float, frames: int, tmp_path) -> None:
    times = np.arange(frames) / rate
    Performance.of(times, np.zeros((frames, 52))).save(tmp_path / "clip.csv")
    assert np.allclose(Performance.load(tmp_path / "clip.csv").times, times, atol=1 / 60_000)


def test_csv_is_the_files_of_the_app(tmp_path) -> None:
    weights = np.zeros((1, 52))
    weights[0, ARKIT_NAMES.index("jawOpen")] = 0.25
    head = from_angles(np.array([[0.1, -0.2, 0.3]]))
    Performance.of(np.zeros(1), weights, head=head).save(tmp_path / "clip.csv")
    header, row = (tmp_path / "clip.csv").read_text().splitlines()
    assert header == HEADER
    assert header.startswith("Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft")
    assert header.endswith(
        "TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,"
        "RightEyePitch,RightEyeRoll"
    )
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert cells["Timecode"] == "00:00:00:00.000"
    assert cells["BlendShapeCount"] == "61"
    assert cells["JawOpen"] == "0.2500000000"
    angles = [float(cells[name]) for name in ("HeadYaw", "HeadPitch", "HeadRoll")]
    assert np.allclose(angles, [0.1, -0.2, 0.3], atol=1e-7)


def lines(*timecodes: str, columns: str = HEADER, values: str = ",0.5" * 61) -> str:
    return "\n".join([columns, *(f"{timecode},61{values}" for timecode in timecodes)]) + "\n"


def read(tmp_path, contents: str | bytes) -> Performance:
    path = tmp_path / "take.csv"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return Performance.load(path)


def test_recordings_of_the_app_are_read(tmp_path) -> None:
    """Byte-order mark, CRLF, time of day in sixtieths, another spelling of a column, a dropped frame, midnight."""
    text = lines("23:59:59:56.429", "23:59:59:58.429", "00:00:00:00.430", "00:00:00:04.430", "00:00:00:06.430")
    text = text.replace("BlendShapeCount", "BlendshapeCount").replace("\n", "\r\n")
    take = read(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert np.allclose(take.times, np.array([0, 2, 4.001, 8.001, 10.001]) / 60)
    assert take.provenance == {"timecode": "23:59:59:56.429", "timecode_rate": 60}
    assert np.all(take.weights == 0.5)
    take.save(tmp_path / "copy.csv")
    assert [line.split(",")[0] for line in (tmp_path / "copy.csv").read_text().splitlines()[1:]] == [
        line.split(",")[0] for line in text.splitlines()[1:]
    ]


def test_a_second_has_the_frames_that_make_it_even(tmp_path) -> None:
    take = read(tmp_path, lines(*(f"10:00:{frame // 30:02d}:{frame % 30:02d}" for frame in range(70))))
    assert np.allclose(take.times, np.arange(70) / 30)


def test_missing_columns_and_cut_off_rows(tmp_path) -> None:
    columns = "timecode,blendshapecount,jawopen,eyelookoutleft,eyelookinright"
    take = read(tmp_path, lines("00:00:00:00.000", "00:00:00:01.000", columns=columns, values=",0.1,1,1")[:-3])
    assert len(take) == 1
    assert take.weights[0, ARKIT_NAMES.index("jawOpen")] == np.float32(0.1)
    assert np.allclose(take.head, 0)
    assert np.allclose(take.gaze, [[[0, np.radians(30), 0]] * 2], atol=1e-6)


def test_repeated_timecodes_are_dropped(tmp_path) -> None:
    take = read(tmp_path, lines("00:00:00:00", "00:00:00:00", "00:00:00:02", "00:00:00:01", "00:00:00:04"))
    assert np.allclose(take.times, np.array([0, 2, 4]) / 60)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "does not name Live Link Face's columns"),
        ("a,b\n1,2\n", "does not name Live Link Face's columns"),
        (lines("00:00:00:00", "x", "00:00:00:02"), "line 3 is not a timecode and 62 numbers"),
        (lines("nonsense"), "line 2 is not a timecode"),
        (lines("00:00:00:00", values=",zero" * 61), "line 2"),
        (lines("00:00:00:00", values=",nan" * 61), "finite numbers"),
        (lines("00:00:00:00", values=",1e999" * 61), "finite numbers"),
        (lines("00:00:00:500"), "beyond 120 frames a second"),
        (b"\xff\xfe\x00", "take.csv holds no performance"),
        (HEADER + "\n" + '"' + "x" * 200_000, "line"),
        (HEADER + "\n\0,", "line 2"),
    ],
)
def test_bad_csv_is_one_clear_sentence(tmp_path, contents: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, contents)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "json", "npz"])
def test_an_empty_performance_is_one(suffix: str, tmp_path) -> None:
    Performance.of(np.zeros(0), np.zeros((0, 52))).save(tmp_path / f"none.{suffix}")
    assert len(Performance.load(tmp_path / f"none.{suffix}")) == 0


def test_json_may_be_written_by_hand(tmp_path) -> None:
    text = '{"times": [0, 1], "shapes": ["jawOpen", "eyeBlinkLeft"], "weights": [[0, 1], [1, 0]]}'
    (tmp_path / "hand.json").write_text(text)
    clip = Performance.load(tmp_path / "hand.json")
    assert clip.weights[:, ARKIT_NAMES.index("jawOpen")].tolist() == [0, 1]
    assert clip.weights[:, ARKIT_NAMES.index("eyeBlinkLeft")].tolist() == [1, 0]
    assert clip.weights.sum() == 2
    assert clip.confidence.tolist() == [1, 1]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"times": [0], "weights": [[0, 1]], "shapes": ["jawOpen", "smile"]},
        {"times": [0], "weights": [[0, 1]], "shapes": ["jawOpen", "jawOpen"]},
        {"times": [0], "weights": [[0, [1]]], "shapes": ["jawOpen", "jawLeft"]},
        {"times": [0, 0], "weights": [[0] * 52] * 2},
        {"times": [10**400], "weights": [[0] * 52]},
        {"times": "now", "weights": [[0] * 52]},
        {"times": [0], "weights": [[0] * 52], "head": [[1, 2]]},
        {"times": [0], "weights": [[0] * 52], "shapes": 7},
        {"times": [0], "weights": [[0] * 52], "provenance": 7},
    ],
)
def test_bad_json_is_one_clear_sentence(tmp_path, document) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="holds no performance that can be read"):
        Performance.load(tmp_path / "bad.json")


def test_any_flipped_bit_of_an_npz_is_survived(performance: Performance, tmp_path) -> None:
    path = tmp_path / "clip.npz"
    performance.save(path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for place in random.integers(0, len(whole), 150):
        broken = bytearray(whole)
        broken[place] ^= 1 << random.integers(8)
        path.write_bytes(broken)
        try:
            Performance.load(path)
        except ValueError as error:
            assert str(error).startswith(str(path))


def test_deeply_nested_json_is_survived(tmp_path) -> None:
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="holds no performance"):
        Performance.load(tmp_path / "deep.json")


def test_files_of_other_kinds_and_places(performance: Performance, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.csv, \.json, \.npz, not as \.bvh"):
        performance.save(tmp_path / "clip.bvh")
    with pytest.raises(ValueError, match="a file without a suffix"):
        Performance.load(tmp_path / "clip")
    with pytest.raises(FileNotFoundError, match=r"cannot write .*clip.csv: No such file"):
        performance.save(tmp_path / "nowhere" / "clip.csv")
    with pytest.raises(FileNotFoundError):
        Performance.load(tmp_path / "none.csv")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(IsADirectoryError):
        Performance.load(tmp_path / "folder.json")


def test_a_failed_write_leaves_what_was_there(performance: Performance, tmp_path) -> None:
    path = tmp_path / "clip.json"
    performance.save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        replace(performance, provenance={"bad": float("nan")}).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["clip.json"]


def test_names_are_arkits() -> None:
    assert sorted(SHAPES) == sorted(ARKIT_NAMES)
    assert len(COLUMNS) == 61


def test_angles_come_back() -> None:
    rotations = np.random.default_rng(0).normal(0, 0.6, (200, 3))
    assert np.allclose(from_angles(to_angles(rotations)), rotations, atol=1e-9)
    assert np.array_equal(to_angles(np.zeros(3)), np.zeros(3))


@pytest.mark.parametrize(
    ("angle", "moved", "towards"),
    [
        ((0.3, 0, 0), (0, 0, 1), (-1, 0, 0)),  # yaw: the nose, to the person's right
        ((0, 0.3, 0), (0, 0, 1), (0, -1, 0)),  # pitch: the nose, down
        ((0, 0, 0.3), (0, 1, 0), (1, 0, 0)),  # roll: the top of the head, to the person's left
    ],
)
def test_signs_of_the_angles(angle, moved, towards) -> None:
    from torch import as_tensor

    from morphable.skinning import rotation_matrices

    matrix = rotation_matrices(as_tensor(from_angles(np.array(angle, dtype=float)))).numpy()
    assert np.allclose(matrix @ moved, np.cos(0.3) * np.array(moved) + np.sin(0.3) * np.array(towards), atol=1e-7)


def test_eyes_that_do_not_twist_roll_as_the_app_records() -> None:
    """The app's eyes turn about x after y; in its files their roll is then yaw times pitch."""
    from scipy.spatial.transform import Rotation

    eyes = Rotation.from_euler("XYZ", [[0.1374784708, 0.0192912221, 0], [0.1374790221, -0.0437474884, 0]])
    yaw, pitch, roll = to_angles(eyes.as_rotvec()).T
    assert np.allclose(roll, [-0.0026687917, 0.0060505378], atol=1e-4)
    assert np.allclose(roll, yaw * pitch, atol=1e-4)
    assert np.all(np.sign(yaw) == [-1, 1])
    assert np.all(pitch > 0)


def test_gaze_follows_the_eye_look_shapes() -> None:
    weights = np.zeros((4, 52))
    for row, names in enumerate(["Up", "Down", ("OutLeft", "InRight"), ("InLeft", "OutRight")]):
        for name in (f"{names}Left", f"{names}Right") if isinstance(names, str) else names:
            weights[row, ARKIT_NAMES.index(f"eyeLook{name}")] = 1
    turned = np.radians(30) * np.array([[-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert np.allclose(gaze_of(weights), turned[:, None])


def test_weights_look_where_the_eyes_do() -> None:
    gaze = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2, 3)) * [1, 1, 0]
    weights = gaze_weights(gaze)
    np.testing.assert_allclose(gaze_of(weights), gaze, atol=1e-12)
    assert weights.min() >= 0
    to_the_left = gaze_weights(np.full((2, 3), [0, 0.3, 0]))
    looking = {name for name, weight in zip(ARKIT_NAMES, to_the_left, strict=True) if weight > 0}
    assert looking == {"eyeLookOutLeft", "eyeLookInRight"}
    assert gaze_weights(np.full((2, 3), 9.0)).max() == 1
