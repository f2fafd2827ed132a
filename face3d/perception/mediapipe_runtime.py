"""Importing MediaPipe quietly."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from types import ModuleType

_redirection = RLock()


def import_mediapipe() -> ModuleType:
    import mediapipe

    return mediapipe


@contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Keep what native code logs to file descriptor 2 from the terminal; Python's exceptions pass as ever."""
    with _redirection, tempfile.TemporaryFile() as log:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
