"""A person as Gaussians on a head: what is stored, and how it looks at a moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from avatars.capture import described_camera, read_camera, require_version
from avatars.gaussian.driving import Cloth, Moment, Surface
from morphable import ARKIT_NAMES, Head, Performance
from morphable.skinning import rotation_matrices
from renderers import Camera, Splatted, harmonic_colours, splat

VERSION = 1
DESCRIPTION, TENSORS, HEAD, BACKGROUND = "avatar.json", "gaussians.safetensors", "head.glb", "background.png"
EXPRESSIONS = len(ARKIT_NAMES)
FARTHEST_MOOD = 2.5
"""Deviations of an expression from the clip's mean beyond which corrections grow no more."""


@dataclass
class Gaussians:
    """Bound to triangles; lengths are in sizes of the triangle, directions in its frame.

    Attributes:
        triangle: index into the surface's triangles.
        position: of the mean.
        turn: quaternion, x y z w, of any length.
        size: logarithm of the three deviations.
        opacity: logit.
        colour: harmonic coefficients of order 1 (3DGS's), of directions in the frame of the head; encoded sRGB.
        shift: how each mood moves the mean.
        tint: how each mood changes the first coefficient of the colour.
    """

    triangle: Int[Tensor, " gaussian"]
    position: Float[Tensor, "gaussian 3"]
    turn: Float[Tensor, "gaussian 4"]
    size: Float[Tensor, "gaussian 3"]
    opacity: Float[Tensor, " gaussian"]
    colour: Float[Tensor, "gaussian 4 3"]
    shift: Float[Tensor, "gaussian mood 3"]
    tint: Float[Tensor, "gaussian mood 3"]

    def __len__(self) -> int:
        return len(self.triangle)

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass
class Habits:
    """What a clip says of how a person moves; all linear.

    Attributes:
        mean: of the expression weights.
        moods: directions in which expressions differ, each over its deviation: moods @ (weights - mean) are their
            coordinates.
        pose: of (1, rotation, translation) → what tracking lacks of rotation and translation.
        torso: of (rotation, translation) of the head → rotation and translation of the torso.
    """

    mean: Float[Tensor, " 52"]
    moods: Float[Tensor, "mood 52"]
    pose: Float[Tensor, "7 6"]
    torso: Float[Tensor, "6 6"]

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def coordinates(self, weights: Float[Tensor, " 52"]) -> Float[Tensor, " mood"]:
        """Of an expression, among moods."""
        return (self.moods @ (weights - self.mean)).clamp(-FARTHEST_MOOD, FARTHEST_MOOD)

    def moment(self, weights: Float[Tensor, " 52"], head: Float[Tensor, " 3"], place: Float[Tensor, " 3"]) -> Moment:
        """What a performance says, as this person does it."""
        tracked = torch.cat([head, place])
        corrected = tracked + torch.cat([tracked.new_ones(1), tracked]) @ self.pose
        return Moment(weights, corrected[:3], corrected[3:], tracked @ self.torso)


@dataclass(eq=False)
class GaussianAvatar:
    """A person, ready to play any performance.

    Attributes:
        head: whose triangles Gaussians are bound to.
        cloth: what goes on below it.
        gaussians, habits: what was learned.
        camera: the clip's.
        background: of the clip, sRGB.
        provenance: how it was made; anything that JSON can hold.
    """

    head: Head
    cloth: Cloth
    gaussians: Gaussians
    habits: Habits
    camera: Camera
    background: UInt8[np.ndarray, "height width 3"]
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        self.surface = Surface(self.head, self.cloth)

    def moment(self, performance: Performance, index: int = 0) -> Moment:
        """A frame of a performance, as this person does it."""
        channels = (performance.weights, performance.head, performance.translation)
        return self.habits.moment(*(torch.as_tensor(values[index]).float() for values in channels))

    def splatted(self, moment: Moment, camera: Camera) -> Splatted:
        """The avatar before nothing. Colours are encoded sRGB."""
        means, axes, opacities, colours = self.placed(moment, camera)
        return splat(means, axes, opacities, colours.clamp(max=1), camera)

    def placed(self, moment: Moment, camera: Camera) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gaussians in the world, as `splat` takes them."""
        means, axes = self.shaped(moment)
        return means, axes, self.gaussians.opacity.sigmoid(), self.coloured(means, moment, camera)

    def shaped(self, moment: Moment) -> tuple[Float[Tensor, "gaussian 3"], Float[Tensor, "gaussian 3 3"]]:
        """Means and axes in the world, metres."""
        own = self.gaussians
        frames = self.surface.frames(moment)
        centre, rotation, size = (values.index_select(0, own.triangle) for values in frames)
        moved = own.position + torch.einsum("m,nmi->ni", self.habits.coordinates(moment.weights), own.shift)
        means = centre + size[:, None] * (rotation @ moved[..., None])[..., 0]
        turn = roma.unitquat_to_rotmat(torch.nn.functional.normalize(own.turn, dim=-1))
        return means, rotation @ (turn * (size[:, None] * own.size.exp())[:, None])

    def coloured(
        self, means: Float[Tensor, "gaussian 3"], moment: Moment, camera: Camera
    ) -> Float[Tensor, "gaussian 3"]:
        """Colours seen from a camera."""
        own = self.gaussians
        sight = torch.nn.functional.normalize(means - camera.position, dim=-1)
        on_head = (own.triangle < self.surface.head_triangles)[:, None]
        sight = torch.where(on_head, sight @ rotation_matrices(moment.head), sight)
        return harmonic_colours(self.harmonics(moment), sight)

    def harmonics(self, moment: Moment) -> Float[Tensor, "gaussian 4 3"]:
        """Coefficients of the colours, tinted by the expression."""
        own = self.gaussians
        tint = torch.einsum("m,nmi->ni", self.habits.coordinates(moment.weights), own.tint)
        return torch.cat([own.colour[:, :1] + tint[:, None], own.colour[:, 1:]], 1)

    def save(self, folder: str | Path) -> None:
        """Write the avatar's files into a folder; avatar.json, which names the others' digest, last.

        Raises:
            OSError: they cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        groups = {"gaussians": self.gaussians.tensors(), "habits": self.habits.tensors(), "cloth": vars(self.cloth)}
        save_file(flat_groups(groups), folder / TENSORS)
        self.head.save(folder / HEAD)
        Image.fromarray(self.background).save(folder / BACKGROUND)
        described = {
            "version": VERSION,
            "kind": "gaussian",
            "camera": described_camera(self.camera),
            "digest": digest(folder / TENSORS),
            "provenance": self.provenance,
        }
        (folder / DESCRIPTION).write_text(json.dumps(described, indent=2))

    @classmethod
    def load(cls, folder: str | Path) -> GaussianAvatar:
        """Read a folder that `save` wrote.

        Raises:
            ValueError: it holds no avatar, a damaged one, or one of another version.
            OSError: a file is missing.
        """
        folder = Path(folder)
        if not (folder / DESCRIPTION).is_file():
            raise ValueError(f"{folder} holds no avatar; make one with `face3d avatar train`")
        try:
            described = json.loads((folder / DESCRIPTION).read_text())
            version = described["version"]
            camera, wanted = read_camera(described["camera"]), described["digest"]
            provenance = dict(described["provenance"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder / DESCRIPTION} does not describe an avatar ({error})") from error
        require_version(folder / DESCRIPTION, version, VERSION)
        if digest(folder / TENSORS) != wanted:
            raise ValueError(f"{folder / TENSORS} is damaged or of another avatar; train again")
        groups = read_groups(folder / TENSORS)
        head = Head.load(folder / HEAD)
        with Image.open(folder / BACKGROUND) as image:
            background = np.array(image.convert("RGB"))
        cloth, gaussians, habits = (
            Cloth(**groups["cloth"]),
            Gaussians(**groups["gaussians"]),
            Habits(**groups["habits"]),
        )
        return cls(head, cloth, gaussians, habits, camera, background, provenance)


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
