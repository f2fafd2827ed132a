"""Importing MediaPipe on a bare machine, and keeping it quiet.

MediaPipe's library names libEGL and libGLESv2 among its needs, and its drawing helpers import Matplotlib, and OpenCV,
whose wheel needs libGL and X11. Finding faces on the CPU uses none of them and a server has none of them: libraries
that are absent are stood in for, and the helpers' imports wait until somebody draws.
"""

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import ModuleType

from face3d.perception.absent_libraries import stand_in_for_absent_libraries

_stderr_lock = RLock()


def import_mediapipe() -> ModuleType:
    """The `mediapipe` module."""
    if "mediapipe" not in sys.modules:
        if sys.platform == "linux":
            stand_in_for_absent_libraries(("libEGL.so.1", "libGLESv2.so.2"), wanted_by=_mediapipe_library())
        with _imported_on_first_use("cv2", "matplotlib.pyplot"):
            return importlib.import_module("mediapipe")
    return sys.modules["mediapipe"]


@contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Keep what native code logs to file descriptor 2 from the terminal; Python's exceptions pass as ever."""
    with _stderr_lock, tempfile.TemporaryFile() as log:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


@contextmanager
def _imported_on_first_use(*names: str) -> Iterator[None]:
    """Modules imported within get stand-ins for these names, which import the real ones when first used."""
    stand_ins = {name: _LateModule(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _LateModule(ModuleType):
    def __getattr__(self, attribute: str) -> object:
        return getattr(importlib.import_module(self.__name__), attribute)


def _mediapipe_library() -> Path:
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'mediapipe'", name="mediapipe")
    return Path(spec.submodule_search_locations[0]) / "tasks" / "c" / "libmediapipe.so"
