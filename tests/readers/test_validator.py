"""The Khronos glTF validator has nothing to say about our files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from morphable import Head

pytestmark = pytest.mark.readers


@pytest.mark.parametrize("spread", [0, 1, -1, 3])
def test_validator_finds_nothing(
    node: Callable[..., dict], make_head: Callable[[float], Head], spread: float, tmp_path: Path
) -> None:
    make_head(spread).save(tmp_path / "head.glb")
    issues = node("validate.mjs", tmp_path / "head.glb")["issues"]
    assert not issues["messages"], issues["messages"][:5]
