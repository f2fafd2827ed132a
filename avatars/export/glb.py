"""Binary glTF 2.0: the asset that engines open and the project's own file at once.

Everything of a `Head` is in the asset that the engine reads: the neutral mesh and the expressions are the vertices and
morph targets, the joints lie in the inverse bind matrices, the textures are the embedded images, the vertices' standard
deviations are an attribute of their own. Only what glTF has no word for rides in `extras`: the model's name, identity
coefficients and their uncertainty, provenance, and which of the model's vertices a part holds. So `load` gives back
exactly what `save` was given. A mesh that is of no model is read from the asset as well: a copy along a seam is told by
lying where its vertex lies.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from avatars.export.gltf import (
    ARRAY_BUFFER,
    CLAMP_TO_EDGE,
    ELEMENT_ARRAY_BUFFER,
    LINEAR,
    LINEAR_MIPMAP_LINEAR,
    BinaryReader,
    BinaryWriter,
    GLBError,
    bounds,
    read_container,
    smallest_unsigned,
    write_container,
)
from avatars.export.gltf_animation import animation
from avatars.export.staging import staging
from avatars.export.surface import ROUGHNESS, TEXTURES, shape_normals, split_seams
from morphable import ARKIT_NAMES, JOINT_NAMES, JOINT_PARENTS, Head, Part, Performance, Texture
from morphable.topology import Layout, Topology

FORMAT = 1
"""The layout of `extras` that this module writes; `load` refuses later ones."""

SAMPLER = {"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, "wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE}

MAX_VERTICES = 1_000_000
"""No head comes near; a file that claims more is refused before memory is asked for."""

DEVIATION = "_DEVIATION"
"""The vertex attribute of `Head.deviation`, metres; glTF leaves names that start with _ to applications."""


def save(head: Head, path: str | os.PathLike[str], performance: Performance | None = None) -> None:
    """Writes `head` as a GLB: metres, y up, facing +z, neutral at rest, with the performance as its animation.

    One mesh and node per part of the model (`head`, `eye_left`, …), under one skin with the joints `neck_joint`,
    `head_joint`, `eye_left_joint`, `eye_right_joint`. Every part that some expression moves has all 52 morph targets,
    under ARKit's names and in ARKit's order.

    Raises:
        OSError: `path` cannot be written; what was there before is left as it was.
        ValueError: `head` holds something that JSON cannot, such as a NaN in its provenance, or the performance is
            none that glTF can play.
    """
    path = Path(path)
    contents = encode(head, performance)
    with staging(path) as folder:
        (folder / path.name).write_bytes(contents)


def load(path: str | os.PathLike[str]) -> Head:
    """Reads a head that `save` wrote, equal to it bit for bit.

    Raises:
        OSError: `path` cannot be read.
        GLBError: `path` is not a GLB, is damaged, holds no head of ours, or was written by a later face3d.
    """
    document, binary = read_container(Path(path))
    extras = document.get("extras")
    if not isinstance(extras, dict) or "face3d" not in extras:
        raise GLBError(f"{path} has no face3d head inside; only GLB files that face3d wrote can be loaded")
    try:
        found = int(extras["face3d"]["format"])
        if found <= FORMAT:
            return _read_head(document, binary)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise GLBError(f"{path} is damaged: {error}") from error
    raise GLBError(f"{path} was written by a later face3d (format {found}, this one reads {FORMAT}); please upgrade")


def encode(head: Head, performance: Performance | None = None) -> bytes:
    """The bytes of `head` as a GLB, with the performance as its animation. Raises ValueError as `save`."""
    model = head.layout
    binary = BinaryWriter()
    skin = _skin(head, binary)
    meshes = _meshes(head, model, binary)
    materials, textures, images = _materials(head, model, binary)
    parts: list[dict[str, Any]] = [
        {"name": mesh["name"], "mesh": index, "skin": 0} for index, mesh in enumerate(meshes)
    ]
    joints = range(len(parts), len(parts) + len(JOINT_NAMES))
    morphed = [index for index, mesh in enumerate(meshes) if "weights" in mesh]
    document = {
        "asset": {"version": "2.0", "generator": f"face3d {version('face3d')}"},
        "scene": 0,
        "scenes": [{"name": "face3d", "nodes": list(range(len(parts) + 1))}],
        "nodes": parts + _joint_nodes(head, first=len(parts)),
        "meshes": meshes,
        "skins": [skin | {"joints": list(joints), "skeleton": joints[0]}],
        "animations": [] if performance is None else [animation(head, performance, binary, morphed, joints)],
        "materials": materials,
        "textures": textures,
        "samplers": [SAMPLER],
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
            | ({} if head.topology is None else {"own_topology": True})
            | _uncertainty(head)
        },
    }
    return write_container(document, bytes(binary.data))


# Writing


def _meshes(head: Head, model: Layout, binary: BinaryWriter) -> list[dict[str, Any]]:
    triangles = np.asarray(model.triangles)
    normals, turns = shape_normals(head.neutral, head.expressions, triangles)
    weights = _joint_weights(np.asarray(model.skinning_weights))
    joints = np.where(weights > 0, np.arange(len(JOINT_NAMES)), 0).astype(np.uint8)
    material_names = _material_names(model)

    meshes = []
    for name, part in model.parts.items():
        first, last = part.vertices.start, part.vertices.stop
        split = split_seams(
            triangles[part.triangles] - first,
            np.asarray(model.uv_triangles)[part.triangles],
            np.asarray(model.uv),
            last - first,
        )
        source = first + split.sources
        position = head.neutral[source]
        primitive: dict[str, Any] = {
            "attributes": {
                "POSITION": binary.accessor(position, "VEC3", ARRAY_BUFFER, **bounds(position)),
                "NORMAL": binary.accessor(normals[source], "VEC3", ARRAY_BUFFER),
                "TEXCOORD_0": binary.accessor(split.uv, "VEC2", ARRAY_BUFFER),
                "JOINTS_0": binary.accessor(joints[source], "VEC4", ARRAY_BUFFER),
                "WEIGHTS_0": binary.accessor(weights[source], "VEC4", ARRAY_BUFFER),
            },
            "indices": binary.accessor(
                smallest_unsigned(split.triangles, len(source)).ravel(), "SCALAR", ELEMENT_ARRAY_BUFFER
            ),
            "material": material_names.index(TEXTURES.get(name, name)),
        }
        if head.deviation is not None:
            primitive["attributes"][DEVIATION] = binary.accessor(head.deviation[source], "SCALAR", ARRAY_BUFFER)
        mesh: dict[str, Any] = {"name": name, "primitives": [primitive], "extras": {"vertices": [first, last]}}
        if np.any(head.expressions[:, first:last]):
            primitive["targets"] = _targets(head.expressions[:, source], turns[:, source], binary)
            mesh["weights"] = [0.0] * len(ARKIT_NAMES)
            mesh["extras"]["targetNames"] = list(ARKIT_NAMES)
        meshes.append(mesh)
    return meshes


def _targets(
    moves: Float[np.ndarray, "expression vertex 3"],
    turns: Float[np.ndarray, "expression vertex 3"],
    binary: BinaryWriter,
) -> list[dict[str, int]]:
    zeros = binary.view(bytes(moves[0].nbytes), target=ARRAY_BUFFER, byteStride=12)
    pairs = (binary.morphs(pair, zeros) for pair in zip(moves, turns, strict=True))
    return [{"POSITION": position, "NORMAL": normal} for position, normal in pairs]


def _joint_weights(weights: Float[np.ndarray, "vertex joint"]) -> Float[np.ndarray, "vertex joint"]:
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _skin(head: Head, binary: BinaryWriter) -> dict[str, Any]:
    world_to_joint = np.tile(np.eye(4, dtype=np.float32), (len(JOINT_NAMES), 1, 1))
    world_to_joint[:, :3, 3] = -head.joints
    column_major = world_to_joint.transpose(0, 2, 1).reshape(-1, 16)
    return {"name": "head", "inverseBindMatrices": binary.accessor(column_major, "MAT4")}


def _joint_nodes(head: Head, first: int) -> list[dict[str, Any]]:
    places = head.joints.astype(np.float64)
    nodes = []
    for joint, (name, parent) in enumerate(zip(JOINT_NAMES, JOINT_PARENTS, strict=True)):
        offset = places[joint] if parent < 0 else places[joint] - places[parent]
        children = [first + child for child, above in enumerate(JOINT_PARENTS) if above == joint]
        node = {"name": f"{name}_joint", "translation": offset.tolist(), "children": children}
        nodes.append({key: value for key, value in node.items() if value})
    return nodes


def _material_names(model: Layout) -> list[str]:
    return list(dict.fromkeys(TEXTURES.get(part, part) for part in model.parts))


def _materials(head: Head, model: Layout, binary: BinaryWriter) -> tuple[list[dict[str, Any]], ...]:
    """The lists `materials`, `textures` and `images`; the last two run in step, named by the texture."""
    textured = {name: index for index, name in enumerate(head.textures)}
    materials = []
    for name in _material_names(model):
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS.get(name, ROUGHNESS["head"])}
        if name in textured:
            surface["baseColorTexture"] = {"index": textured[name]}
        see_through = {"alphaMode": "BLEND", "doubleSided": True} if name == "lashes" else {}
        materials.append({"name": name, "pbrMetallicRoughness": surface} | see_through)
    textures = [{"name": name, "sampler": 0, "source": index} for name, index in textured.items()]
    images = [
        {"name": name, "mimeType": texture.media_type, "bufferView": binary.view(texture.encoded)}
        for name, texture in head.textures.items()
    ]
    return materials, textures, images


def _uncertainty(head: Head) -> dict[str, Any]:
    """The posterior's factor as rows of little-endian 32-bit floats; decimals would take three times the room."""
    if head.identity_factor is None:
        return {}
    rows = head.identity_factor.astype("<f4").tobytes()
    return {"identity_factor": {"rank": head.identity_factor.shape[1], "base64": b64encode(rows).decode()}}


# Reading


def _read_head(document: dict[str, Any], binary: bytes) -> Head:
    reader = BinaryReader(document, binary)
    ours = document["extras"]["face3d"]
    neutral, expressions, deviation = _read_surface(document["meshes"], reader)
    identity = np.array(ours["identity"], dtype=np.float32)
    matrices = reader.floats(document["skins"][0]["inverseBindMatrices"], 16)
    return Head(
        model=ours["model"],
        identity=identity,
        neutral=neutral,
        expressions=expressions,
        joints=-matrices[:, 12:15],
        textures={image["name"]: Texture(reader.view(image["bufferView"])) for image in document.get("images", [])},
        provenance=ours["provenance"],
        deviation=deviation,
        identity_factor=_read_factor(ours["identity_factor"], len(identity)) if "identity_factor" in ours else None,
        topology=_read_topology(document["meshes"], reader) if ours.get("own_topology") else None,
    )


def _read_factor(stored: dict[str, Any], identities: int) -> Float[np.ndarray, "identity rank"]:
    rows = np.frombuffer(b64decode(stored["base64"], validate=True), "<f4")
    return rows.reshape(identities, stored["rank"]).astype(np.float32)


def _read_surface(
    meshes: list[dict[str, Any]], reader: BinaryReader
) -> tuple[
    Float[np.ndarray, "vertex 3"], Float[np.ndarray, "expression vertex 3"], Float[np.ndarray, " vertex"] | None
]:
    """Neutral, expressions, deviation; a part's first vertices are the model's, the rest copies along the seams."""
    ranges = [mesh["extras"]["vertices"] for mesh in meshes]
    starts, stops = zip(*sorted(ranges), strict=True)
    if (0, *stops[:-1]) != starts or stops[-1] > MAX_VERTICES:
        raise ValueError("the vertices of its parts do not add up")
    neutral = np.empty((stops[-1], 3), dtype=np.float32)
    expressions = np.zeros((len(ARKIT_NAMES), stops[-1], 3), dtype=np.float32)
    known = DEVIATION in meshes[0]["primitives"][0]["attributes"]
    deviation = np.empty(stops[-1], dtype=np.float32) if known else None
    for mesh, (start, stop) in zip(meshes, ranges, strict=True):
        primitive = mesh["primitives"][0]
        positions = reader.floats(primitive["attributes"]["POSITION"], 3)
        if len(positions) < stop - start:
            raise ValueError("a part has fewer vertices than it says")
        neutral[start:stop] = positions[: stop - start]
        if deviation is not None:
            deviation[start:stop] = reader.floats(primitive["attributes"][DEVIATION], 1)[: stop - start, 0]
        if "targets" not in primitive:
            continue
        if mesh["extras"]["targetNames"] != list(ARKIT_NAMES):
            raise ValueError("its morph targets are not ARKit's 52")
        for expression, target in zip(expressions, primitive["targets"], strict=True):
            expression[start:stop] = reader.morph(target["POSITION"], len(positions))[: stop - start]
    return neutral, expressions, deviation


def _read_topology(meshes: list[dict[str, Any]], reader: BinaryReader) -> Topology:
    parts, triangles, uv, uv_triangles, weights = {}, [], [], [], []
    vertices = corners = faces = 0
    for mesh in sorted(meshes, key=lambda mesh: mesh["extras"]["vertices"]):
        primitive, (start, stop) = mesh["primitives"][0], mesh["extras"]["vertices"]
        attributes = primitive["attributes"]
        split = reader.indices(primitive["indices"]).reshape(-1, 3).astype(np.int32)
        position = reader.floats(attributes["POSITION"], 3)
        if split.size and split.max() >= len(position):
            raise ValueError("triangles name vertices that are not there")
        sources = _sources(position, stop - start)
        parts[mesh["name"]] = Part(slice(start, stop), slice(faces, faces + len(split)))
        triangles.append(sources[split] + vertices)
        uv.append(reader.floats(attributes["TEXCOORD_0"], 2))
        uv_triangles.append(split + corners)
        weights.append(reader.floats(attributes["WEIGHTS_0"], len(JOINT_NAMES))[: stop - start])
        vertices, corners, faces = stop, corners + len(position), faces + len(split)
    tensors = (torch.from_numpy(np.concatenate(each)) for each in (triangles, uv, uv_triangles, weights))
    return Topology(parts, *tensors)


def _sources(positions: Float[np.ndarray, "split 3"], count: int) -> Int[np.ndarray, " split"]:
    """The vertex that each split vertex copies: the one of the first `count` that lies at the same place."""
    known = {place.tobytes(): index for index, place in enumerate(positions[:count])}
    copies = [known.get(place.tobytes(), -1) for place in positions[count:]]
    if -1 in copies:
        raise ValueError("a copy of a vertex lies where none is")
    return np.array([*range(count), *copies], dtype=np.int32)
