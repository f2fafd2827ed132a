"""Images of 3D Gaussians (Zwicker et al., "EWA Volume Splatting", 2001; Kerbl et al., "3D Gaussian Splatting for
Real-Time Radiance Field Rendering", 2023)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from .camera import Camera
from .kernels import gaussians as kernels
from .kernels.launching import launch, spans
from .lighting import spherical_harmonics_basis

TILE = int(kernels.TILE)
Backend = Literal["warp", "gsplat"]


class Splatted(NamedTuple):
    """An image of Gaussians, nothing behind them.

    Attributes:
        image: colour times opacity; what is behind adds (1 - alpha) of its own.
        alpha: opacity.
        depth: camera z in metres, times opacity.
    """

    image: Float[Tensor, "height width 3"]
    alpha: Float[Tensor, "height width"]
    depth: Float[Tensor, "height width"]

    def over(self, background: Float[Tensor, "height width 3"]) -> Float[Tensor, "height width 3"]:
        """The image before a background of colours in the same space."""
        return self.image + (1 - self.alpha[..., None]) * background


def splat(
    means: Float[Tensor, "gaussian 3"],
    axes: Float[Tensor, "gaussian 3 3"],
    opacities: Float[Tensor, " gaussian"],
    colours: Float[Tensor, "gaussian 3"],
    camera: Camera,
    *,
    backend: Backend = "warp",
) -> Splatted:
    """Draw Gaussians from the nearest to the farthest, each as the ellipse that the projection's slope at its mean
    makes of it.

    A Gaussian has opacity * exp(-d² / 2) at a pixel's centre, d deviations from its mean, but 0.99 at most; below 1/255
    it is left out, and so is what lies behind a transmittance of 1e-4. 0.3 square pixels are added to its variances.
    Those with a mean nearer than the camera's near plane or beyond the far one are not drawn. Order is that of means.

    Gradients flow to the four tensors, not to the camera: moving it is moving all Gaussians. On the CPU both directions
    give the same bits every time, whatever the number of threads; on CUDA gradients are summed by atomics.

    Args:
        means: float32, metres, in the world.
        axes: the columns are three directions with their deviations, metres: the covariance is axes @ axes.mT. Of a
            rotation matrix and deviations it is rotation * deviations[:, None].
        opacities: in [0, 1].
        colours: of any linear or encoded space; they are mixed as they are. See `harmonic_colours`.
        camera: one, not a batch.
        backend: "warp" (built in), or "gsplat" where installed (CUDA only).

    Raises:
        ValueError: wrong shapes, types or devices.
        ImportError: the chosen backend is not installed.
    """
    count, device = len(means), means.device
    for name, tensor, shape in (
        ("means", means, (count, 3)),
        ("axes", axes, (count, 3, 3)),
        ("opacities", opacities, (count,)),
        ("colours", colours, (count, 3)),
    ):
        if tensor.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, not {tuple(tensor.shape)}")
        if tensor.dtype != torch.float32 or tensor.device != device:
            raise ValueError(f"{name} must be float32 on {device}, not {tensor.dtype} on {tensor.device}")
    if camera.focal.shape != (2,):
        raise ValueError(f"splat draws for one camera, not for a batch of shape {tuple(camera.focal.shape[:-1])}")
    if backend == "warp":
        view = (camera.rotation, camera.translation, torch.cat([camera.focal, camera.principal]))
        fixed = [tensor.detach().to(device, torch.float32).contiguous() for tensor in view]
        limits = (camera.near, camera.far)
        return Splatted(*_Splat.apply(means, axes, opacities, colours, *fixed, camera.resolution, limits))
    from .backends import load_splatter

    return load_splatter(backend).splat(means, axes, opacities, colours, camera)


def harmonic_colours(
    coefficients: Float[Tensor, "gaussian order 3"], directions: Float[Tensor, "gaussian 3"]
) -> Float[Tensor, "gaussian 3"]:
    """Colours that depend on the direction of sight, as 3DGS defines them: 0.5 + harmonics, not below 0.

    Args:
        coefficients: 1, 4 or 9 orders of `spherical_harmonics_basis` with the signs of 3DGS, which turns over those odd
            in direction.
        directions: from the camera to each Gaussian, of length 1.
    """
    orders = coefficients.shape[1]
    if orders == 1:
        basis = spherical_harmonics_basis(directions.new_zeros(1, 3))[:, :1].expand(len(directions), 1)
    else:
        signs = directions.new_tensor([1, -1, 1, -1, 1, -1, 1, -1, 1])
        basis = (spherical_harmonics_basis(directions) * signs)[:, :orders]
    return ((basis[..., None] * coefficients).sum(1) + 0.5).clamp(min=0)


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        means: Tensor,
        axes: Tensor,
        opacities: Tensor,
        colours: Tensor,
        rotation: Tensor,
        translation: Tensor,
        lens: Tensor,
        resolution: tuple[int, int],
        limits: tuple[float, float],
    ) -> tuple[Tensor, Tensor, Tensor]:
        height, width = resolution
        count, device = len(means), means.device
        means, axes = means.contiguous(), axes.contiguous()
        view = (rotation[None], translation[None], lens[None])
        across, down = -(-width // TILE), -(-height // TILE)
        places, shapes = (torch.empty(count, 4, device=device) for _ in range(2))
        depth = torch.empty(count, device=device)
        boxes = torch.empty(count, 4, dtype=torch.int32, device=device)
        counts = torch.empty(count, dtype=torch.int32, device=device)
        span, items = spans(count, device)
        launch(
            kernels.project,
            items,
            [
                *(span, across, down, *_viewed(view), wp.vec2(width, height), wp.vec2(*limits)),
                *((means, wp.vec3), (axes, wp.mat33), (opacities.contiguous(), wp.float32)),
                *((places, wp.vec4), (shapes, wp.vec4), (depth, wp.float32), (boxes, wp.vec4i), (counts, wp.int32)),
            ],
            device,
        )
        order = torch.argsort(depth, stable=True)
        ends = counts[order].cumsum(0)
        starts, entries, slots = _listed(order, ends, boxes, across, down)
        features = torch.cat([colours, depth[:, None]], 1)
        output = torch.empty(height * width, 4, device=device)
        transmittance = torch.empty(height * width, device=device)
        launch(
            kernels.composite,
            _pieces(height, width, device),
            [
                *(_piece(device), height, width, (starts, wp.int32), (entries, wp.int32)),
                *((places, wp.vec4), (shapes, wp.vec4), (features, wp.vec4)),
                *((output, wp.vec4), (transmittance, wp.float32)),
            ],
            device,
        )
        ctx.save_for_backward(means, axes, *view, order, ends, starts, entries, slots)
        ctx.drawn = (places, shapes, features, output, transmittance)
        ctx.resolution = resolution
        image = output.view(height, width, 4)
        return image[..., :3], 1 - transmittance.view(height, width), image[..., 3]

    @staticmethod
    def backward(ctx, image_gradient: Tensor, alpha_gradient: Tensor, depth_gradient: Tensor):
        means, axes, *view, order, ends, starts, entries, slots = ctx.saved_tensors
        places, shapes, features, output, transmittance = ctx.drawn
        height, width = ctx.resolution
        count, device = len(means), means.device
        gradient = torch.cat([image_gradient, depth_gradient[..., None]], -1).view(-1, 4)
        behind = (output * gradient).sum(1) - alpha_gradient.reshape(-1) * transmittance
        moments = torch.zeros(len(entries), 6, device=device)
        of_features = torch.zeros(len(entries), 4, device=device)
        launch(
            kernels.composite_backward,
            _pieces(height, width, device),
            [
                *(_piece(device), height, width, (starts, wp.int32), (entries, wp.int32), (slots, wp.int64)),
                *((places, wp.vec4), (shapes, wp.vec4), (features, wp.vec4), (gradient, wp.vec4)),
                *((torch.empty_like(transmittance), wp.float32), (behind, wp.float32)),
                *((moments, wp.float32), (of_features, wp.vec4)),
            ],
            device,
        )
        of_means, of_axes = torch.zeros_like(means), torch.zeros_like(axes)
        of_opacities, of_colours = torch.zeros(count, device=device), torch.zeros(count, 3, device=device)
        span, items = spans(count, device)
        launch(
            kernels.project_backward,
            items,
            [
                *(span, *_viewed(view), wp.vec2(width, height), (order, wp.int64), (ends, wp.int64)),
                *((means, wp.vec3), (axes, wp.mat33), (shapes, wp.vec4), (moments, wp.float32)),
                *((of_features, wp.vec4), (of_means, wp.vec3), (of_axes, wp.mat33)),
                *((of_opacities, wp.float32), (of_colours, wp.vec3)),
            ],
            device,
        )
        return of_means, of_axes, of_opacities, of_colours, None, None, None, None, None


def _viewed(view: Sequence[Tensor]) -> tuple:
    """Rotation, translation, and focal lengths with the principal point, each a list of one, as kernels read them."""
    return tuple(zip(view, (wp.mat33, wp.vec3, wp.vec4), strict=True))


def _listed(order: Tensor, ends: Tensor, boxes: Tensor, across: int, down: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where each tile's entries start, the Gaussian of each entry, and the slot for its gradients."""
    device = order.device
    total = int(ends[-1]) if len(ends) else 0
    tile, gaussian = (torch.empty(total, dtype=torch.int32, device=device) for _ in range(2))
    span, items = spans(len(order), device)
    launch(
        kernels.enter,
        items,
        [
            *(span, across, (order, wp.int64), (ends, wp.int64), (boxes, wp.vec4i)),
            *((tile, wp.int32), (gaussian, wp.int32)),
        ],
        device,
    )
    tile, slots = torch.sort(tile, stable=True)
    tiles = torch.arange(across * down + 1, dtype=torch.int32, device=device)
    return torch.searchsorted(tile, tiles).int(), gaussian[slots], slots


def _piece(device: torch.device) -> int:
    """Side of the squares that images are cut into."""
    return TILE if device.type == "cpu" else 1


def _pieces(height: int, width: int, device: torch.device) -> int:
    piece = _piece(device)
    return -(-height // piece) * -(-width // piece)
