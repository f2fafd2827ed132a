"""The Khronos glTF validator has nothing to say about our files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.readers


def test_validator_finds_nothing(node: Callable[..., dict], head_path: Path) -> None:
    issues = node("validate.mjs", head_path)["issues"]
    assert not issues["messages"], issues["messages"][:5]
