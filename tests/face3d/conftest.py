"""What the tests of the front door share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def read_only_directory(tmp_path: Path) -> Iterator[Path]:
    """A folder to which not even root can write."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        if not Path("/proc").is_dir():
            pytest.skip("root may write everywhere here")
        yield Path("/proc")
        return
    directory = tmp_path / "read only"
    directory.mkdir(mode=0o500)
    yield directory
    directory.chmod(0o700)
