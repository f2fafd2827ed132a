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
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from avatars.painting import to_srgb8
from avatars.portrait.anatomy import Anatomy
from avatars.portrait.curtain import Curtain
from avatars.portrait.light import PhotoLight, whitening
from avatars.portrait.matte import person_matte, with_fringe
from avatars.portrait.posed_photo import PosedPhoto
from avatars.portrait.unseen import facing, smooth_step, stretched, visible
from morphable import Performance
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
from renderers.parallel import in_parallel

AROUND = 1.0
"""How far around the head the photo moves, in the head's height."""
REACH = 0.5
"""Of the motion around the head, in the head's height."""
FRINGE = 0.04
"""Of the head's width: how far from the person the photo is no longer believed to show the background alone."""
CERTAIN = 0.06
"""Of the head's width: what is taken off its outline before it is certain to be the person."""
SOFTNESS = 0.015
"""Of the head's width: how wide the lips' edge is inside the mouth."""
MOUTH_RIM = 6.0
"""How far beyond the mouth's inside that the photo shows its teeth are continued, in those widths."""
SHADED = 0.65
"""What of the light on the face falls on the teeth, and on eyes of which too little is seen."""
BELIEVED = 2.5
"""Times its size in the photo to which skin may be stretched and still show the photo."""
LID_REST, LID_SHUT = 0.002, 0.006
"""Metres that a lid may move and still show the photo, and from which on it is drawn from the head's own texture."""
FLESH = torch.tensor([0.3, 0.09, 0.08])
"""The mouth's inside, linear."""
TURNED = 0.3
"""How much better a surface must be seen now than in the photo before the head's own texture begins to show."""
FEWEST, DARKEST, MOST = 20, 0.2, 1.5
"""Pixels of an eye from which its brightness is told, and how far that may differ from the face's."""
CLEAR = 0.9
"""Share of a pixel that is seen well enough to tell of light."""


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
    return in_parallel(lambda index: performer.draw(sampled(performance, times[index : index + 1])), range(len(times)))


class PortraitPerformer:
    """A photo prepared to be drawn many times."""

    around, reach = AROUND, REACH

    @torch.no_grad()
    def __init__(self, photo: PosedPhoto, anatomy: Anatomy | None = None) -> None:
        """`anatomy` is that of the photo's head, whatever its neutral shape; found if not given."""
        self.photo = photo
        self.anatomy = anatomy or Anatomy(photo.head)
        self.mesh = self.anatomy.mesh_of(photo.head)
        self.triangles = self.mesh.triangles
        self.rest = photo.camera.view(self.mesh.posed(_still(photo))[0])
        self.place, self.lens, size = _stage(photo.camera, self.rest[self.anatomy.rigid == 1], self.around)
        self.source = self.lens.project(self.rest)
        self.softness = max(1.0, SOFTNESS * size[1])
        fragments = rasterize(self.lens.clip(self.rest[None]), self.triangles, self.lens.resolution)
        normals = vertex_normals(self.rest, self.mesh.every_triangle)
        self._tell_apart(fragments, normals)
        self._see_mouth(fragments)
        self._cut_out(fragments, size)
        self._set_light(fragments, normals)
        self.curtain = Curtain(self.lens, fragments, self._spread(self.anchored, fragments), self.reach * size[0])

    def _tell_apart(self, fragments: Fragments, normals: Float[Tensor, "vertex 3"]) -> None:
        """How much of each vertex the photo shows (`shown`), is drawn from the photo (`seen`) and holds the curtain
        (`anchored`)."""
        towards = facing(self.rest, normals)
        self.anchored = self.anatomy.rigid * self.anatomy.skin * towards
        self.shown = visible(self.rest, self.lens, fragments) * towards * self.anatomy.rigid
        self.seen = self.shown * (1 - self.anatomy.in_mouth)

    def _see_mouth(self, fragments: Fragments) -> None:
        """How surely each pixel of the photo shows the mouth's inside, and the way from it to where it surely does: not
        at its rim, where lips would be taken for teeth."""
        gap = (self._spread(self.anatomy.in_mouth, fragments) > 0.5).numpy().astype(np.uint8)
        clear = cv2.distanceTransform(gap, cv2.DIST_L2, 5) > self.softness
        self.sees_mouth = bool(clear.any())
        away, nearest = distance_transform_edt(~clear, return_indices=True)
        self.mouth_seen = 1 - smooth_step(torch.as_tensor(away).float() / (MOUTH_RIM * self.softness))
        self.mouth_steps = torch.as_tensor((nearest - np.indices(clear.shape))[::-1].copy()).float().permute(1, 2, 0)

    def _cut_out(self, fragments: Fragments, size: tuple[float, float]) -> None:
        """The person's own colour multiplied by opacity, opacity, and what is behind; linear."""
        pixels = self.photo.pixels[self.place].copy()
        head = self._spread(self.anatomy.rigid, fragments).numpy() > 0.5
        radius = 2 * round(CERTAIN * size[1]) + 1
        certain = cv2.erode(head.astype(np.uint8), np.ones((radius, radius), np.uint8)) > 0
        chin = float(np.flatnonzero(head.any(1)).max()) if head.any() else 0.0
        colour = srgb_to_linear(torch.as_tensor(pixels).float() / 255).numpy()
        matte = person_matte(pixels, certain, chin, size[1]).astype(np.float32)
        behind, matte = with_fringe(colour, matte, round(FRINGE * size[1]))
        self.behind = behind.astype(np.float32)
        opacity = matte[..., None].astype(np.float32)
        self.layer = np.concatenate([colour - (1 - opacity) * self.behind, opacity], 2)

    def _set_light(self, fragments: Fragments, normals: Float[Tensor, "vertex 3"]) -> None:
        """The photo's light, and what falls on mouth and eyes, which it does not reach as it does the skin."""
        albedo = self._albedo(fragments, self.lens.clip(self.rest[None]))
        facets = torch.nn.functional.normalize(interpolate(normals, fragments, self.triangles)[0], dim=-1)
        photo = torch.as_tensor(self.layer[..., :3])
        clear = (self._spread(self.shown, fragments) > CLEAR) & torch.as_tensor(self.layer[..., 3] > CLEAR)
        own = self.anatomy
        on_eyes = clear & (self._spread(own.eyes, fragments) > CLEAR)
        skin = clear & (self._spread(own.eyes + own.in_mouth, fragments) == 0)
        self.light = PhotoLight.fitted(facets[skin], albedo[skin], photo[skin])
        gain = SHADED
        if int(on_eyes.sum()) > FEWEST:
            gain = float(photo[on_eyes].mean() / (albedo[on_eyes] * self.light.pale).mean().clamp(min=1e-3))
        whiter = 1 + own.teeth[:, None] * (whitening({n: t.pixels for n, t in self.mesh.head.textures.items()}) - 1)
        self.lid_light = torch.ones(len(normals), 3)
        around = skin & (lid := self._spread(own.lids, fragments)).gt(0) & (lid < CLEAR)
        left = self._spread((torch.as_tensor(self.mesh.head.neutral)[:, 0] > 0).float(), fragments) > 0.5
        for side, chosen in ((True, around & left), (False, around & ~left)):
            if int(chosen.sum()) > FEWEST:
                lit = (albedo[chosen] * self.light.on(facets[chosen])).clamp(min=1e-3)
                ratio = (photo[chosen] / lit).median(0).values.clamp(DARKEST, MOST)
                of_side = (torch.as_tensor(self.mesh.head.neutral)[:, :1] > 0) == side
                self.lid_light += of_side * own.lids[:, None] * (ratio - 1)
        dim = torch.where(own.eyes > 0, min(gain, MOST), SHADED * own.darkness)
        self.wet_light = dim[:, None] * whiter * self.light.pale

    def _spread(self, values: Float[Tensor, " vertex"], fragments: Fragments) -> Float[Tensor, "height width"]:
        return interpolate(values[:, None], fragments, self.triangles)[0, ..., 0]

    def _albedo(self, fragments: Fragments, clip: Float[Tensor, "1 vertex 4"]) -> Float[Tensor, "height width 3"]:
        paint = self.mesh.paint
        footprint = uv_footprint(paint.uv, self.mesh.uv_triangles, fragments, clip, self.triangles)
        return texture(paint.sheet, interpolate(paint.uv, fragments, self.mesh.uv_triangles), footprint)[0]

    @torch.no_grad()
    def draw(self, moment: Performance) -> UInt8[np.ndarray, "height width 3"]:
        """The photo at the first frame of `moment`, sRGB."""
        moved = self.photo.camera.view(self.mesh.posed(moment)[0])
        picture = self._curtain_layer(moved)
        head = self._head_layer(moved, self._shut(moment))
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

    def _head_layer(
        self, moved: Float[Tensor, "vertex 3"], shut: Float[Tensor, " vertex"]
    ) -> Float[Tensor, "height width 5"]:
        """Linear colour and opacity multiplied by the layer's share, and that share."""
        clip = self.lens.clip(moved[None])
        fragments = rasterize(clip, self.triangles, self.lens.resolution)
        normals = vertex_normals(moved, self.mesh.every_triangle)
        anatomy = self.anatomy
        wet = torch.maximum(anatomy.eyes, anatomy.in_mouth)[:, None]
        light = wet * self.wet_light + (1 - wet) * self.lid_light * self.light.on(normals)
        stretch = stretched(self.lens.project(moved), self.source, self.triangles)
        seen = self.seen * (1 - smooth_step((stretch - BELIEVED) / BELIEVED)) * (1 - anatomy.lids * shut)
        revealed = anatomy.front * smooth_step((facing(moved, normals) - self.shown - TURNED) / (1 - TURNED))
        own = torch.maximum((1 - seen) * anatomy.inner, torch.minimum(revealed, 1 - seen))
        attributes = torch.stack([*self.source.T, seen, own, anatomy.in_mouth, anatomy.cavity, *light.T], 1)
        spread = interpolate(attributes, fragments, self.triangles)[0]
        source, photo, own, inside, cavity, light = spread.split([2, 1, 1, 1, 1, 3], -1)
        own = own * self._from_lips(inside)
        albedo = self._albedo(fragments, clip)
        model = torch.nn.functional.pad((albedo + cavity * (FLESH - albedo)) * light, (0, 1), value=1.0)
        if self.sees_mouth:
            self._add_mouth(model, inside[..., 0] > 0.5, moved)
        layer = torch.cat([photo * self._carried(source) + own * model, photo + own], -1)
        return antialias(layer[None], fragments, clip, self.triangles)[0]

    def _add_mouth(
        self,
        model: Float[Tensor, "height width 4"],
        inside: Bool[Tensor, "height width"],
        moved: Float[Tensor, "vertex 3"],
    ) -> None:
        """Teeth as the photo shows them: as a flat picture that the skull carries."""
        rows, columns = inside.nonzero(as_tuple=True)
        if not len(rows):
            return
        now, then = self.lens.project(moved[self.anatomy.skull]), self.source[self.anatomy.skull]
        affine = torch.linalg.lstsq(torch.nn.functional.pad(now, (0, 1), value=1.0), then).solution
        pixels = torch.stack([columns + 0.5, rows + 0.5, torch.ones(len(rows))], 1)
        source = pixels @ affine
        height, width = inside.shape
        x, y = source.long().unbind(1)
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
        photo = self._carried((source + self.mouth_steps[y, x])[None])[0]
        model[rows, columns] += self.mouth_seen[y, x][:, None] * (photo - model[rows, columns])

    def _shut(self, moment: Performance) -> Float[Tensor, " vertex"]:
        """How far each vertex has gone from where the photo shows it: lids that close are not what was there."""
        change = torch.as_tensor(moment.weights[0] - self.photo.weights)
        moved = (change @ self.mesh.shapes).reshape(-1, 3).norm(dim=1)
        return smooth_step((moved - LID_REST) / (LID_SHUT - LID_REST))

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


def _stage(
    camera: Camera, head: Float[Tensor, "vertex 3"], around: float
) -> tuple[tuple[slice, slice], Camera, tuple[float, float]]:
    """Where in the photo anything moves, the lens that sees it from the camera's axes, and the head's height and width
    in pixels."""
    lens = replace(camera, rotation=torch.eye(3), translation=torch.zeros(3))
    low, high = (edge.tolist() for edge in lens.project(head).aminmax(dim=0))
    width, height = high[0] - low[0], high[1] - low[1]
    rows, columns = camera.resolution
    margin = around * height
    x0, x1 = (int(np.clip(edge, 0, columns)) for edge in (low[0] - margin, high[0] + margin + 1))
    y0, y1 = (int(np.clip(edge, 0, rows)) for edge in (low[1] - margin, high[1] + margin + 1))
    return (slice(y0, y1), slice(x0, x1)), lens.cropped(x0, y0, y1 - y0, x1 - x0), (height, width)
