"""The networks inside MediaPipe's face landmarker: one finds faces, one measures them."""

import atexit
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from face3d.errors import Face3DError
from face3d.perception.mediapipe_runtime import import_mediapipe, quiet_native_logs
from face3d.perception.task_file import face_finder_in

FIND_SCORE = 0.5
"""Least score of a face to be found. Much that is no face reaches it; the caller takes a second look."""
MEASURE_SCORE = 0.3
"""Least score of a face to be measured."""


class Networks:
    """The two MediaPipe tasks of a face landmarker bundle, loaded. `close()` frees them.

    Raises Face3DError if the bundle does not load.
    """

    def __init__(self, task_file: Path) -> None:
        finder_model = face_finder_in(task_file)
        self._mediapipe = import_mediapipe()
        loaded: list[Any] = []
        self._forgotten = weakref.finalize(self, _close_aside, loaded)
        self._forgotten.atexit = False
        _OPEN.add(self)
        try:
            loaded.append(self._load_finder(finder_model))
            loaded.append(self._load_landmarker(task_file))
        except (RuntimeError, ValueError, OSError) as error:
            raise Face3DError(
                f"MediaPipe cannot load {task_file} as a face landmarker; use Google's face_landmarker.task."
            ) from error
        self._finder, self._landmarker = loaded

    def close(self) -> None:
        """Free the networks; once is enough."""
        if alive := self._forgotten.detach():
            _close(*alive[2])

    def find(self, image: UInt8[np.ndarray, "height width 3"]) -> Iterator[tuple[Float64[np.ndarray, "4"], float]]:
        """Boxes (x0, y0, x1, y1) in the image's pixels and scores."""
        for detection in self._finder.detect(self._wrap(image)).detections:
            box = detection.bounding_box
            corners = (box.origin_x, box.origin_y, box.origin_x + box.width, box.origin_y + box.height)
            yield np.array(corners, dtype=np.float64), float(detection.categories[0].score)

    def measure(self, image: UInt8[np.ndarray, "height width 3"]) -> Any:
        """MediaPipe's FaceLandmarkerResult for the faces of the image."""
        return self._landmarker.detect(self._wrap(image))

    def _wrap(self, image: UInt8[np.ndarray, "height width 3"]) -> Any:
        return self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))

    def _load_finder(self, model: bytes) -> Any:
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceDetectorOptions(
            base_options=tasks.BaseOptions(model_asset_buffer=model), min_detection_confidence=FIND_SCORE
        )
        return tasks.vision.FaceDetector.create_from_options(options)

    def _load_landmarker(self, task_file: Path) -> Any:
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(task_file)),
            num_faces=4,
            min_face_detection_confidence=MEASURE_SCORE,
            min_face_presence_confidence=MEASURE_SCORE,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        return tasks.vision.FaceLandmarker.create_from_options(options)


_OPEN: weakref.WeakSet[Networks] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for networks in list(_OPEN):
        networks.close()


def _close_aside(tasks: Sequence[Any]) -> None:
    """Close tasks that nobody holds any more. Garbage is collected anywhere, even while a thread pool holds its lock,
    for which MediaPipe's own pool would wait for ever: another thread waits instead."""
    Thread(target=_close, args=(tasks,)).start()


def _close(tasks: Sequence[Any]) -> None:
    """Close MediaPipe tasks; harmless as late as the interpreter's exit."""
    with quiet_native_logs():
        for task in tasks:
            try:
                task.close()
            except RuntimeError:  # the interpreter is going and MediaPipe's threads are gone: nothing is left to close,
                task._handle = None  # and its own __del__ must not try again, with a traceback
