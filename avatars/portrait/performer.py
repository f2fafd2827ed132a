"""A photo plays a performance.

Three layers, all in linear light: the background, which stands still; a curtain of the photo's pixels through hair,
neck and shoulders, which follows the head; and the head itself, whose moved surface carries the pixels that the photo
shows of it. What opens — lids, lips — shows the head's own parts, in the photo's light.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avatars.mesh_performer import MeshPerformer, in_parallel
from avatars.painting import to_srgb8
from avatars.portrait.curtain import Curtain
from avatars.portrait.matte import background, person_matte
from avatars.portrait.posed_photo import PosedPhoto
from avatars.portrait.unseen import (
    enclosed,
    facing,
    fitted_light,
    lids,
    lit,
    mouth_depth,
    smooth_step,
    stretched,
    visible,
    with_teeth_showing,
)
from morphable import JOINT_NAMES, Performance
from morphable.editing import frame_times, sampled
from renderers import (
    Camera,
    Fragments,
    antialias,
    interpolate,
    rasterize,
    srgb_to_linear,
    texture,
    uv_footprint,
    vertex_normals,
)

AROUND = 1.0
"""How far around the head the photo moves, in the head's height."""
REACH = 0.5
"""Of the motion around the head, in the head's height."""
TEXTURE_SIZE = 1024
"""Of the head's own skin, which is seen inside the mouth and under the lids."""
FRINGE = 0.04
"""Of the head's width: how far from the person the photo is no longer believed to show the background alone."""
CERTAIN = 0.06
"""Of the head's width: what is taken off its outline before it is certain to be the person."""
SOFTNESS = 0.015
"""Of the head's width: how wide the lips' edge is inside the mouth."""
DARKNESS = 0.04
"""Metres into the mouth over which light falls to a third."""
BELIEVED = 2.5
"""Times its size in the photo to which skin may be stretched and still show the photo."""
EYES = "eye_left", "eye_right"
FEWEST, GAINS = 20, (0.1, 1.5)
"""Pixels of the eyes from which their brightness is told, and how it may differ from the skin's light."""
NECK = JOINT_NAMES.index("neck")


def frames(photo: PosedPhoto, performance: Performance, rate: float) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The photo at `frame_times(performance, rate)`; pictures are drawn as they are asked for, a few ahead.

    Args:
        performance: in the photo's own terms, as `relative` and `absolute` make it.

    Returns:
        sRGB, of the photo's size.

    Raises:
        ValueError: a rate that cannot be drawn, or a performance without frames.
    """
    times = frame_times(performance, rate)
    performer = PortraitPerformer(photo)
    return in_parallel(lambda index: performer.draw(sampled(performance, times[index : index + 1])), len(times))


class PortraitPerformer:
    """A photo prepared to be drawn many times."""

    @torch.no_grad()
    def __init__(self, photo: PosedPhoto) -> None:
        self.photo = photo
        self.mesh = MeshPerformer(with_teeth_showing(photo.head), TEXTURE_SIZE)
        self.triangles = self.mesh.triangles
        rest = photo.camera.view(self.mesh.posed(_still(photo))[0])
        rigid = smooth_step(3 - 4 * self.mesh.skinning_weights[:, NECK])
        self.place, self.lens, head_size = _stage(photo.camera, rest[rigid == 1])
        self.rest, self.source = rest, self.lens.project(rest)
        fragments = rasterize(self.lens.clip(rest[None]), self.triangles, self.lens.resolution)
        normals = vertex_normals(rest, self.mesh.every_triangle)
        seen = visible(rest, self.lens, fragments) * facing(rest, normals) * rigid
        skin = torch.zeros(len(rest), dtype=torch.bool)
        skin[self.mesh.layout.parts["head"].vertices] = True
        hidden = enclosed(torch.as_tensor(photo.head.neutral), self.triangles)
        depth = mouth_depth(photo.head, hidden)
        self.in_mouth = (depth >= 0).float()
        self.dark = torch.where(depth >= 0, torch.exp(-depth / DARKNESS), 1.0)
        self.softness = max(1.0, SOFTNESS * head_size[1])
        self.seen = seen * (1 - self.in_mouth * self._barely_seen(fragments, seen))
        self.own = torch.maximum((~skin | hidden).float(), lids(photo.head)) * rigid
        self._cut_out(fragments, rigid, head_size)
        self._light(fragments, normals, seen * (1 - self.in_mouth))
        follows = interpolate((rigid * skin)[:, None], fragments, self.triangles)[0, ..., 0] > 0.5
        self.curtain = Curtain(self.lens, fragments, follows, REACH * head_size[0])

    def _barely_seen(self, fragments: Fragments, seen: Float[Tensor, " vertex"]) -> Float[Tensor, " vertex"]:
        """1 inside the mouth where the photo shows it through a gap so narrow that lips would be taken for teeth."""
        gap = interpolate(self.in_mouth[:, None], fragments, self.triangles)[0, ..., 0].numpy() > 0.5
        inner = cv2.distanceTransform(gap.astype(np.uint8), cv2.DIST_L2, 5)
        x, y = self.source.floor().long().unbind(1)
        height, width = gap.shape
        within = torch.as_tensor(inner)[y.clamp(0, height - 1), x.clamp(0, width - 1)]
        return 1 - smooth_step(within / (2 * self.softness) - 1)

    def _cut_out(self, fragments: Fragments, rigid: Float[Tensor, " vertex"], size: tuple[float, float]) -> None:
        """The person's own colour multiplied by opacity, opacity, and what is behind; linear."""
        pixels = self.photo.pixels[self.place].copy()
        head = interpolate(rigid[:, None], fragments, self.triangles)[0, ..., 0].numpy() > 0.5
        radius = 2 * round(CERTAIN * size[1]) + 1
        certain = cv2.erode(head.astype(np.uint8), np.ones((radius, radius), np.uint8)) > 0
        chin = float(np.flatnonzero(head.any(1)).max()) if head.any() else 0.0
        colour = srgb_to_linear(torch.as_tensor(pixels).float() / 255).numpy()
        matte = person_matte(pixels, certain, chin, size[1])[..., None].astype(np.float32)
        self.behind = background(colour, matte[..., 0], fringe=round(FRINGE * size[1])).astype(np.float32)
        self.layer = np.concatenate([colour - (1 - matte) * self.behind, matte], 2)

    def _light(self, fragments: Fragments, normals: Float[Tensor, "vertex 3"], seen: Float[Tensor, " vertex"]) -> None:
        """The light in which the head's own textures look as in the photo."""
        clip = self.lens.clip(self.rest[None])
        albedo = self._albedo(fragments, clip)
        facets = interpolate(normals, fragments, self.triangles)[0]
        clear = interpolate(seen[:, None], fragments, self.triangles)[0, ..., 0] > 0.9
        clear &= torch.as_tensor(self.layer[..., 3] > 0.9)
        photo = torch.as_tensor(self.layer[..., :3])
        chosen = torch.nn.functional.normalize(facets[clear], dim=-1)
        self.light = fitted_light(chosen, albedo[clear], photo[clear])
        self.gain = torch.ones(len(seen), 3)
        eyes = torch.zeros(len(seen))
        for name in EYES:
            if name in self.mesh.layout.parts:
                eyes[self.mesh.layout.parts[name].vertices] = 1
        on_eyes = clear & (interpolate(eyes[:, None], fragments, self.triangles)[0, ..., 0] > 0.9)
        if on_eyes.sum() > FEWEST:
            own = albedo[on_eyes] * lit(torch.nn.functional.normalize(facets[on_eyes], dim=-1), self.light)
            self.gain[eyes > 0] = (photo[on_eyes].mean(0) / own.mean(0).clamp(min=1e-3)).clamp(*GAINS)
        ahead = lit(torch.tensor([[0.0, 0.0, -1.0]]), self.light).mean()
        self.inner_light = ahead * self.dark[:, None].expand(-1, 3)

    def _albedo(self, fragments: Fragments, clip: Float[Tensor, "1 vertex 4"]) -> Float[Tensor, "height width 3"]:
        paint = self.mesh.paint
        footprint = uv_footprint(paint.uv, self.mesh.uv_triangles, fragments, clip, self.triangles)
        return texture(paint.sheet, interpolate(paint.uv, fragments, self.mesh.uv_triangles), footprint)[0]

    @torch.no_grad()
    def draw(self, moment: Performance) -> UInt8[np.ndarray, "height width 3"]:
        """The photo at the first frame of `moment`, sRGB."""
        moved = self.photo.camera.view(self.mesh.posed(moment)[0])
        picture = self._curtain_layer(moved)
        head = self._head_layer(moved)
        picture = head[..., :4] + (1 - head[..., 4:]) * picture
        alpha = picture[..., 3:].clamp(0, 1)
        frame = self.photo.pixels.copy()
        frame[self.place] = to_srgb8(picture[..., :3] + (1 - alpha) * torch.as_tensor(self.behind))
        return frame

    def _curtain_layer(self, moved: Float[Tensor, "vertex 3"]) -> Float[Tensor, "height width 4"]:
        points = self.curtain.moved(self.triangles, moved - self.rest)
        fragments = rasterize(self.lens.clip(points[None]), self.curtain.triangles, self.lens.resolution)
        sources = interpolate(self.curtain.pixels, fragments, self.curtain.triangles)[0]
        return self._carried(sources) * (fragments.triangle[0] >= 0)[..., None]

    def _head_layer(self, moved: Float[Tensor, "vertex 3"]) -> Float[Tensor, "height width 5"]:
        """Linear colour and opacity multiplied by the layer's share, and that share."""
        clip = self.lens.clip(moved[None])
        fragments = rasterize(clip, self.triangles, self.lens.resolution)
        normals = vertex_normals(moved, self.mesh.every_triangle)
        light = torch.where(self.in_mouth[:, None] > 0, self.inner_light, lit(normals, self.light) * self.gain)
        stretch = stretched(self.lens.project(moved), self.source, self.triangles)
        seen = self.seen * (1 - smooth_step((stretch - BELIEVED) / BELIEVED))
        attributes = torch.stack([*self.source.T, seen, (1 - seen) * self.own, self.in_mouth, *light.T], 1)
        source, photo, own, inside, light = interpolate(attributes, fragments, self.triangles)[0].split(
            [2, 1, 1, 1, 3], -1
        )
        own = own * self._from_lips(inside)
        model = torch.nn.functional.pad(self._albedo(fragments, clip) * light, (0, 1), value=1.0)
        layer = torch.cat([photo * self._carried(source) + own * model, photo + own], -1)
        return antialias(layer[None], fragments, clip, self.triangles)[0]

    def _from_lips(self, inside: Float[Tensor, "height width 1"]) -> Float[Tensor, "height width 1"]:
        """How much of the mouth's inside is drawn: little next to the lips, whose shadow falls on it."""
        gap = (inside.numpy() > 0.5).astype(np.uint8)
        distance = cv2.distanceTransform(gap, cv2.DIST_L2, 5)[..., None]
        return torch.where(torch.as_tensor(gap) > 0, torch.as_tensor(distance / self.softness).clamp(max=1), 1.0)

    def _carried(self, source: Float[Tensor, "height width 2"]) -> Float[Tensor, "height width 4"]:
        """The photo's person at these pixels of it."""
        x, y = (np.ascontiguousarray(each) for each in (source - 0.5).numpy().transpose(2, 0, 1))
        found = cv2.remap(self.layer, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return torch.as_tensor(found)


def _still(photo: PosedPhoto) -> Performance:
    return Performance.of(np.zeros(1), photo.weights[None])


def _stage(camera: Camera, head: Float[Tensor, "vertex 3"]) -> tuple[tuple[slice, slice], Camera, tuple[float, float]]:
    """Where in the photo anything moves, the lens that sees it from the camera's axes, and the head's height and width
    in pixels."""
    lens = replace(camera, rotation=torch.eye(3), translation=torch.zeros(3))
    low, high = (edge.tolist() for edge in lens.project(head).aminmax(dim=0))
    width, height = high[0] - low[0], high[1] - low[1]
    rows, columns = camera.resolution
    margin = AROUND * height
    x0, x1 = (int(np.clip(edge, 0, columns)) for edge in (low[0] - margin, high[0] + margin + 1))
    y0, y1 = (int(np.clip(edge, 0, rows)) for edge in (low[1] - margin, high[1] + margin + 1))
    return (slice(y0, y1), slice(x0, x1)), lens.cropped(x0, y0, y1 - y0, x1 - x0), (height, width)
