"""Writing files so that a failure leaves nothing half-written."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from face3d.errors import Face3DError


def require_writable_directory(directory: str | Path) -> None:
    """Raise Face3DError unless files can be written to the directory, which need not exist yet. Leaves nothing."""
    directory = Path(directory)
    existing = next(path for path in (directory, *directory.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise Face3DError(f"{existing} is not a directory; choose another output folder.")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise Face3DError(
            f"Nothing can be written to {existing} ({error.strerror}); choose another output folder."
        ) from error


@contextmanager
def atomic_directory(directory: str | Path) -> Iterator[Path]:
    """A fresh folder to write files into; they move to the directory together when the block ends.

    The directory is made if need be; files of the same names in it are replaced, others stay. If the block raises,
    the directory is as it was.
    """
    directory = Path(directory)
    require_writable_directory(directory)
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".face3d-") as name:
            yield Path(name)
            _move_files(Path(name), directory)
    except BaseException:
        if made:
            shutil.rmtree(made[-1], ignore_errors=True)
        raise


def _move_files(source: Path, target: Path) -> None:
    files = sorted(source.iterdir())
    for file in files:
        if (target / file.name).is_dir():
            raise Face3DError(f"{target / file.name} is a directory; move it out of the way.")
    for file in files:
        file.replace(target / file.name)
