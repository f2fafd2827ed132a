"""Binary glTF 2.0: the asset that engines open and the project's own file at once.

Everything of a `Head` is in the asset that the engine reads: the neutral mesh and the expressions are the vertices and
morph targets, the joints lie in the inverse bind matrices, the textures are the embedded images. Only what glTF has no
word for rides in `extras`: the model's name, identity coefficients, provenance, and which of the model's vertices a
part holds. So `load` gives back exactly what `save` was given.

The JSON is written and read plainly, as no glTF library at hand keeps empty values in `extras` or is made for files
that lie.
"""

from __future__ import annotations

import copy
import json
import os
import struct
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

import morphable
from avatars.export.staging import staging
from avatars.export.surface import TEXTURES, split_seams, vertex_normals
from morphable import ARKIT_NAMES, Head, MorphableModel
from morphable.texture import Texture

FORMAT = 1
"""The layout of `extras` that this module writes; `load` refuses later ones."""

JOINTS = ("neck", "head", "eye_left", "eye_right")
PARENTS = {"head": "neck", "eye_left": "head", "eye_right": "head"}

MATERIALS: dict[str, dict[str, Any]] = {
    "head": {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.5}},
    "eyes": {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.08}},
    "teeth": {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.25}},
    "tongue": {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.4}},
    "lashes": {
        "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.9},
        "alphaMode": "BLEND",
        "doubleSided": True,
    },
}

# glTF's enumerations
FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5121, 5123, 5125
DTYPES = {
    FLOAT: np.dtype("<f4"),
    UNSIGNED_BYTE: np.dtype("u1"),
    UNSIGNED_SHORT: np.dtype("<u2"),
    UNSIGNED_INT: np.dtype("<u4"),
}
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR = 9729, 9987

# No head comes near these; a file that claims more is refused before memory is asked for.
MAX_BYTES = 1 << 29
MAX_VERTICES = 1_000_000

NORMAL_STEP = 1e-3
"""A morph target leaves normals alone that it would turn by less than this (radians)."""


class HeadFileError(OSError):
    """A file that holds no head which can be read."""


def save(head: Head, path: str | os.PathLike[str]) -> None:
    """Writes `head` as a GLB: metres, y up, facing +z, neutral at rest.

    One mesh and node per part of the model (`head`, `eye_left`, …), under one skin with the joints `neck_joint`,
    `head_joint`, `eye_left_joint`, `eye_right_joint`. Every part that some expression moves has all 52 morph targets,
    under ARKit's names and in ARKit's order.

    Raises:
        OSError: `path` cannot be written; what was there before is left as it was.
        ValueError: `head` holds something that JSON cannot, such as a NaN in its provenance.
    """
    path = Path(path)
    contents = encode(head)
    with staging(path) as folder:
        (folder / path.name).write_bytes(contents)


def load(path: str | os.PathLike[str]) -> Head:
    """Reads a head that `save` wrote, equal to it bit for bit.

    Raises:
        OSError: `path` cannot be read.
        HeadFileError: `path` is not a GLB, is damaged, holds no head of ours, or was written by a later face3d.
    """
    document, binary = _read_container(Path(path))
    extras = document.get("extras")
    if not isinstance(extras, dict) or "face3d" not in extras:
        raise HeadFileError(f"{path} has no face3d head inside; only GLB files that face3d wrote can be loaded")
    try:
        found = int(extras["face3d"]["format"])
        if found <= FORMAT:
            return _read_head(document, binary)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise HeadFileError(f"{path} is damaged: {error}") from error
    raise HeadFileError(
        f"{path} was written by a later face3d (format {found}, this one reads {FORMAT}); please upgrade"
    )


def encode(head: Head) -> bytes:
    """The bytes of `head` as a GLB."""
    model = morphable.load(head.model)
    binary = _Binary()
    skin = _skin(head, binary)
    meshes = _meshes(head, model, binary)
    materials, textures, images = _materials(head, model, binary)
    parts: list[dict[str, Any]] = [
        {"name": mesh["name"], "mesh": index, "skin": 0} for index, mesh in enumerate(meshes)
    ]
    document = {
        "asset": {"version": "2.0", "generator": f"face3d {version('face3d')}"},
        "scene": 0,
        "scenes": [{"name": "face3d", "nodes": list(range(len(parts) + 1))}],
        "nodes": parts + _joint_nodes(head, first=len(parts)),
        "meshes": meshes,
        "skins": [skin | {"joints": [len(parts) + index for index in range(len(JOINTS))], "skeleton": len(parts)}],
        "materials": materials,
        "textures": textures,
        "samplers": [{"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR}],
        "images": images,
        "accessors": binary.accessors,
        "bufferViews": binary.views,
        "buffers": [{"byteLength": len(binary.data)}],
        "extras": {
            "face3d": {
                "format": FORMAT,
                "model": head.model,
                "identity": head.identity.tolist(),
                "provenance": head.provenance,
            }
        },
    }
    return _container(document, bytes(binary.data))


# Writing


class _Binary:
    """The binary chunk as it grows, with the bufferViews and accessors that point into it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, **fields: int) -> int:
        self.data += bytes(-len(self.data) % 4)
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)} | fields)
        self.data += data
        return len(self.views) - 1

    def accessor(self, values: np.ndarray, kind: str, target: int | None = None, **fields: Any) -> int:
        view = self.view(values.tobytes(), **({} if target is None else {"target": target}))
        return self._accessor(values, kind, bufferView=view, **fields)

    def morphs(self, offsets: Sequence[Float[np.ndarray, "vertex 3"]], zeros: int) -> list[int]:
        """An accessor for each of `offsets`, sparse over the vertices that any of them moves.

        What they leave out is in the view `zeros`: accessors may go without a view, but Godot 3 then reads view 0.
        """
        moved = np.flatnonzero(np.any([offset != 0 for offset in offsets], axis=(0, 2)))
        if not len(moved):
            return [self._accessor(offset, "VEC3", bufferView=zeros, **_bounds(offset)) for offset in offsets]
        indices = _smallest_unsigned(moved, len(offsets[0]))
        shared = {"bufferView": self.view(indices.tobytes()), "componentType": _component(indices)}
        return [
            self._accessor(
                offset,
                "VEC3",
                bufferView=zeros,
                sparse={
                    "count": len(moved),
                    "indices": shared,
                    "values": {"bufferView": self.view(offset[moved].tobytes())},
                },
                **_bounds(offset),
            )
            for offset in offsets
        ]

    def _accessor(self, values: np.ndarray, kind: str, **fields: Any) -> int:
        accessor = {"componentType": _component(values), "count": len(values), "type": kind} | fields
        if accessor not in self.accessors:  # targets that move nothing are one and the same
            self.accessors.append(accessor)
        return self.accessors.index(accessor)


def _component(values: np.ndarray) -> int:
    return next(component for component, dtype in DTYPES.items() if dtype == values.dtype)


def _smallest_unsigned(values: Int[np.ndarray, " *shape"], below: int) -> np.ndarray:
    return values.astype(np.uint16 if below < 1 << 16 else np.uint32)


def _bounds(values: Float[np.ndarray, "vertex 3"]) -> dict[str, Any]:
    return {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}


def _meshes(head: Head, model: MorphableModel, binary: _Binary) -> list[dict[str, Any]]:
    triangles = np.asarray(model.triangles)
    normals = vertex_normals(head.neutral, triangles)
    turns = np.stack([vertex_normals(head.neutral + offset, triangles) - normals for offset in head.expressions])
    turns[np.linalg.norm(turns, axis=2) < NORMAL_STEP] = 0
    weights = _joint_weights(np.asarray(model.skinning_weights))
    joints = np.where(weights > 0, np.arange(len(JOINTS)), 0).astype(np.uint8)

    material_names = _material_names(model)
    meshes = []
    for name, part in model.parts.items():
        first, count = part.vertices.start, part.vertices.stop - part.vertices.start
        split = split_seams(
            triangles[part.triangles] - first,
            np.asarray(model.uv_triangles)[part.triangles],
            np.asarray(model.uv),
            count,
        )
        source = first + split.sources
        position = head.neutral[source]
        primitive = {
            "attributes": {
                "POSITION": binary.accessor(position, "VEC3", ARRAY_BUFFER, **_bounds(position)),
                "NORMAL": binary.accessor(normals[source], "VEC3", ARRAY_BUFFER),
                "TEXCOORD_0": binary.accessor(split.uv, "VEC2", ARRAY_BUFFER),
                "JOINTS_0": binary.accessor(joints[source], "VEC4", ARRAY_BUFFER),
                "WEIGHTS_0": binary.accessor(weights[source], "VEC4", ARRAY_BUFFER),
            },
            "indices": binary.accessor(
                _smallest_unsigned(split.triangles, len(source)).ravel(), "SCALAR", ELEMENT_ARRAY_BUFFER
            ),
            "material": material_names.index(TEXTURES.get(name, name)),
        }
        mesh = {"name": name, "primitives": [primitive], "extras": {"vertices": [first, first + count]}}
        if np.any(head.expressions[:, part.vertices]):
            zeros = binary.view(bytes(position.nbytes), target=ARRAY_BUFFER, byteStride=12)
            targets = [
                binary.morphs((move[source], turn[source]), zeros)
                for move, turn in zip(head.expressions, turns, strict=True)
            ]
            primitive["targets"] = [{"POSITION": position, "NORMAL": normal} for position, normal in targets]
            mesh["weights"] = [0.0] * len(ARKIT_NAMES)
            mesh["extras"]["targetNames"] = list(ARKIT_NAMES)
        meshes.append(mesh)
    return meshes


def _joint_weights(weights: Float[np.ndarray, "vertex joint"]) -> Float[np.ndarray, "vertex joint"]:
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _skin(head: Head, binary: _Binary) -> dict[str, Any]:
    world_to_joint = np.tile(np.eye(4, dtype=np.float32), (len(JOINTS), 1, 1))
    world_to_joint[:, :3, 3] = -head.joints
    column_major = world_to_joint.transpose(0, 2, 1).reshape(-1, 16)
    return {"name": "head", "inverseBindMatrices": binary.accessor(column_major, "MAT4")}


def _joint_nodes(head: Head, first: int) -> list[dict[str, Any]]:
    places = dict(zip(JOINTS, head.joints.astype(np.float64), strict=True))
    nodes = []
    for name in JOINTS:
        parent = PARENTS.get(name)
        offset = places[name] - places[parent] if parent else places[name]
        children = [first + index for index, child in enumerate(JOINTS) if PARENTS.get(child) == name]
        node = {"name": f"{name}_joint", "translation": offset.tolist(), "children": children}
        nodes.append({key: value for key, value in node.items() if value})
    return nodes


def _material_names(model: MorphableModel) -> list[str]:
    return list(dict.fromkeys(TEXTURES.get(part, part) for part in model.parts))


def _materials(head: Head, model: MorphableModel, binary: _Binary) -> tuple[list[dict[str, Any]], ...]:
    """The lists `materials`, `textures` and `images`; the last two run in step, named by the texture."""
    textured = {name: index for index, name in enumerate(head.textures)}
    materials = []
    for name in _material_names(model):
        material = {"name": name} | copy.deepcopy(MATERIALS[name])
        if name in textured:
            material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": textured[name]}
        materials.append(material)
    textures = [{"name": name, "sampler": 0, "source": index} for name, index in textured.items()]
    images = [
        {"name": name, "mimeType": texture.media_type, "bufferView": binary.view(texture.encoded)}
        for name, texture in head.textures.items()
    ]
    return materials, textures, images


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    document = {key: value for key, value in document.items() if value != []}  # glTF has no empty lists
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary)
    header = struct.pack("<4sII", b"glTF", 2, length)
    return header + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary


# Reading


def _read_container(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk, once the headers agree with the file's size."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a GLB file")
    with path.open("rb") as file:
        header = file.read(12)
        if header[:4] != b"glTF" or len(header) < 12:
            raise HeadFileError(f"{path} is not a GLB file")
        container_version, length = struct.unpack("<II", header[4:])
        if container_version != 2:
            raise HeadFileError(f"{path} is glTF {container_version}; only glTF 2 can be read")
        size = os.fstat(file.fileno()).st_size
        if size < length:
            raise HeadFileError(f"{path} is truncated: {size:,} of {length:,} bytes are there")
        if length > MAX_BYTES:
            raise HeadFileError(f"{path} is too large for a head: {length:,} bytes")
        chunks = dict(_chunks(path, file.read(length - 12)))
    try:
        document = json.loads(chunks.get(b"JSON", b""))
    except (ValueError, RecursionError) as error:
        raise HeadFileError(f"{path} is damaged: its JSON cannot be read") from error
    if not isinstance(document, dict):
        raise HeadFileError(f"{path} is damaged: its JSON is not an object")
    return document, chunks.get(b"BIN\0", b"")


def _chunks(path: Path, body: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place < len(body):
        if place + 8 > len(body):
            raise HeadFileError(f"{path} is damaged: a chunk ends too early")
        length, kind = struct.unpack_from("<I4s", body, place)
        if place + 8 + length > len(body):
            raise HeadFileError(f"{path} is damaged: a chunk ends too early")
        yield kind, body[place + 8 : place + 8 + length]
        place += 8 + length


class _Reader:
    """Reads the accessors of a document that may lie."""

    def __init__(self, document: dict[str, Any], binary: bytes) -> None:
        self.document = document
        self.binary = binary

    def view(self, index: int) -> bytes:
        view = self.document["bufferViews"][index]
        start, length = view.get("byteOffset", 0), view["byteLength"]
        if start < 0 or length < 0 or start + length > len(self.binary):
            raise ValueError("a bufferView reaches beyond the file")
        return self.binary[start : start + length]

    def floats(self, index: int, width: int) -> Float[np.ndarray, "row width"]:
        """A dense accessor of 32-bit floats."""
        accessor = self.document["accessors"][index]
        return self._array(accessor, accessor["count"], DTYPES[FLOAT], width)

    def morph(self, index: int, count: int) -> Float[np.ndarray, "count 3"]:
        """A morph target over `count` vertices."""
        accessor = self.document["accessors"][index]
        if accessor["count"] != count:
            raise ValueError("a morph target and its mesh differ in vertices")
        values = np.zeros((count, 3), dtype=np.float32)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            kind = DTYPES[sparse["indices"]["componentType"]]
            indices = self._array(sparse["indices"], sparse["count"], kind, 1)[:, 0]
            values[indices] = self._array(sparse["values"], sparse["count"], DTYPES[FLOAT], 3)
        return values

    def _array(self, holder: dict[str, Any], count: int, kind: np.dtype[Any], width: int) -> np.ndarray:
        data = self.view(holder["bufferView"])
        if count < 0 or count * width * kind.itemsize > len(data):
            raise ValueError("an accessor reaches beyond its bufferView")
        return np.frombuffer(data, kind, count * width).reshape(count, width)


def _read_head(document: dict[str, Any], binary: bytes) -> Head:
    reader = _Reader(document, binary)
    ours = document["extras"]["face3d"]
    neutral, expressions = _read_surface(document["meshes"], reader)
    matrices = reader.floats(document["skins"][0]["inverseBindMatrices"], 16)
    return Head(
        model=ours["model"],
        identity=np.array(ours["identity"], dtype=np.float32),
        neutral=neutral,
        expressions=expressions,
        joints=-matrices[:, 12:15],
        textures={image["name"]: Texture(reader.view(image["bufferView"])) for image in document.get("images", [])},
        provenance=ours["provenance"],
    )


def _read_surface(
    meshes: list[dict[str, Any]], reader: _Reader
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "expression vertex 3"]]:
    """Neutral and expressions; of a part's vertices the first are the model's, the rest copies along the seams."""
    ranges = [mesh["extras"]["vertices"] for mesh in meshes]
    starts, stops = zip(*sorted(ranges), strict=True)
    if (0, *stops[:-1]) != starts or stops[-1] > MAX_VERTICES:
        raise ValueError("the vertices of its parts do not add up")
    neutral = np.empty((stops[-1], 3), dtype=np.float32)
    expressions = np.zeros((len(ARKIT_NAMES), stops[-1], 3), dtype=np.float32)
    for mesh, (start, stop) in zip(meshes, ranges, strict=True):
        primitive = mesh["primitives"][0]
        positions = reader.floats(primitive["attributes"]["POSITION"], 3)
        neutral[start:stop] = positions[: stop - start]
        if "targets" not in primitive:
            continue
        if mesh["extras"]["targetNames"] != list(ARKIT_NAMES):
            raise ValueError("its morph targets are not ARKit's 52")
        for expression, target in zip(expressions, primitive["targets"], strict=True):
            expression[start:stop] = reader.morph(target["POSITION"], len(positions))[: stop - start]
    return neutral, expressions
