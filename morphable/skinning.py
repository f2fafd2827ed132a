"""Linear blend skinning."""

import torch
from jaxtyping import Float
from torch import Tensor

SMALL = 1e-3
"""Squared angle below which series take the place of quotients that lose their digits."""


def blend_skinning(
    vertices: Float[Tensor, "batch vertex 3"],
    joints: Float[Tensor, "batch joint 3"],
    parents: tuple[int, ...],
    weights: Float[Tensor, "vertex joint"],
    pose: Float[Tensor, "batch joint 3"],
) -> tuple[Float[Tensor, "batch vertex 3"], Float[Tensor, "batch joint 3"]]:
    """Vertices and joints after turning each joint about its rest position (Lewis et al. 2000, equation 1).

    Args:
        vertices: at rest.
        joints: at rest.
        parents: index of each joint's parent, which comes before it; -1 for the root.
        weights: how much each vertex follows each joint; rows sum to one.
        pose: axis-angle rotation of each joint relative to its parent, in the rest frame, radians.
    """
    rotations, translations = joint_transforms(joints, parents, pose)
    turned = torch.einsum("bjik,bvk->bjvi", rotations, vertices) + translations[:, :, None]
    posed = torch.einsum("vj,bjvi->bvi", weights, turned)
    return posed, torch.einsum("bjik,bjk->bji", rotations, joints) + translations


def joint_transforms(
    joints: Float[Tensor, "batch joint 3"], parents: tuple[int, ...], pose: Float[Tensor, "batch joint 3"]
) -> tuple[Float[Tensor, "batch joint 3 3"], Float[Tensor, "batch joint 3"]]:
    """Rotation R and translation t of each joint, so that a point x that follows it goes to R x + t."""
    local = rotation_matrices(pose)
    rotations: list[Tensor] = []
    translations: list[Tensor] = []
    for joint, parent in enumerate(parents):
        rotation = local[:, joint]
        translation = joints[:, joint] - (rotation @ joints[:, joint, :, None])[..., 0]
        if parent >= 0:
            translation = (rotations[parent] @ translation[..., None])[..., 0] + translations[parent]
            rotation = rotations[parent] @ rotation
        rotations.append(rotation)
        translations.append(translation)
    return torch.stack(rotations, 1), torch.stack(translations, 1)


def rotation_matrices(rotations: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of axis-angle vectors (Rodrigues' formula), with gradients at no rotation too."""
    squared = rotations.square().sum(-1)[..., None, None]
    small = squared < SMALL
    angle = torch.where(small, 1.0, squared).sqrt()
    sine = torch.where(small, 1 - squared / 6 + squared.square() / 120, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - squared / 24 + squared.square() / 720, (1 - angle.cos()) / angle.square())
    x, y, z = rotations.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.eye(3).to(rotations) + sine * cross + cosine * cross @ cross
