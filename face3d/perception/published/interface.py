"""What every published network is asked, and what it answers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from morphable.flame import Flame


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of one face, in the model's own terms: as many leading coefficients as the network knows, None where it knows
    none.

    Attributes:
        shape: of identity.
        expression: of the model's own expressions (`native_expression_basis`).
        rotation: of the whole head, from FLAME's frame to that of the network's crop (y up, z towards the camera),
            axis-angle, radians.
        jaw: axis-angle, radians.
        camera: weak perspective on the network's crop, whose sides are at -1 and 1, y up: scale, then shift of x and y.
        eyelids: how far the left and the right one are shut beyond what the expression does, from 0 to 1.
        albedo: of the colour space that the network was taught with.
        light: second-order spherical harmonics, a row each, for red, green and blue.
    """

    shape: Float[np.ndarray, " shape"]
    expression: Float[np.ndarray, " native"] | None = None
    rotation: Float[np.ndarray, "3"] | None = None
    jaw: Float[np.ndarray, "3"] | None = None
    camera: Float[np.ndarray, "3"] | None = None
    eyelids: Float[np.ndarray, "2"] | None = None
    albedo: Float[np.ndarray, " albedo"] | None = None
    light: Float[np.ndarray, "9 3"] | None = None


class PublishedNetwork(nn.Module, ABC):
    """One that others published.

    Attributes:
        name: what the user calls it.
        parts: where the published file keeps each part of the network: prefixes there and here.
    """

    name: ClassVar[str]
    parts: ClassVar[Mapping[str, str]]

    @abstractmethod
    def read(self, image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 3"]) -> Coefficients:
        """The face at these landmarks of an sRGB image (`perception.FaceObservation.landmarks`)."""

    @classmethod
    def own_tensors(cls, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of a published file that are this network's, under its own names."""
        return {
            here + name.removeprefix(there): tensor
            for there, here in cls.parts.items()
            for name, tensor in tensors.items()
            if name.startswith(there)
        }

    @classmethod
    def require_model(cls, model: Flame, tensors: Mapping[str, Tensor], file: str) -> None:
        """Raise Face3DError if the file shows that it was taught with another model than this."""
