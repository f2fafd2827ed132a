"""Density and colour in the space around a head in its canonical pose: hashed features for each expression, and a
small network."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from renderers import hash_encoding

HIDDEN = 48
DENSITY_AT_START = 5.0
"""Per metre: what is there before anything was learned, hardly to be seen."""
DENSEST = 8.0
"""Logarithm of the largest density per metre: opaque within a millimetre."""
FIRST_FEATURES = 1e-2
"""Largest entry of the tables at the start."""


@dataclass
class Field:
    """What is learned of a person's looks.

    Attributes:
        tables: of features, for the mean expression.
        moods: what each mood adds to them (Gao et al., "Reconstructing Personalized Semantic Facial NeRF Models From
            Monocular Video", 2022).
        resolutions: of the levels.
        low: least corner of the cube that is described, metres.
        extent: its side, metres.
        hidden, hidden_bias: features → HIDDEN numbers.
        density: → logarithm of the density per metre.
        colour, colour_bias: with the direction of sight → HIDDEN numbers.
        shown, shown_bias: → colour.
    """

    tables: Float[Tensor, "level entry feature"]
    moods: Float[Tensor, "mood level entry feature"]
    resolutions: Int[Tensor, " level"]
    low: Float[Tensor, 3]
    extent: Float[Tensor, ""]
    hidden: Float[Tensor, "wide feature"]
    hidden_bias: Float[Tensor, " wide"]
    density: Float[Tensor, "1 wide"]
    colour: Float[Tensor, "wide wide+3"]
    colour_bias: Float[Tensor, " wide"]
    shown: Float[Tensor, "3 wide"]
    shown_bias: Float[Tensor, " 3"]

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def merged(self, mood: Float[Tensor, " mood"]) -> Float[Tensor, "level entry feature"]:
        """Tables of one expression."""
        return self.tables + torch.einsum("m,mlef->lef", mood, self.moods)

    def densities_and_colours(
        self,
        points: Float[Tensor, "point 3"],
        directions: Float[Tensor, "point 3"],
        tables: Float[Tensor, "level entry feature"],
    ) -> tuple[Float[Tensor, " point"], Float[Tensor, "point 3"]]:
        """Per metre, and encoded sRGB.

        Args:
            points: about the canonical pose, metres.
            directions: of sight, of length 1, in the frame of the head.
            tables: those of `merged`.
        """
        encoded = hash_encoding((points - self.low) / self.extent, tables, self.resolutions.tolist())
        inner = torch.nn.functional.linear(encoded, self.hidden, self.hidden_bias).relu()
        density = torch.nn.functional.linear(inner, self.density)[:, 0].clamp(max=DENSEST).exp() * DENSITY_AT_START
        seen = torch.cat([inner, directions], 1)
        painted = torch.nn.functional.linear(seen, self.colour, self.colour_bias).relu()
        return density, torch.nn.functional.linear(painted, self.shown, self.shown_bias).sigmoid()


def started(
    low: Float[Tensor, 3], extent: float, resolutions: tuple[int, ...], entries: int, features: int, moods: int
) -> Field:
    """A field in which nothing was learned yet; the same each time."""
    random = torch.Generator().manual_seed(0)

    def layer(out: int, into: int) -> Tensor:
        return torch.randn(out, into, generator=random) * (2 / into) ** 0.5

    tables = FIRST_FEATURES * (2 * torch.rand(len(resolutions), entries, features, generator=random) - 1)
    return Field(
        tables=tables,
        moods=torch.zeros(moods, *tables.shape),
        resolutions=torch.tensor(resolutions),
        low=low,
        extent=torch.tensor(extent),
        hidden=layer(HIDDEN, len(resolutions) * features),
        hidden_bias=torch.zeros(HIDDEN),
        density=layer(1, HIDDEN),
        colour=layer(HIDDEN, HIDDEN + 3),
        colour_bias=torch.zeros(HIDDEN),
        shown=layer(3, HIDDEN),
        shown_bias=torch.zeros(3),
    )
