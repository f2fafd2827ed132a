"""Images looked up at texture coordinates."""

from typing import Literal, NamedTuple

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from .interpolation import corner_attributes
from .kernels import texturing as kernels
from .kernels.launching import image_grid, launch, spans
from .rasterization import Fragments
from .topology import prepare

Wrap = Literal["clamp", "repeat"]


class Pyramid(NamedTuple):
    """An image and its averages in one list of texels, made once for many look-ups.

    Attributes:
        texels: of all levels, the finest first.
        size: (height, width) of the finest.
        levels: how many there are.
    """

    texels: Float[Tensor, "batch texel channel"]
    size: tuple[int, int]
    levels: int


def texture(
    image: Float[Tensor, "batch texture_height texture_width channel"] | Pyramid,
    uv: Float[Tensor, "batch height width 2"],
    footprint: Float[Tensor, "batch height width 4"] | None = None,
    *,
    wrap: Wrap = "clamp",
) -> Float[Tensor, "batch height width channel"]:
    """Look up `image` at `uv`: bilinear, or trilinear in a pyramid of averages where a footprint says how far apart
    neighbouring pixels land.

    uv (0, 0) is the top-left corner of the image and (1, 1) the bottom-right (glTF's convention); texel centres lie at
    half-integers. The pyramid halves the image for as long as both sides are even. Its level is
    log2(max(|d(uv)/dx|, |d(uv)/dy|)), lengths in texels (OpenGL 4.6, section 8.14).

    Gradients flow to texels and `uv`, not to the footprint. On the CPU they are the same bits every time.

    Args:
        image: float32 texels; a batch of one serves every image. Where it is looked up often, its `pyramid`.
        uv: float32 coordinates.
        footprint: (du/dx, du/dy, dv/dx, dv/dy) per pixel, from `uv_footprint`.
        wrap: what lies outside [0, 1].

    Raises:
        ValueError: wrong shapes, types or devices.
    """
    if isinstance(image, Tensor) and image.ndim != 4:
        raise ValueError(f"image must have shape (batch, height, width, channel), not {tuple(image.shape)}")
    if not isinstance(image, Pyramid):
        image = pyramid(image) if footprint is not None else _single(image)
    texels, size, levels = image
    if uv.ndim != 4 or uv.shape[3] != 2 or texels.shape[0] not in (1, uv.shape[0]):
        raise ValueError(
            f"uv must have shape (batch, height, width, 2) with the images' batch of {texels.shape[0]}, "
            f"not {tuple(uv.shape)}"
        )
    if texels.dtype != torch.float32 or uv.dtype != torch.float32:
        raise ValueError(f"image and uv must be float32, not {texels.dtype} and {uv.dtype}")
    if texels.device != uv.device:
        raise ValueError(f"image is on {texels.device}, uv on {uv.device}")
    if wrap not in ("clamp", "repeat"):
        raise ValueError(f"wrap must be 'clamp' or 'repeat', not {wrap!r}")
    batch, height, width, _ = uv.shape
    level = None if footprint is None else _level(footprint, size, levels).reshape(batch, -1)
    output = _Texture.apply(texels.expand(batch, -1, -1), uv.reshape(batch, -1, 2), level, size, wrap == "repeat")
    return output.view(batch, height, width, -1)


def pyramid(image: Float[Tensor, "batch height width channel"]) -> Pyramid:
    """The image with its `mipmaps`, for `texture` to look up."""
    levels = mipmaps(image)
    texels = torch.cat([level.flatten(1, 2) for level in levels], dim=1)
    return Pyramid(texels, (image.shape[1], image.shape[2]), len(levels))


def mipmaps(
    image: Float[Tensor, "batch height width channel"],
) -> list[Float[Tensor, "batch _height _width channel"]]:
    """The image and its averages over 2x2, 4x4 ... texels, for as long as both sides are even."""
    levels = [image]
    while levels[-1].shape[1] % 2 == 0 and levels[-1].shape[2] % 2 == 0:
        planes = levels[-1].permute(0, 3, 1, 2)
        levels.append(torch.nn.functional.avg_pool2d(planes, 2).permute(0, 2, 3, 1))
    return levels


def uv_footprint(
    uv: Float[Tensor, "batch vertex 2"] | Float[Tensor, "vertex 2"],
    uv_triangles: Int[Tensor, "triangle 3"],
    fragments: Fragments,
    clip: Float[Tensor, "batch vertex 4"],
    triangles: Int[Tensor, "triangle 3"],
) -> Float[Tensor, "batch height width 4"]:
    """Screen-space derivatives of the texture coordinates: (du/dx, du/dy, dv/dx, dv/dy) per pixel, x right, y down;
    0 on the background. No gradient.

    Args:
        uv: texture coordinates of the corners that `uv_triangles` indexes.
        uv_triangles: as many as `triangles`; the same tensor where corners are not split.
        fragments: what `rasterize` returned for `clip` and `triangles`.
    """
    batch, height, width = fragments.triangle.shape
    device = clip.device
    values, corners = corner_attributes(uv, batch, uv_triangles, device)
    output = torch.empty(batch, height, width, 4, device=device)
    grid = image_grid(batch, height, width, device)
    launch(
        kernels.footprint,
        grid.items,
        [
            grid.bands,
            grid.segment,
            height,
            width,
            (clip.detach().contiguous(), wp.vec4),
            (prepare(triangles, device).triangles, wp.vec3i),
            (values.detach().contiguous(), wp.vec2),
            (corners, wp.vec3i),
            (fragments.triangle.view(-1), wp.int32),
            (output.view(-1, 4), wp.vec4),
        ],
        device,
    )
    return output


def _single(image: Tensor) -> Pyramid:
    return Pyramid(image.flatten(1, 2), (image.shape[1], image.shape[2]), 1)


def _level(footprint: Tensor, size: tuple[int, int], levels: int) -> Tensor:
    height, width = size
    texels = footprint.detach() * footprint.new_tensor([width, width, height, height])
    longest = texels.square_().unflatten(-1, (2, 2)).sum(-2).amax(-1)
    return longest.log2_().mul_(0.5).clamp_(0.0, levels - 1.0)


class _Texture(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pyramid: Tensor, uv: Tensor, level: Tensor | None, size: tuple[int, int], repeat: bool) -> Tensor:
        uv = uv.contiguous()
        level = uv.new_empty(0, 0) if level is None else level.contiguous()
        output = torch.empty(*uv.shape[:2], pyramid.shape[2], device=uv.device)
        span, items = spans(uv.shape[1], uv.device)
        launch(
            kernels.texture_forward,
            uv.shape[0] * items,
            [span, *size, int(repeat), (pyramid, wp.float32), (uv, wp.vec2), (level, wp.float32), (output, wp.float32)],
            uv.device,
        )
        ctx.save_for_backward(pyramid, uv, level)
        ctx.lookup = (*size, int(repeat))
        return output

    @staticmethod
    def backward(ctx, output_gradient: Tensor):
        pyramid, uv, level = ctx.saved_tensors
        samples = (uv, wp.vec2), (level, wp.float32), (output_gradient.contiguous(), wp.float32)
        span, items = spans(uv.shape[1], uv.device)
        pyramid_gradient = uv_gradient = None
        if ctx.needs_input_grad[0]:
            pyramid_gradient = torch.zeros(pyramid.shape, device=uv.device)
            on_cpu = uv.device.type == "cpu"
            owners, owned = (torch.get_num_threads(), max(uv.shape[1], 1)) if on_cpu else (1, 1)
            launch(
                kernels.texture_backward_texels,
                uv.shape[0] * owners * ((uv.shape[1] + owned - 1) // owned),
                [owners, owned, *ctx.lookup, *samples, (pyramid_gradient, wp.float32)],
                uv.device,
            )
        if ctx.needs_input_grad[1]:
            uv_gradient = torch.empty_like(uv)
            launch(
                kernels.texture_backward_uv,
                uv.shape[0] * items,
                [span, *ctx.lookup, (pyramid, wp.float32), *samples, (uv_gradient, wp.vec2)],
                uv.device,
            )
        return pyramid_gradient, uv_gradient, None, None, None
