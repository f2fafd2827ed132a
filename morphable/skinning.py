"""Linear blend skinning."""

import roma
import torch
from jaxtyping import Float
from torch import Tensor


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
    local = roma.rotvec_to_rotmat(pose)
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
