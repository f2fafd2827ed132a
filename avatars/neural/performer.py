"""An avatar plays a performance: frames for a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import roma
import torch
from jaxtyping import Float, UInt8

from avatars.mesh_performer import MAX_SIZE
from avatars.neural.avatar import NeuralAvatar
from morphable import Performance
from morphable.editing import frame_times, sampled
from morphable.playing import HEAD
from renderers import Camera
from renderers.parallel import in_parallel


@dataclass(frozen=True)
class View:
    """From where an avatar is seen.

    Attributes:
        yaw: radians from the clip's camera towards the person's left at the start.
        orbit: radians that the camera goes around the head until the end.
        size: pixels of the frame's longer side; the clip's own if None.
    """

    yaw: float = 0.0
    orbit: float = 0.0
    size: int | None = None

    def camera(self, avatar: NeuralAvatar, progress: float) -> Camera:
        """The camera when that much of [0, 1] has passed."""
        own = avatar.camera
        if self.size is not None:
            own = own.scaled(self.size / max(own.resolution))
        height, width = own.resolution
        even = replace(own, resolution=(height + height % 2, width + width % 2))
        return turned(even, avatar, self.yaw + progress * self.orbit)


def turned(camera: Camera, avatar: NeuralAvatar, angle: float) -> Camera:
    """The camera gone around the head's joint, radians to the person's left."""
    pivot = torch.as_tensor(avatar.head.joints[HEAD])
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, -angle, 0.0]))
    rotation = camera.rotation @ turn
    return replace(camera, rotation=rotation, translation=camera.view(pivot[None])[0] - rotation @ pivot)


def frames(
    avatar: NeuralAvatar,
    performance: Performance,
    rate: float,
    view: View = View(),
    *,
    background: Float[np.ndarray, 3] | None = None,
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The performance at `frame_times(performance, rate)`; pictures are drawn as they are asked for, a few ahead.

    Args:
        background: encoded sRGB in [0, 1]; the clip's own if not given.

    Returns:
        sRGB, with even sides.

    Raises:
        ValueError: a size or rate that cannot be drawn, or a performance without frames.
    """
    if view.size is not None and not 16 <= view.size <= MAX_SIZE:
        raise ValueError(f"frames have from 16 to {MAX_SIZE} pixels a side, not {view.size}")
    times = frame_times(performance, rate)
    height, width = view.camera(avatar, 0.0).resolution
    behind = torch.as_tensor(cv2.resize(avatar.background, (width, height), interpolation=cv2.INTER_LINEAR)) / 255
    if background is not None:
        behind = torch.as_tensor(background).float().expand(height, width, 3)

    @torch.no_grad()
    def frame(index: int) -> UInt8[np.ndarray, "height width 3"]:
        moment = avatar.moment(sampled(performance, times[index : index + 1]))
        picture = avatar.picture(moment, view.camera(avatar, index / max(len(times) - 1, 1)), behind)
        return (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()

    return in_parallel(frame, range(len(times)))
