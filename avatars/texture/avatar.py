"""A person as a mesh with a neural texture: what is stored, and how it looks at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avatars.neural.driving import Cloth, Moment, Surface
from avatars.neural.habits import Habits
from avatars.neural.looks import Looks
from avatars.neural.storage import Stored, read_avatar, write_avatar
from avatars.texture.sheet import Sheet
from morphable import Head, Performance
from renderers import Camera, render_mesh
from renderers.neural import UNet

KIND = "texture"
BESIDE = 4
"""What the decoder is told besides features: coverage, and normals along the camera's axes."""
SURE = 3.0
"""Logit of the opacity where the mesh is, and less that where it is not, before anything is learned."""


class Drawn(NamedTuple):
    """An avatar before nothing.

    Attributes:
        colour: encoded sRGB, not multiplied by opacity.
        opacity: in [0, 1].
        plain: the texture's first three features, encoded sRGB, over black.
        coverage: of each pixel by the mesh.
    """

    colour: Float[Tensor, "height width 3"]
    opacity: Float[Tensor, "height width"]
    plain: Float[Tensor, "height width 3"]
    coverage: Float[Tensor, "height width"]

    def over(self, background: Float[Tensor, "height width 3"]) -> Float[Tensor, "height width 3"]:
        """The picture before a background."""
        return background + self.opacity[..., None] * (self.colour - background)


@dataclass(eq=False)
class TextureAvatar:
    """A person, ready to play any performance.

    Attributes:
        head: that the texture is on.
        cloth: what goes on below it.
        features: the texture; its first three channels are encoded sRGB.
        decoder: makes a picture of the drawn texture; the coordinates of the expression modulate it.
        habits: what a clip says of how the person moves.
        camera: the first clip's.
        background: of the first clip, sRGB.
        provenance: how it was made; anything that JSON can hold.
        looks: of the other clips.
    """

    head: Head
    cloth: Cloth
    features: Float[Tensor, "texture_height texture_width feature"]
    decoder: UNet
    habits: Habits
    camera: Camera
    background: UInt8[np.ndarray, "height width 3"]
    provenance: dict[str, Any]
    looks: Looks

    def __post_init__(self) -> None:
        self.surface = Surface(self.head, self.cloth)
        self.sheet = Sheet.of(self.head, self.cloth, len(self.features))

    @property
    def size(self) -> dict[str, int]:
        """What it is made of."""
        return {
            "texels": self.features[..., 0].numel(),
            "decoder_weights": sum(weights.numel() for weights in self.decoder.parameters()),
        }

    def moment(self, performance: Performance, index: int = 0) -> Moment:
        """A frame of a performance, as this person does it."""
        return self.habits.moment(performance, index)

    def picture(
        self, moment: Moment, camera: Camera, background: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "height width 3"]:
        """The avatar before a background, encoded sRGB.

        A decoder knows pictures of one size: it draws that, which is then resized.
        """
        drawn = self.drawn(moment, camera.scaled(max(self.camera.resolution) / max(camera.resolution)))
        if drawn.opacity.shape == camera.resolution:
            return drawn.over(background)
        layer = torch.cat([drawn.colour * drawn.opacity[..., None], drawn.opacity[..., None]], -1)
        resized = torch.nn.functional.interpolate(
            layer.permute(2, 0, 1)[None], camera.resolution, mode="bicubic", antialias=True
        )[0].permute(1, 2, 0)
        return resized[..., :3] + (1 - resized[..., 3:]) * background

    def drawn(self, moment: Moment, camera: Camera) -> Drawn:
        """The avatar before nothing, at the camera's resolution."""
        mesh = render_mesh(
            camera,
            self.surface.vertices(moment)[None],
            self.surface.triangles,
            uv=self.sheet.uv,
            uv_triangles=self.sheet.triangles,
            texture=self.features[None],
        )
        plain, coverage = mesh.colour[0, ..., :3], mesh.alpha[0]
        seen = torch.cat([mesh.colour, mesh.alpha[..., None], mesh.normals @ camera.rotation.T], -1)
        made = self.decoder(seen, self.habits.coordinates(moment.weights)[None])[0]
        colour, opacity = plain + made[..., :3], (made[..., 3] + SURE * (2 * coverage - 1)).sigmoid()
        if moment.look is not None:
            normals = mesh.normals[0].detach().flatten(0, 1)
            colour = moment.look(colour.flatten(0, 1), normals).view_as(colour)
        return Drawn(colour, opacity, plain, coverage)

    def save(self, folder: str | Path) -> None:
        """Write the avatar's files into a folder.

        Raises:
            OSError: they cannot be written.
        """
        groups = {
            "texture": {"features": self.features, "widths": torch.tensor(self.decoder.widths)},
            "decoder": self.decoder.state_dict(),
            "habits": self.habits.tensors(),
            "cloth": vars(self.cloth),
            "looks": self.looks.tensors(),
        }
        write_avatar(folder, KIND, Stored(groups, self.head, self.background, self.camera, self.provenance))

    @classmethod
    def load(cls, folder: str | Path) -> TextureAvatar:
        """Read a folder that `save` wrote.

        Raises:
            ValueError: it holds no avatar, one of another kind or version, or a damaged one.
            OSError: a file is missing.
        """
        groups, head, background, camera, provenance = read_avatar(folder, KIND)
        cloth, habits, looks = Cloth(**groups["cloth"]), Habits(**groups["habits"]), Looks.stored(groups)
        features, widths = groups["texture"]["features"], groups["texture"]["widths"].tolist()
        decoder = decoder_of(features.shape[-1], len(habits.moods), widths).requires_grad_(False)
        decoder.load_state_dict(groups["decoder"])
        return cls(head, cloth, features, decoder, habits, camera, background, provenance, looks)


def decoder_of(features: int, moods: int, widths: Sequence[int]) -> UNet:
    """The network of an avatar whose texels have so many features; it has learned nothing."""
    return UNet(features + BESIDE, 4, widths, moods)
