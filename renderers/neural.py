"""Pictures made by a network: what a mesh was drawn with goes in, what it should look like comes out (Thies et al.,
"Deferred Neural Rendering", 2019)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

SLOPE = 0.1
"""Of leaky rectifiers below 0."""


class UNet(torch.nn.Module):
    """A picture from a picture (Ronneberger et al., "U-Net", 2015): convolutions at halved resolutions, and back up.

    Tokens, where it takes any, scale and shift what comes out of each convolution, channel by channel (Perez et al.,
    "FiLM", 2018). Fresh, it puts out zeros whatever it is given, and tokens change nothing. It has no normalisation: a
    pixel depends on nothing but what is near it.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], tokens: int = 0) -> None:
        """Take so many channels in and put out so many.

        Args:
            widths: channels at each resolution, the finest first.
            tokens: numbers that modulate the layers.
        """
        super().__init__()
        self.widths = tuple(widths)
        down, up = [], []
        before = inputs
        for width in widths:
            down.append(_Block(before, width, tokens))
            before = width
        for finer, coarser in pairwise(widths):
            up.append(_Block(finer + coarser, finer, tokens))
        self.down, self.up = torch.nn.ModuleList(down), torch.nn.ModuleList(up)
        self.last = torch.nn.Conv2d(widths[0], outputs, 1)
        for parameter in self.last.parameters():
            torch.nn.init.zeros_(parameter)

    def forward(
        self, picture: Float[Tensor, "batch height width input"], tokens: Float[Tensor, "batch token"] | None = None
    ) -> Float[Tensor, "batch height width output"]:
        """The picture that the network makes of one of any size; nothing is beyond its edges."""
        height, width = picture.shape[1:3]
        unit = 2 ** len(self.up)
        layer = torch.nn.functional.pad(picture.permute(0, 3, 1, 2), (0, -width % unit, 0, -height % unit))
        finer = []
        for number, block in enumerate(self.down):
            if number:
                layer = torch.nn.functional.avg_pool2d(layer, 2)
            layer = block(layer, tokens)
            finer.append(layer)
        for block, same in zip(reversed(self.up), reversed(finer[:-1]), strict=True):
            wide = torch.nn.functional.interpolate(layer, scale_factor=2.0, mode="bilinear", align_corners=False)
            layer = block(torch.cat([same, wide], 1), tokens)
        return self.last(layer)[:, :, :height, :width].permute(0, 2, 3, 1)

    def modulations(self) -> list[Tensor]:
        """Weights by which tokens act; all 0 where they change nothing."""
        return [block.modulation.weight for block in (*self.down, *self.up) if block.modulation is not None]


class _Block(torch.nn.Module):
    """Two convolutions, each modulated."""

    def __init__(self, inputs: int, outputs: int, tokens: int) -> None:
        super().__init__()
        self.convolutions = torch.nn.ModuleList([_convolution(inputs, outputs), _convolution(outputs, outputs)])
        self.modulation = torch.nn.Linear(tokens, 4 * outputs, bias=False) if tokens else None
        if self.modulation is not None:
            torch.nn.init.zeros_(self.modulation.weight)

    def forward(self, layer: Tensor, tokens: Tensor | None) -> Tensor:
        changes = [None, None] if self.modulation is None else self.modulation(tokens)[..., None, None].chunk(2, 1)
        for convolution, change in zip(self.convolutions, changes, strict=True):
            layer = convolution(layer)
            if change is not None:
                scale, shift = change.chunk(2, 1)
                layer = layer * (1 + scale) + shift
            layer = torch.nn.functional.leaky_relu(layer, SLOPE)
        return layer


def _convolution(inputs: int, outputs: int) -> torch.nn.Conv2d:
    """Of 3 x 3 pixels; it keeps variances (He et al., "Delving Deep into Rectifiers", 2015)."""
    made = torch.nn.Conv2d(inputs, outputs, 3, padding=1)
    torch.nn.init.kaiming_normal_(made.weight, SLOPE)
    assert made.bias is not None
    torch.nn.init.zeros_(made.bias)
    return made
