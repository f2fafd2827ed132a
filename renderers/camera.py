"""The pinhole camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, or a batch of them, differentiable in every tensor.

    The world is right-handed, in metres. Camera axes are OpenCV's: x right, y down, z forward. Pixel (0, 0) is the
    top-left one and its centre is at (0.5, 0.5).

    Attributes:
        focal: focal lengths along x and y, in pixels.
        principal: where the optical axis meets the image, in pixels.
        rotation: world-to-camera rotation.
        translation: world-to-camera translation: x_camera = rotation x_world + translation.
        resolution: (height, width) in pixels.
        near: depth of the near plane, in metres; nothing nearer is drawn.
        far: depth of the far plane, in metres.
    """

    focal: Float[Tensor, "*batch 2"]
    principal: Float[Tensor, "*batch 2"]
    rotation: Float[Tensor, "*batch 3 3"]
    translation: Float[Tensor, "*batch 3"]
    resolution: tuple[int, int]
    near: float = 0.01
    far: float = 100.0

    @classmethod
    def looking_at(
        cls,
        eye: Float[Tensor, "*batch 3"] | Sequence[float],
        target: Float[Tensor, "*batch 3"] | Sequence[float],
        up: Float[Tensor, "*batch 3"] | Sequence[float],
        field_of_view: float | Float[Tensor, "*batch"],
        resolution: tuple[int, int],
        near: float = 0.01,
        far: float = 100.0,
    ) -> Self:
        """A camera at `eye` with `target` at the centre of its image.

        Args:
            eye: position in the world.
            target: a point in the world, not at the eye.
            up: a direction in the world, not along the line of sight; it points up in the image.
            field_of_view: vertical opening angle, in radians.
            resolution: (height, width) in pixels.
        """
        origin = eye if isinstance(eye, Tensor) else torch.tensor(eye, dtype=torch.float32)
        ahead = torch.as_tensor(target, dtype=origin.dtype, device=origin.device) - origin
        above = torch.as_tensor(up, dtype=origin.dtype, device=origin.device)
        forward = torch.nn.functional.normalize(ahead, dim=-1)
        right = torch.nn.functional.normalize(torch.linalg.cross(forward, above.expand_as(forward)), dim=-1)
        rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-2)
        height, width = resolution
        angle = torch.as_tensor(field_of_view, dtype=origin.dtype, device=origin.device)
        focal = (0.5 * height / (0.5 * angle).tan()).expand(forward.shape[:-1])
        principal = origin.new_tensor([0.5 * width, 0.5 * height]).expand(*forward.shape[:-1], 2)
        translation = -(rotation @ origin.expand_as(forward)[..., None])[..., 0]
        return cls(torch.stack([focal, focal], -1), principal, rotation, translation, resolution, near, far)

    @property
    def position(self) -> Float[Tensor, "*batch 3"]:
        """The centre of projection in the world."""
        return -(self.rotation.mT @ self.translation[..., None])[..., 0]

    def view(self, points: Float[Tensor, "*batch point 3"]) -> Float[Tensor, "*batch point 3"]:
        """World → camera axes, in metres."""
        return points @ self.rotation.mT + self.translation[..., None, :]

    def project(self, points: Float[Tensor, "*batch point 3"]) -> Float[Tensor, "*batch point 2"]:
        """World → pixels. Points in the plane of the camera go to infinity; those behind it come out mirrored."""
        seen = self.view(points)
        return seen[..., :2] / seen[..., 2:] * self.focal[..., None, :] + self.principal[..., None, :]

    def clip(self, points: Float[Tensor, "*batch point 3"]) -> Float[Tensor, "*batch point 4"]:
        """World → clip space for `rasterize`: (x, y, z) / w in [-1, 1] is the visible box, x right, y up, z from near
        to far; w is the camera z in metres."""
        height, width = self.resolution
        seen = self.view(points)
        depth = seen[..., 2:]
        size = seen.new_tensor([width, height])
        offset = 2.0 * self.principal[..., None, :] - size
        plane = (2.0 * self.focal[..., None, :] * seen[..., :2] + offset * depth) / seen.new_tensor([width, -height])
        span = self.far - self.near
        z = (self.far + self.near) / span * depth - 2.0 * self.far * self.near / span
        return torch.cat([plane, z, depth], dim=-1)

    def scaled(self, factor: float) -> Self:
        """The camera of the image resized by `factor`, its sides rounded to whole pixels."""
        height, width = (max(1, round(side * factor)) for side in self.resolution)
        ratio = self.focal.new_tensor([width / self.resolution[1], height / self.resolution[0]])
        return replace(self, focal=self.focal * ratio, principal=self.principal * ratio, resolution=(height, width))

    def cropped(self, x0: float, y0: float, height: int, width: int) -> Self:
        """The camera of the part of the image whose top-left corner is at pixel coordinates (x0, y0)."""
        corner = self.principal.new_tensor([x0, y0])
        return replace(self, principal=self.principal - corner, resolution=(height, width))
