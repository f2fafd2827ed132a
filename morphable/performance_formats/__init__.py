"""Performances as files: a module per format, each with `encode(performance)` to bytes and `decode(bytes)`.

Live Link Face's CSV is what Unreal and the iPhone app read and write; it has no place for translation, confidence and
provenance. JSON and NPZ hold everything, exactly.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from morphable.performance import Performance

FORMATS = {".csv": "live_link_csv", ".json": "json_file", ".npz": "npz_file"}
MAX_BYTES = 1 << 30
"""Hours of motion; a longer file is refused before memory is asked for."""


def save(performance: Performance, path: str | Path) -> None:
    """Writes in the format of the path's suffix; the file appears whole or not at all.

    Raises:
        ValueError: no such format, or the performance holds what it cannot.
        OSError: the file cannot be written; what was there before is left as it was.
    """
    path = Path(path)
    contents = _format(path).encode(performance)
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=path.parent) as folder:
            (Path(folder) / path.name).write_bytes(contents)
            (Path(folder) / path.name).replace(path)
    except OSError as error:
        raise type(error)(f"cannot write {path}: {error.strerror or error}") from error


def load(path: str | Path) -> Performance:
    """Reads a performance in the format of the path's suffix.

    Raises:
        ValueError: no such format, or the file is damaged or of another kind.
        OSError: the file cannot be read.
    """
    path = Path(path)
    module = _format(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file with a performance")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is too large for a performance")
    try:
        performance: Performance = module.decode(path.read_bytes())
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no performance that can be read: {error}") from error
    return performance


def _format(path: Path) -> ModuleType:
    if path.suffix.lower() not in FORMATS:
        named = path.suffix or "a file without a suffix"
        raise ValueError(f"{path}: performances are saved as {', '.join(FORMATS)}, not as {named}")
    return import_module(f"{__name__}.{FORMATS[path.suffix.lower()]}")
