"""Splatting 30 000 Gaussians at 512²: forward, with backward, and growth with Gaussians and pixels, which is drawn, too
(`gaussians.png` in the folder that the environment variable FACE3D_PLOTS names, else no plot). Against gsplat where a
CUDA device and the package are.

The Gaussians lie on a head-sized ellipsoid that fills the image from top to bottom, at random, as large as the
distances between them, of random shape, colour and opacity.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import roma
import torch
from torch import Tensor

from renderers import Camera, splat
from renderers.backends import load_splatter
from renderers.gaussians import Backend

from .timing import figure, growth, medians

COUNT, SIDE = 30_000, 512
FORWARD_LIMIT, BOTH_LIMIT = 1e3 / 12, 350.0
"""Milliseconds on two cores."""
COUNTS = (7_500, 15_000, 30_000, 60_000, 120_000)
SIDES = (256, 512, 1024, 2048)
PLOTS = os.environ.get("FACE3D_PLOTS")


def figures() -> Iterator[dict]:
    forward, both = medians([drawing(COUNT, SIDE), drawing(COUNT, SIDE, gradients=True)], repetitions=9)
    yield figure("splat_forward", forward, "ms", "limit", FORWARD_LIMIT)
    yield figure("splat_forward_backward", both, "ms", "limit", BOTH_LIMIT)
    yield from against_gsplat()
    by_count = medians([drawing(count, SIDE, gradients=True) for count in COUNTS], repetitions=5)
    by_side = medians([drawing(COUNT, side, gradients=True) for side in SIDES], repetitions=5)
    for count, taken in zip(COUNTS, by_count, strict=True):
        yield figure(f"splat_{count}_gaussians", taken, "ms")
    for side, taken in zip(SIDES, by_side, strict=True):
        yield figure(f"splat_{side * side}_pixels", taken, "ms")
    yield figure("splat_growth_with_gaussians", growth(COUNTS, by_count), "exponent")
    yield figure("splat_growth_with_pixels", growth([side * side for side in SIDES], by_side), "exponent")
    if PLOTS:
        plot(Path(PLOTS) / "gaussians.png", by_count, by_side)


def against_gsplat() -> Iterator[dict]:
    try:
        load_splatter("gsplat")
    except ImportError:
        return
    if not torch.cuda.is_available():
        return
    ours, theirs = medians(
        [drawing(COUNT, SIDE, True, "cuda"), drawing(COUNT, SIDE, True, "cuda", backend="gsplat")], repetitions=9
    )
    yield figure("splat_forward_backward_on_cuda", ours, "ms", "gsplat", theirs)


def drawing(count: int, side: int, gradients: bool = False, device: str = "cpu", backend: Backend = "warp"):
    values = [each.to(device).requires_grad_(gradients) for each in cloud(count)]
    eye = torch.tensor([0.0, 0.0, 0.6], device=device)
    camera = Camera.looking_at(eye, (0, 0, 0), (0, 1, 0), 2 * math.atan(0.118 / 0.6), (side, side))
    weight = torch.rand(side, side, 3, device=device)

    def run() -> None:
        drawn = splat(*values, camera, backend=backend)
        if gradients:
            torch.autograd.grad([drawn.image, drawn.alpha], values, [weight, weight[..., 0]])
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def cloud(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means, axes, opacities, colours."""
    random = torch.Generator().manual_seed(0)
    towards = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=-1)
    spacing = math.sqrt(4 * math.pi * 0.1**2 / count)
    deviations = spacing * (0.3 + 0.7 * torch.rand(count, 3, generator=random))
    turns = torch.nn.functional.normalize(torch.randn(count, 4, generator=random), dim=-1)
    axes = roma.unitquat_to_rotmat(turns) * deviations[:, None]
    opacities = 0.1 + 0.9 * torch.rand(count, generator=random)
    return towards * torch.tensor([0.085, 0.115, 0.1]), axes, opacities, torch.rand(count, 3, generator=random)


def plot(path: Path, by_count: list[float], by_side: list[float]) -> None:
    from matplotlib.figure import Figure

    drawing = Figure((8, 3.5), layout="constrained")
    left, right = drawing.subplots(1, 2)
    for axis, sizes, taken, name in (
        (left, COUNTS, by_count, f"Gaussians at {SIDE}²"),
        (right, [side * side for side in SIDES], by_side, f"pixels, {COUNT} Gaussians"),
    ):
        axis.loglog(sizes, taken, "o-")
        axis.set(xlabel=name, ylabel="forward + backward, ms")
        axis.grid(True, which="both", alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=110)
