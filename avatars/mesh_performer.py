"""A head plays a performance: frames for a video, drawn from its mesh and textures.

Light falls on vertices, textures are laid out once, only the part of the frame where the head is gets drawn, and each
core draws a frame of its own, so that a laptop's processor keeps up with a camera.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from avatars.export.surface import TEXTURES
from avatars.painting import LASHES, draw_lashes, opaque_triangles, paint, studio_lights, to_srgb8
from morphable import JOINT_PARENTS, Head, Performance
from morphable.editing import frame_times, sampled
from morphable.playing import joint_motion
from morphable.skinning import blend_skinning
from renderers import (
    Camera,
    DirectionalLight,
    Fragments,
    Light,
    PointLight,
    antialias,
    interpolate,
    rasterize,
    texture,
    uv_footprint,
    vertex_normals,
)
from renderers.parallel import in_parallel

FIELD_OF_VIEW = 0.24
"""Radians from the lower to the upper edge: a portrait lens."""
ROOM = 1.12
"""Height of what is seen over that of the head."""
GLOSS, SHININESS = 2.5, 300.0
"""Of the eyes' highlights: white, and as wide as a lamp of some fifteen degrees."""
LASH_SAMPLES = 3
"""Samples along each side of a pixel that lashes are drawn with; they are thinner than pixels."""
LIFT = 0.04
"""Radians by which the camera looks down."""
TEXELS_PER_PIXEL = 2
"""Side of the skin's texture over that of the frame; a face covers about half of its texture's side."""
BORDER = 2
"""Pixels around the head that outlines may touch."""
MAX_SIZE = 8192


@dataclass(frozen=True)
class View:
    """From where the head is seen.

    Attributes:
        yaw: radians from the front to the person's left at the start.
        orbit: radians that the camera goes around the head until the end.
        size: (height, width) of the frame, pixels.
    """

    yaw: float = 0.0
    orbit: float = 0.0
    size: tuple[int, int] = (512, 512)

    def camera(self, head: Head, progress: float) -> Camera:
        """The camera that has the whole head in its frame, when that much of [0, 1] has passed."""
        low, high = head.neutral.min(0), head.neutral.max(0)
        height, width = self.size
        extent = ROOM * max(high[1] - low[1], np.hypot(high[0] - low[0], high[2] - low[2]) * height / width)
        angle = self.yaw + progress * self.orbit
        centre = torch.as_tensor((low + high) / 2)
        away = torch.tensor([np.sin(angle) * np.cos(LIFT), np.sin(LIFT), np.cos(angle) * np.cos(LIFT)])
        eye = centre + float(extent / 2 / np.tan(FIELD_OF_VIEW / 2)) * away.float()
        return Camera.looking_at(eye, centre, (0.0, 1.0, 0.0), FIELD_OF_VIEW, self.size)


def frames(
    head: Head,
    performance: Performance,
    rate: float,
    view: View = View(),
    *,
    lights: Sequence[Light] | None = None,
    background: Float[np.ndarray, 3] | None = None,
) -> Iterator[UInt8[np.ndarray, "height width channel"]]:
    """The performance at `frame_times(performance, rate)`; pictures are drawn as they are asked for, a few ahead.

    Args:
        lights: in the world; studio_lights() if not given.
        background: linear colour behind the head; without one frames have a fourth channel, their opacity, by which
            colour is not multiplied.

    Returns:
        sRGB, row 0 at the top.

    Raises:
        ValueError: a size or rate that cannot be drawn, or a performance without frames.
    """
    if not 16 <= min(view.size) <= max(view.size) <= MAX_SIZE:
        raise ValueError(f"frames have from 16 to {MAX_SIZE} pixels a side, not {view.size[1]} x {view.size[0]}")
    times = frame_times(performance, rate)
    performer = MeshPerformer(head, texture_size=_power_of_two(TEXELS_PER_PIXEL * max(view.size)))
    shining = studio_lights() if lights is None else lights

    def frame(index: int) -> UInt8[np.ndarray, "height width channel"]:
        now = sampled(performance, times[index : index + 1])
        camera = view.camera(head, index / max(len(times) - 1, 1))
        return performer.draw(now, camera, shining, background)

    return in_parallel(frame, range(len(times)))


class MeshPerformer:
    """A head prepared to be drawn many times."""

    def __init__(self, head: Head, texture_size: int = 1024) -> None:
        self.head = head
        self.layout = head.layout
        self.paint = paint(self.layout, {name: each.pixels for name, each in head.textures.items()}, texture_size)
        opaque = opaque_triangles(self.layout)
        self.triangles = torch.as_tensor(self.layout.triangles)[opaque].contiguous()
        self.uv_triangles = torch.as_tensor(self.layout.uv_triangles)[opaque].contiguous()
        self.is_wet = self._triangles_of("eyes")[opaque]
        self.every_triangle = torch.as_tensor(self.layout.triangles)
        self.neutral = torch.as_tensor(head.neutral)
        self.shapes = torch.as_tensor(head.expressions).flatten(1)
        self.joints = torch.as_tensor(head.joints)[None]
        self.skinning_weights = torch.as_tensor(self.layout.skinning_weights).float()

    def _triangles_of(self, texture_name: str) -> Bool[Tensor, " triangle"]:
        chosen = torch.zeros(len(self.layout.triangles), dtype=torch.bool)
        for name, part in self.layout.parts.items():
            chosen[part.triangles] = TEXTURES.get(name, name) == texture_name
        return chosen

    def posed(self, performance: Performance) -> Float[Tensor, "frame vertex 3"]:
        """Vertices at each of the performance's frames, metres."""
        weights = torch.as_tensor(performance.weights)
        shaped = self.neutral + (weights @ self.shapes).unflatten(1, (-1, 3))
        motion = joint_motion(self.head, performance)
        rotations = torch.as_tensor(motion.rotations)
        joints = self.joints.expand(len(weights), -1, -1)
        turned, _ = blend_skinning(shaped, joints, JOINT_PARENTS, self.skinning_weights, rotations)
        return turned + torch.as_tensor(motion.translations)[:, None]

    @torch.no_grad()
    def draw(
        self,
        moment: Performance,
        camera: Camera,
        lights: Sequence[Light],
        background: Float[np.ndarray, 3] | None = None,
    ) -> UInt8[np.ndarray, "height width channel"]:
        """The head at the first frame of `moment`: sRGB over a linear background, or sRGB and opacity."""
        vertices = self.posed(moment)[0]
        frame = np.empty((*camera.resolution, 4 if background is None else 3), dtype=np.uint8)
        frame[:] = _encoded(torch.zeros(1, 1, 4), background)
        box = _box(camera.project(vertices), *camera.resolution)
        if box is not None:
            x0, y0, x1, y1 = box
            near = camera.cropped(x0, y0, y1 - y0, x1 - x0)
            frame[y0:y1, x0:x1] = _encoded(self._drawn(vertices, near, lights), background)
        return frame

    def _drawn(
        self, vertices: Float[Tensor, "vertex 3"], camera: Camera, lights: Sequence[Light]
    ) -> Float[Tensor, "height width 4"]:
        """Linear colour, multiplied by opacity, and opacity."""
        clip = camera.clip(vertices[None])
        fragments = rasterize(clip, self.triangles, camera.resolution)
        normals = vertex_normals(vertices, self.every_triangle)
        light = interpolate(_white(vertices, normals, camera, lights), fragments, self.triangles)
        footprint = uv_footprint(self.paint.uv, self.uv_triangles, fragments, clip, self.triangles)
        albedo = texture(self.paint.sheet, interpolate(self.paint.uv, fragments, self.uv_triangles), footprint)
        seen = (fragments.triangle >= 0)[..., None].float()
        layer = torch.cat([albedo * light * seen, seen], -1)
        self._add_glints(layer, fragments, vertices, normals, camera, lights)
        picture = antialias(layer, fragments, clip, self.triangles)[0]
        if self.paint.lashes is not None:
            self._add_lashes(picture, vertices, camera, fragments.depth)
        return picture

    def _add_glints(
        self,
        layer: Float[Tensor, "1 height width 4"],
        fragments: Fragments,
        vertices: Float[Tensor, "vertex 3"],
        normals: Float[Tensor, "vertex 3"],
        camera: Camera,
        lights: Sequence[Light],
    ) -> None:
        """Lamps mirrored in the wet of the eyes, without which they look dead."""
        wet = (fragments.triangle >= 0) & self.is_wet[fragments.triangle]
        corners = self.triangles[fragments.triangle[wet]].long()
        shares = fragments.barycentric[wet][:, :, None]
        places, facing = ((values[corners] * shares).sum(1)[None] for values in (vertices, normals))
        facing, dark = torch.nn.functional.normalize(facing, dim=-1), torch.zeros_like(places)
        for light in lights:
            if isinstance(light, DirectionalLight | PointLight):
                lamp = replace(light, specular=GLOSS, shininess=SHININESS)
                layer[..., :3][wet] += lamp.shade(dark, places, facing, camera.position[None, None])[0]

    def _add_lashes(
        self,
        picture: Float[Tensor, "height width 4"],
        vertices: Float[Tensor, "vertex 3"],
        camera: Camera,
        depth: Float[Tensor, "1 height width"],
    ) -> None:
        span = self.layout.parts[LASHES].vertices
        box = _box(camera.project(vertices[span]), *camera.resolution)
        if box is not None:
            x0, y0, x1, y1 = box
            fine = camera.cropped(x0, y0, y1 - y0, x1 - x0).scaled(LASH_SAMPLES)
            behind = depth[:, y0:y1, x0:x1].repeat_interleave(LASH_SAMPLES, 1).repeat_interleave(LASH_SAMPLES, 2)
            layer = draw_lashes(fine, vertices, self.layout, self.paint, behind)
            layer = torch.nn.functional.avg_pool2d(layer.permute(0, 3, 1, 2), LASH_SAMPLES)[0].permute(1, 2, 0)
            picture[y0:y1, x0:x1] = layer + (1 - layer[..., 3:]) * picture[y0:y1, x0:x1]


def _white(
    vertices: Float[Tensor, "vertex 3"],
    normals: Float[Tensor, "vertex 3"],
    camera: Camera,
    lights: Sequence[Light],
) -> Float[Tensor, "1 vertex 3"]:
    """What a white surface sends to the camera."""
    white, eye = torch.ones(1, len(vertices), 3), camera.position[None, None]
    return torch.stack([light.shade(white, vertices[None], normals[None], eye) for light in lights]).sum(0)


def _box(points: Float[Tensor, "point 2"], height: int, width: int) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the pixels around points, as far as they lie in the frame; None if none do."""
    low = (points.amin(0).floor() - BORDER).clamp(min=0)
    high = torch.minimum(points.amax(0).ceil() + BORDER, torch.tensor([width, height]))
    if not bool((low < high).all()):
        return None
    x0, y0, x1, y1 = (int(value) for value in (*low, *high))
    return x0, y0, x1, y1


def _encoded(
    picture: Float[Tensor, "height width 4"], background: Float[np.ndarray, 3] | None
) -> UInt8[np.ndarray, "height width channel"]:
    colour, opacity = picture[..., :3], picture[..., 3:]
    if background is not None:
        return to_srgb8(colour + (1 - opacity) * torch.as_tensor(background, dtype=torch.float32))
    straight = to_srgb8(colour / opacity.clamp(min=1e-3))
    return np.concatenate([straight, (opacity.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()], axis=-1)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()
