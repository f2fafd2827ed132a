"""Binary glTF 2.0 as a container: one JSON document, one binary chunk, and accessors from the first into the second.

Written plainly, as no glTF library at hand keeps empty values in `extras` or is made for files that lie.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

# glTF's enumerations
FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5121, 5123, 5125
DTYPES: dict[int, np.dtype[Any]] = {
    FLOAT: np.dtype("<f4"),
    UNSIGNED_BYTE: np.dtype("u1"),
    UNSIGNED_SHORT: np.dtype("<u2"),
    UNSIGNED_INT: np.dtype("<u4"),
}
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071

MAX_BYTES = 1 << 29
"""No head comes near; a longer file is refused before memory is asked for."""


class GLBError(OSError):
    """A file that is no GLB, is damaged, or does not hold what is looked for."""


def read_container(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk, once the headers agree with the file's size.

    Raises:
        OSError: `path` cannot be read.
        GLBError: `path` is not a GLB of glTF 2, is truncated, damaged or longer than any head.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a GLB file")
    with path.open("rb") as file:
        header = file.read(12)
        if header[:4] != b"glTF" or len(header) < 12:
            raise GLBError(f"{path} is not a GLB file")
        container_version, length = struct.unpack("<II", header[4:])
        if container_version != 2:
            raise GLBError(f"{path} is glTF {container_version}; only glTF 2 can be read")
        size = os.fstat(file.fileno()).st_size
        if size < length:
            raise GLBError(f"{path} is truncated: {size:,} of {length:,} bytes are there")
        if length > MAX_BYTES:
            raise GLBError(f"{path} is too large for a head: {length:,} bytes")
        chunks = dict(_chunks(path, file.read(length - 12)))
    try:
        document = json.loads(chunks.get(b"JSON", b""))
    except (ValueError, RecursionError) as error:
        raise GLBError(f"{path} is damaged: its JSON cannot be read") from error
    if not isinstance(document, dict):
        raise GLBError(f"{path} is damaged: its JSON is not an object")
    return document, chunks.get(b"BIN\0", b"")


def write_container(document: dict[str, Any], binary: bytes) -> bytes:
    """The bytes of a GLB file."""
    document = {key: value for key, value in document.items() if value != []}  # glTF has no empty lists
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary)
    header = struct.pack("<4sII", b"glTF", 2, length)
    return header + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary


class BinaryWriter:
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
            return [self._accessor(offset, "VEC3", bufferView=zeros, **bounds(offset)) for offset in offsets]
        indices = smallest_unsigned(moved, len(offsets[0]))
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
                **bounds(offset),
            )
            for offset in offsets
        ]

    def _accessor(self, values: np.ndarray, kind: str, **fields: Any) -> int:
        accessor = {"componentType": _component(values), "count": len(values), "type": kind} | fields
        if accessor not in self.accessors:  # targets that move nothing are one and the same
            self.accessors.append(accessor)
        return self.accessors.index(accessor)


class BinaryReader:
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

    def indices(self, index: int) -> Int[np.ndarray, " index"]:
        """A dense accessor of triangles' corners."""
        accessor = self.document["accessors"][index]
        return self._array(accessor, accessor["count"], DTYPES[accessor["componentType"]], 1)[:, 0]

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


def smallest_unsigned(values: Int[np.ndarray, " *shape"], below: int) -> np.ndarray:
    """Indices below `below` in the fewest bytes that glTF has for them."""
    return values.astype(np.uint16 if below < 1 << 16 else np.uint32)


def bounds(values: Float[np.ndarray, "vertex 3"]) -> dict[str, Any]:
    """An accessor's `min` and `max`."""
    return {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}


def _chunks(path: Path, body: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place < len(body):
        if place + 8 > len(body):
            raise GLBError(f"{path} is damaged: a chunk ends too early")
        length, kind = struct.unpack_from("<I4s", body, place)
        if place + 8 + length > len(body):
            raise GLBError(f"{path} is damaged: a chunk ends too early")
        yield kind, body[place + 8 : place + 8 + length]
        place += 8 + length


def _component(values: np.ndarray) -> int:
    return next(component for component, dtype in DTYPES.items() if dtype == values.dtype)
