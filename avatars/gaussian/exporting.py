"""An avatar at one moment as splats for other programs."""

from __future__ import annotations

import numpy as np
import roma
import torch

from avatars.export.splats import Splats
from avatars.gaussian.avatar import GaussianAvatar
from avatars.neural.driving import Moment
from morphable import Performance
from morphable.skinning import rotation_matrices

FAINT = 1 / 255
"""Opacity below which a Gaussian is left out."""


@torch.no_grad()
def splats(avatar: GaussianAvatar, performance: Performance | None = None) -> Splats:
    """The avatar at a performance's first frame, or at rest.

    A Gaussian's axes under a moved triangle are directions with lengths, as an ellipsoid's are. Where the head is
    turned, the harmonics of its Gaussians are turned with it.
    """
    moment = Moment.rest() if performance is None else avatar.moment(performance)
    own = avatar.gaussians
    means, axes = avatar.shaped(moment)
    deviations = axes.norm(dim=1)
    turns = roma.rotmat_to_unitquat(axes / deviations[:, None])
    colours = avatar.harmonics(moment)
    on_head = own.triangle < avatar.surface.head_triangles
    # 3DGS's coefficients of order 1 go with -y, z, -x of the direction.
    to_vector = torch.tensor([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])
    turn = to_vector.T @ rotation_matrices(moment.head) @ to_vector
    colours[on_head, 1:] = turn @ colours[on_head, 1:]
    kept = own.opacity.sigmoid() >= FAINT
    return Splats(
        *(
            np.ascontiguousarray(values[kept].numpy())
            for values in (means, turns[:, [3, 0, 1, 2]], deviations.log(), own.opacity, colours)
        )
    )
