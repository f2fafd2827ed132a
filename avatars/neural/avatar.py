"""What every avatar can do, of whatever it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from avatars.neural.driving import Moment, Surface
from avatars.neural.looks import Looks
from morphable import Head, Performance
from renderers import Camera


class NeuralAvatar(Protocol):
    """A person, ready to play any performance.

    Attributes:
        head: that it is bound to.
        surface: the head's, and the cloth's below it.
        camera: the first clip's.
        background: of the first clip, sRGB.
        provenance: how it was made; anything that JSON can hold.
        looks: of the other clips.
    """

    head: Head
    surface: Surface
    camera: Camera
    background: UInt8[np.ndarray, "height width 3"]
    provenance: dict[str, Any]
    looks: Looks

    @property
    def size(self) -> dict[str, int]:
        """What it is made of: how many of what."""

    def moment(self, performance: Performance, index: int = 0) -> Moment:
        """A frame of a performance, as this person does it."""

    def picture(
        self, moment: Moment, camera: Camera, background: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "height width 3"]:
        """The avatar before a background, encoded sRGB."""

    def save(self, folder: str | Path) -> None:
        """Write the avatar's files into a folder.

        Raises:
            OSError: they cannot be written.
        """
