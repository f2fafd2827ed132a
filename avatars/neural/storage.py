"""An avatar's folder: its tensors, and beside them the head, the background and a description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from avatars.capture import described_camera, read_camera, require_version
from morphable import Head
from renderers import Camera

VERSION = 1
DESCRIPTION, HEAD, BACKGROUND = "avatar.json", "head.glb", "background.png"
TENSORS = {
    "gaussian": "gaussians.safetensors",
    "radiance": "radiance.safetensors",
    "texture": "texture.safetensors",
}
"""By kind."""


class Stored(NamedTuple):
    """What a folder holds of an avatar of any kind.

    Attributes:
        groups: tensors by group and name.
        head, background, camera, provenance: as the avatar has them.
    """

    groups: dict[str, dict[str, Tensor]]
    head: Head
    background: UInt8[np.ndarray, "height width 3"]
    camera: Camera
    provenance: dict[str, Any]


def write_avatar(folder: str | Path, kind: str, stored: Stored) -> None:
    """Write an avatar's files; avatar.json, which names the tensors' digest, last.

    Args:
        kind: one of TENSORS.

    Raises:
        OSError: they cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / TENSORS[kind]
    save_file(flat_groups(stored.groups), tensors)
    stored.head.save(folder / HEAD)
    Image.fromarray(stored.background).save(folder / BACKGROUND)
    described = {
        "version": VERSION,
        "kind": kind,
        "camera": described_camera(stored.camera),
        "digest": digest(tensors),
        "provenance": stored.provenance,
    }
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=2))


def read_avatar(folder: str | Path, kind: str) -> Stored:
    """Read a folder that `write_avatar` wrote.

    Raises:
        ValueError: it holds no avatar, one of another kind or version, or a damaged one.
        OSError: a file is missing.
    """
    folder = Path(folder)
    found = kind_of(folder)
    if found != kind:
        raise ValueError(f"{folder} holds an avatar of the kind {found}, and this is for {kind} ones")
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
        version = described["version"]
        camera, wanted = read_camera(described["camera"]), described["digest"]
        provenance = dict(described["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / DESCRIPTION} does not describe an avatar ({error})") from error
    require_version(folder / DESCRIPTION, version, VERSION)
    tensors = folder / TENSORS[kind]
    if digest(tensors) != wanted:
        raise ValueError(f"{tensors} is damaged or of another avatar; train again")
    with Image.open(folder / BACKGROUND) as image:
        background = np.array(image.convert("RGB"))
    return Stored(read_groups(tensors), Head.load(folder / HEAD), background, camera, provenance)


def kind_of(folder: str | Path) -> str:
    """What kind of avatar a folder holds.

    Raises:
        ValueError: it holds none, or a description that cannot be read.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        raise ValueError(f"{folder} holds no avatar; make one with `face3d avatar train`")
    try:
        return str(json.loads(path.read_text())["kind"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe an avatar ({error})") from error


def flat_groups(groups: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors by group.name, as files hold them; `read_groups` undoes it."""
    return {f"{group}.{name}": t.detach().contiguous() for group, all_ in groups.items() for name, t in all_.items()}


def read_groups(path: Path) -> dict[str, dict[str, Tensor]]:
    """Tensors of a file by group and name.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        flat = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = tensor
    return groups


def digest(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
