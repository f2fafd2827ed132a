"""Files that appear whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`; the files written into it move beside `path` when the block succeeds.

    The file named as `path` moves last, so where it lies, the files that it refers to lie as well. When the block
    fails, whatever was there before stays as it was.

    Raises:
        OSError: the folder of `path` is missing or not writable, or `path` is a folder.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=path.parent) as folder:
            yield Path(folder)
            for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name):
                file.replace(path.parent / file.name)
    except OSError as error:
        raise type(error)(f"cannot write {path}: {error.strerror or error}") from error
