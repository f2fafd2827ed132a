"""gsplat's rasterization of Gaussians: CUDA only."""

import torch
from gsplat.rendering import rasterization
from jaxtyping import Float
from torch import Tensor

from ..camera import Camera
from ..gaussians import Splatted


def splat(
    means: Float[Tensor, "gaussian 3"],
    axes: Float[Tensor, "gaussian 3 3"],
    opacities: Float[Tensor, " gaussian"],
    colours: Float[Tensor, "gaussian 3"],
    camera: Camera,
) -> Splatted:
    """See `renderers.splat`; a Gaussian's opacity may come nearer to 1."""
    height, width = camera.resolution
    view = torch.eye(4, device=means.device)
    view[:3, :3], view[:3, 3] = camera.rotation, camera.translation
    lens = torch.diag(torch.cat([camera.focal, camera.focal.new_ones(1)]))
    lens[:2, 2] = camera.principal
    drawn, alpha, _ = rasterization(
        means,
        None,
        None,
        opacities,
        colours,
        view[None],
        lens.to(means)[None],
        width,
        height,
        near_plane=camera.near,
        far_plane=camera.far,
        packed=False,
        render_mode="RGB+D",
        covars=axes @ axes.mT,
    )
    return Splatted(drawn[0, ..., :3], alpha[0, ..., 0], drawn[0, ..., 3])
