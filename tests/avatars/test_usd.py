"""Heads and performances as USD, read back and played by USD itself."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.export import usd
from morphable import ARKIT_NAMES, Head, Performance
from morphable.playing import joint_motion

Usd = pytest.importorskip("pxr.Usd")
from pxr import UsdGeom, UsdShade, UsdSkel, UsdValidation  # noqa: E402


@pytest.fixture
def clip() -> Performance:
    random = np.random.default_rng(0)
    return Performance.of(
        2 + np.array([0, 0.04, 0.08, 0.12, 0.2]),
        random.random((5, 52)),
        head=random.normal(0, 0.4, (5, 3)),
        translation=random.normal(0, 0.05, (5, 3)),
    )


def problems(path: Path) -> list[str]:
    """What usdchecker, which is this, says of a file."""
    registry = UsdValidation.ValidationRegistry()
    context = UsdValidation.ValidationContext(registry.GetOrLoadAllValidators())
    return [f"{each.GetName()}: {each.GetMessage()}" for each in context.Validate(Usd.Stage.Open(str(path)))]


@pytest.mark.parametrize("suffix", ["usda", "usdc", "usdz"])
@pytest.mark.parametrize("moving", [False, True])
def test_the_checker_finds_nothing(head: Head, clip: Performance, suffix: str, moving: bool, tmp_path) -> None:
    path = tmp_path / f"my head.{suffix}"
    usd.save(head, path, clip if moving else None)
    assert problems(path) == []
    textures = set() if suffix == "usdz" else {f"my_head_{name}.jpg" for name in ("head", "eyes", "teeth", "tongue")}
    beside = {file.name for file in tmp_path.iterdir()}
    assert beside == {path.name} | textures | (set() if suffix == "usdz" else {"my_head_lashes.png"})


def test_the_checker_finds_something_elsewhere(tmp_path) -> None:
    (tmp_path / "bad.usda").write_text('#usda 1.0\ndef Mesh "Head" {}\n')
    assert problems(tmp_path / "bad.usda")


def test_usd_plays_what_the_head_does(head: Head, model, clip: Performance, tmp_path) -> None:
    """USD bakes its own skinning and blend shapes into points."""
    model.skinning_weights = torch.from_numpy(model.skinning_weights)
    usd.save(head, tmp_path / "talk.usdc", clip)
    stage = Usd.Stage.Open(str(tmp_path / "talk.usdc"))
    assert stage.GetTimeCodesPerSecond() == 25
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, pytest.approx(5))
    root = UsdSkel.Root(stage.GetDefaultPrim())
    assert UsdSkel.BakeSkinning(root)
    motion = joint_motion(head, clip)
    extent = np.array(root.GetExtentAttr().Get())
    for time, weights, pose, move in zip(clip.times, clip.weights, motion.rotations, motion.translations, strict=True):
        posed = head.posed(head.layout, weights, pose).numpy() + move
        assert np.all((posed > extent[0]) & (posed < extent[1]))
        for name, part in head.layout.parts.items():
            points = UsdGeom.Mesh.Get(stage, f"/Head/{name}").GetPointsAttr().Get(float((time - 2) * 25))
            assert np.allclose(np.array(points), posed[part.vertices], atol=2e-6)


def test_shapes_and_textures_have_their_names(head: Head, tmp_path) -> None:
    usd.save(head, tmp_path / "head.usda")
    stage = Usd.Stage.Open(str(tmp_path / "head.usda"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    skin = stage.GetPrimAtPath("/Head/head")
    moved = [
        name
        for name, offsets in zip(ARKIT_NAMES, head.expressions, strict=True)
        if np.any(offsets[head.layout.parts["head"].vertices])
    ]
    assert list(UsdSkel.BindingAPI(skin).GetBlendShapesAttr().Get()) == moved
    material, _ = UsdShade.MaterialBindingAPI(skin).ComputeBoundMaterial()
    image = UsdShade.Shader.Get(stage, material.GetPath().AppendChild("Image"))
    assert Path(image.GetInput("file").Get().resolvedPath).read_bytes() == head.textures["head"].encoded
    skeleton = UsdSkel.Skeleton.Get(stage, "/Head/Skeleton")
    places = [matrix.ExtractTranslation() for matrix in skeleton.GetBindTransformsAttr().Get()]
    assert np.allclose(places, head.joints)


def test_texture_coordinates_point_up(head: Head, tmp_path) -> None:
    usd.save(head, tmp_path / "head.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "head.usdc"))
    st = UsdGeom.PrimvarsAPI(stage.GetPrimAtPath("/Head/head")).GetPrimvar("st")
    corners = np.array(st.ComputeFlattened())
    expected = head.layout.uv[head.layout.uv_triangles[head.layout.parts["head"].triangles]].reshape(-1, 2)
    assert np.allclose(corners, expected * [1, -1] + [0, 1], atol=1e-6)


def test_a_package_holds_its_textures(head: Head, tmp_path) -> None:
    usd.save(head, tmp_path / "head.usdz")
    with zipfile.ZipFile(tmp_path / "head.usdz") as package:
        names = package.namelist()
        pictures = {package.read(name) for name in names if name.endswith((".jpg", ".png"))}
    assert names[0].endswith(".usdc")
    assert pictures == {texture.encoded for texture in head.textures.values()}


def test_a_head_without_textures_is_grey(head: Head, tmp_path) -> None:
    usd.save(replace(head, textures={}), tmp_path / "head.usda")
    assert problems(tmp_path / "head.usda") == []


def test_what_cannot_be_written_is_one_clear_sentence(head: Head, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="without frames"):
        usd.save(head, tmp_path / "talk.usda", Performance.of(np.zeros(0), np.zeros((0, 52))))
    with pytest.raises(FileNotFoundError, match=r"cannot write .*x.usda: No such file"):
        usd.save(head, tmp_path / "missing" / "x.usda")
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    with pytest.raises(ValueError, match=r"pip install 'face3d\[usd\]'"):
        usd.save(head, tmp_path / "x.usdz")
    assert not list(tmp_path.iterdir())
