from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from avatars.export import glb
from avatars.export.gltf import BinaryReader, GLBError, read_container
from morphable import ARKIT_NAMES, JOINT_NAMES, Head, Performance, Texture


@pytest.fixture
def path(head: Head, tmp_path):
    glb.save(head, tmp_path / "head.glb")
    return tmp_path / "head.glb"


def read_json(path) -> dict:
    data = path.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])


def test_round_trip_is_exact(head: Head, path) -> None:
    back = glb.load(path)
    assert back == head
    for name in ("identity", "neutral", "expressions", "joints"):
        assert getattr(back, name).dtype == np.float32
        assert getattr(back, name).tobytes() == getattr(head, name).tobytes()
    assert back.provenance == head.provenance
    assert list(back.textures) == list(head.textures)
    assert all(np.array_equal(back.textures[name].pixels, head.textures[name].pixels) for name in head.textures)


@pytest.fixture
def uncertain(head: Head) -> Head:
    random = np.random.default_rng(1)
    return replace(
        head,
        deviation=random.random(len(head.neutral)).astype("f4") * 2e-3,
        identity_factor=random.normal(size=(len(head.identity), 7)).astype("f4"),
    )


@pytest.mark.parametrize("unknown", [(), ("deviation",), ("identity_factor",)])
def test_uncertainty_comes_back_exactly(uncertain: Head, tmp_path, unknown: tuple[str, ...]) -> None:
    given = replace(uncertain, **dict.fromkeys(unknown))
    glb.save(given, tmp_path / "uncertain.glb")
    back = glb.load(tmp_path / "uncertain.glb")
    assert back == given
    for name in {"deviation", "identity_factor"} - set(unknown):
        assert getattr(back, name).dtype == np.float32
        assert getattr(back, name).tobytes() == getattr(given, name).tobytes()


def test_heads_differ_by_their_uncertainty(head: Head, uncertain: Head) -> None:
    assert head != uncertain and uncertain != head
    assert uncertain != replace(uncertain, deviation=uncertain.deviation + 1e-4)
    assert uncertain != replace(uncertain, identity_factor=uncertain.identity_factor[:, :3])


@pytest.mark.parametrize(
    "broken",
    [
        {"rank": 6, "base64": "AAAA"},
        {"rank": -5, "base64": "AAAA"},
        {"rank": 10**9, "base64": "AAAA"},
        {"rank": 7, "base64": "?"},
        {"rank": 7, "base64": None},
        7,
    ],
)
def test_a_factor_that_does_not_fit_is_refused(uncertain: Head, tmp_path, broken) -> None:
    path = tmp_path / "uncertain.glb"
    glb.save(uncertain, path)
    document, whole = read_json(path), path.read_bytes()
    document["extras"]["face3d"]["identity_factor"] = broken
    path.write_bytes(container(document, whole[20 + struct.unpack_from("<I", whole, 12)[0] + 8 :]))
    with pytest.raises(GLBError, match="is damaged"):
        glb.load(path)


def test_a_part_without_its_deviations_is_refused(uncertain: Head, tmp_path) -> None:
    path = tmp_path / "uncertain.glb"
    glb.save(uncertain, path)
    document, whole = read_json(path), path.read_bytes()
    del document["meshes"][2]["primitives"][0]["attributes"]["_DEVIATION"]
    path.write_bytes(container(document, whole[20 + struct.unpack_from("<I", whole, 12)[0] + 8 :]))
    with pytest.raises(GLBError, match="is damaged"):
        glb.load(path)


def test_the_same_head_gives_the_same_bytes(head: Head, path, tmp_path) -> None:
    glb.save(glb.load(path), tmp_path / "again.glb")
    assert (tmp_path / "again.glb").read_bytes() == path.read_bytes()


def test_trimesh_finds_the_head_in_metres(head: Head, model, path) -> None:
    scene = trimesh.load_scene(path)
    assert set(model.parts) <= set(scene.graph.nodes_geometry)
    transform, geometry = scene.graph["head"]
    assert np.array_equal(transform, np.eye(4))
    vertices = head.neutral[model.parts["head"].vertices]
    assert np.allclose(scene.geometry[geometry].bounds, [vertices.min(axis=0), vertices.max(axis=0)])


def test_each_moving_part_has_the_52_targets(head: Head, model, path) -> None:
    meshes = {mesh["name"]: mesh for mesh in read_json(path)["meshes"]}
    assert list(meshes) == list(model.parts)
    assert "targets" not in meshes["teeth_upper"]["primitives"][0]
    for name, mesh in meshes.items():
        if np.any(head.expressions[:, model.parts[name].vertices]):
            assert mesh["extras"]["targetNames"] == list(ARKIT_NAMES)
            assert len(mesh["primitives"][0]["targets"]) == len(mesh["weights"]) == 52


def test_joints_stand_where_the_bind_matrices_say(head: Head, path) -> None:
    document = read_json(path)
    nodes, skin = document["nodes"], document["skins"][0]
    assert [nodes[joint]["name"] for joint in skin["joints"]] == [f"{name}_joint" for name in JOINT_NAMES]

    def places(node: int, origin: np.ndarray) -> dict[int, np.ndarray]:
        here = origin + nodes[node].get("translation", 0)
        children = nodes[node].get("children", [])
        return {node: here} | {key: at for child in children for key, at in places(child, here).items()}

    world = places(skin["skeleton"], np.zeros(3))
    assert np.allclose([world[joint] for joint in skin["joints"]], head.joints, atol=1e-9)


def test_missing_textures_leave_plain_materials(head: Head, tmp_path) -> None:
    head.textures.clear()
    glb.save(head, tmp_path / "plain.glb")
    assert glb.load(tmp_path / "plain.glb") == head
    assert not {"textures", "images"} & set(read_json(tmp_path / "plain.glb"))


def test_a_head_with_a_2048_skin_stays_under_10_mb(head: Head, tmp_path) -> None:
    large = replace(head, textures=head.textures | {"head": skin_like(2048), "eyes": skin_like(1024)})
    glb.save(large, tmp_path / "large.glb")
    images = sum(len(large.textures[name].encoded) for name in large.textures)
    assert images < 4e6
    assert (tmp_path / "large.glb").stat().st_size < 10e6


def skin_like(size: int) -> Texture:
    """Smooth tones under pore-scale grain and sensor noise, as a sharp photo has them."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:size, 0:size] / size
    tone = 150 + 40 * np.sin(7 * rows) * np.cos(5 * columns)
    grain = sum(
        np.kron(random.normal(size=(size // step, size // step)), np.ones((step, step))) * 4 for step in (1, 2, 8, 64)
    )
    noise = random.normal(size=(size, size, 3)) * 2
    return Texture.encode(np.clip((tone + grain)[..., None] * [1.0, 0.75, 0.62] + noise, 0, 255).astype(np.uint8))


def test_a_failed_write_leaves_what_was_there(head: Head, path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"cannot write .*head.glb: No space left on device"):
        glb.save(head, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["head.glb"]


def test_writing_to_a_missing_folder_is_one_clear_sentence(head: Head, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cannot write .*x.glb: No such file or directory"):
        glb.save(head, tmp_path / "missing" / "x.glb")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        glb.save(head, tmp_path)


def container(document: dict, binary: bytes = b"", *, version: int = 2) -> bytes:
    text = json.dumps(document).encode()
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", version, 12 + len(chunks)) + chunks


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is not a GLB file"),
        (b"glTF", "is not a GLB file"),
        (b"\x89PNG\r\n\x1a\n" * 10, "is not a GLB file"),
        (container({"asset": {}}), "has no face3d head inside"),
        (container([1]), "its JSON is not an object"),  # type: ignore[arg-type]
        (container({"asset": {}}, version=1), "is glTF 1; only glTF 2 can be read"),
        (container({"extras": {"face3d": {"format": 99}}}), "was written by a later face3d"),
        (container({"extras": {"face3d": {"format": 1}}}), "is damaged"),
        (container({"extras": {"face3d": []}}), "is damaged"),
        (container({"asset": {}})[:-9], "is truncated"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4000, b"JSON") + b"{}  ", "a chunk ends too early"),
        (struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"{]  ", "its JSON cannot be read"),
        (struct.pack("<4sIII4s", b"glTF", 2, 20 + 100_000, 100_000, b"JSON") + b"[" * 100_000, "cannot be read"),
    ],
)
def test_bad_files_are_one_clear_sentence(tmp_path, contents: bytes, message: str) -> None:
    (tmp_path / "bad.glb").write_bytes(contents)
    with pytest.raises(GLBError, match=message) as caught:
        glb.load(tmp_path / "bad.glb")
    assert str(caught.value).startswith(str(tmp_path / "bad.glb"))


@pytest.mark.parametrize("huge", [-1, 10**7, 10**15, 10**400, 1e30, "many", None])
def test_files_that_lie_about_sizes_are_refused(path, huge) -> None:
    whole = path.read_bytes()
    document = read_json(path)
    binary = whole[20 + struct.unpack_from("<I", whole, 12)[0] + 8 :]
    target = document["meshes"][0]["primitives"][0]["targets"][0]["POSITION"]
    sparse = next(accessor["sparse"] for accessor in document["accessors"] if "sparse" in accessor)
    holders = [
        (document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]], "count"),
        (document["accessors"][target], "count"),
        (document["bufferViews"][document["images"][0]["bufferView"]], "byteLength"),
        (document["bufferViews"][0], "byteOffset"),
        (sparse, "count"),
        (document["meshes"][-1]["extras"]["vertices"], 1),
    ]
    for holder, key in holders:
        honest, holder[key] = holder[key], huge
        path.write_bytes(container(document, binary))
        with pytest.raises(GLBError, match="is damaged"):
            glb.load(path)
        holder[key] = honest


def test_a_part_without_its_vertices_is_refused(path) -> None:
    whole = path.read_bytes()
    document = read_json(path)
    document["accessors"][document["meshes"][3]["primitives"][0]["attributes"]["POSITION"]]["count"] = 1
    path.write_bytes(container(document, whole[20 + struct.unpack_from("<I", whole, 12)[0] + 8 :]))
    with pytest.raises(GLBError, match="a part has fewer vertices than it says"):
        glb.load(path)


def test_any_flipped_bit_is_survived(path) -> None:
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(12, 20_000, 200):
        broken = bytearray(whole)
        broken[place] ^= 1 << random.integers(8)
        path.write_bytes(broken)
        try:
            glb.load(path)
        except GLBError as error:
            assert str(path) in str(error)


def test_a_performance_is_an_animation_beside_the_same_head(head: Head, tmp_path) -> None:
    random = np.random.default_rng(0)
    clip = Performance.of(3 + np.arange(4) / 30, random.random((4, 52)), head=random.normal(0, 0.4, (4, 3)))
    glb.save(head, tmp_path / "talk.glb", clip)
    assert glb.load(tmp_path / "talk.glb") == head
    document, binary = read_container(tmp_path / "talk.glb")
    reader = BinaryReader(document, binary)
    (animation,) = document["animations"]
    curves = {}
    for channel in animation["channels"]:
        sampler, node = animation["samplers"][channel["sampler"]], document["nodes"][channel["target"]["node"]]
        assert np.allclose(reader.floats(sampler["input"], 1)[:, 0], np.arange(4) / 30, atol=1e-6)
        curves[node["name"], channel["target"]["path"]] = sampler["output"]
    morphed = {mesh["name"] for mesh in document["meshes"] if "weights" in mesh}
    assert {name for name, path in curves if path == "weights"} == morphed
    assert np.array_equal(reader.floats(curves["head", "weights"], 1), clip.weights.reshape(-1, 1))
    assert set(curves) == {(name, "weights") for name in morphed} | {
        ("neck_joint", "translation"),
        ("neck_joint", "rotation"),
        ("head_joint", "rotation"),
    }
    neck, skull = (
        Rotation.from_quat(reader.floats(curves[f"{name}_joint", "rotation"], 4)) for name in ("neck", "head")
    )
    assert np.allclose((neck * skull).as_rotvec(), clip.head, atol=1e-6)


@pytest.mark.parametrize(("times", "message"), [([], "without frames"), ([0, 1e9, 1e9 + 1], "closer to each other")])
def test_what_gltf_cannot_play_is_one_clear_sentence(head: Head, times, message: str, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        glb.save(head, tmp_path / "talk.glb", Performance.of(np.array(times), np.zeros((len(times), 52))))
    assert not list(tmp_path.iterdir())
