"""A head and what it wears before a camera: which sample sees what, and how bright it is."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from face3d.synth.anatomy import CENTRE, CLASS_TEXELS, SMALL, TEXELS, anatomy
from face3d.synth.classes import INDEX
from face3d.synth.light import Lighting, fibre_radiance, shadow, skin_radiance
from face3d.synth.pieces import Piece
from face3d.synth.skin import Complexion
from renderers import Camera, Fragments, interpolate, rasterize, vertex_normals

FIBRES = (INDEX["hair"], INDEX["beard"])
FIBRE_SHINE = 0.5


class Scene:
    """What each sample of a picture sees.

    Attributes:
        classes: of samples.
        covered: whether there is anything.
        depth: camera z, 0 on the background.
        normals: unit normals in the world; 0 on the background and on fibres.
    """

    def __init__(
        self,
        head: Float[np.ndarray, "vertex 3"],
        colours: Complexion,
        pieces: Sequence[Piece],
        camera: Camera,
    ) -> None:
        known = anatomy()
        self._camera = camera
        lists = [known.triangles] + [p.triangles for p in pieces]
        meshes = [head[known.corner_vertices]] + [p.vertices for p in pieces]
        starts = np.cumsum([0] + [len(m) for m in meshes[:-1]])
        self._vertices = torch.from_numpy(np.concatenate(meshes, dtype=np.float32))
        shifted = [triangles + start for triangles, start in zip(lists, starts, strict=True)]
        self._triangles = torch.from_numpy(np.concatenate(shifted).astype(np.int32))
        attributes = np.concatenate([_head_attributes(head)] + [_attributes(p) for p in pieces], dtype=np.float32)
        fragments = rasterize(camera.clip(self._vertices[None]), self._triangles, camera.resolution)
        values = interpolate(torch.from_numpy(attributes), fragments, self._triangles)[0].flatten(0, 1)
        self._seen = (fragments.triangle.flatten() >= 0).nonzero()[:, 0]
        values = values[self._seen]
        triangle = fragments.triangle.flatten()[self._seen].long()
        self._points = _unprojected(camera, fragments)[self._seen]
        self._openness = values[:, 6].clamp(0, 1)
        self._normals = torch.nn.functional.normalize(values[:, :3], dim=-1)
        self._colour_samples(colours, pieces, triangle, values)
        self.depth = fragments.depth[0].numpy()
        self.covered = self.depth > 0
        self.classes = self._spread(self._of_samples).numpy()
        solid = self._normals.clone()
        solid[self._fibre] = 0
        self.normals = self._spread(solid).numpy()

    def radiance(self, random: np.random.Generator, light: Lighting, eye: np.ndarray) -> Float[Tensor, "height width 3"]:
        """Linear, 0 on the background."""
        towards = torch.nn.functional.normalize(torch.from_numpy(eye) - self._points, dim=-1)
        lit = self._openness
        if light.lamps:
            lit = shadow(random, light.lamps[0], self._vertices, self._triangles, self._points)
        colour = torch.empty_like(self._albedo)
        at = self._solid
        facing = (self._normals[at] * towards[at]).sum(-1, keepdim=True)
        normals = torch.where((facing < 0) & self._two_sided[at, None], -self._normals[at], self._normals[at])
        solid = (self._albedo[at], self._gloss[at], normals, self._openness[at], towards[at], lit[at])
        colour[at] = skin_radiance(light, *solid)
        at = self._fibre
        outwards = torch.nn.functional.normalize(self._points[at] - torch.from_numpy(CENTRE), dim=-1)
        fibres = (self._albedo[at], self._normals[at], outwards, self._openness[at], towards[at], lit[at])
        colour[at] = fibre_radiance(light, *fibres, FIBRE_SHINE)
        return self._spread(colour)

    def behind(
        self, lens: Piece, light: Lighting, eye: np.ndarray, radiance: Float[Tensor, "height width 3"]
    ) -> tuple[Float[Tensor, "height width 3"], UInt8[np.ndarray, "height width"]]:
        """The picture and its classes with lenses before it."""
        triangles = torch.from_numpy(lens.triangles.astype(np.int32))
        clip = self._camera.clip(torch.from_numpy(lens.vertices)[None])
        fragments = rasterize(clip, triangles, self._camera.resolution)
        depth = torch.from_numpy(self.depth)
        nearer = (fragments.triangle[0] >= 0) & ((depth == 0) | (fragments.depth[0] < depth))
        there = nearer.flatten().nonzero()[:, 0]
        normals = interpolate(torch.from_numpy(lens.normals), fragments, triangles)[0].flatten(0, 1)[there]
        towards = torch.nn.functional.normalize(
            torch.from_numpy(eye) - _unprojected(self._camera, fragments)[there], dim=-1
        )
        ones = torch.ones(len(there))
        tint = torch.from_numpy(lens.colour[0] * np.float32(lens.opacity)).expand(len(there), 3)
        own = skin_radiance(light, tint, ones * lens.gloss, normals, ones, towards, ones)
        picture = radiance.flatten(0, 1).clone()
        picture[there] = (1 - lens.opacity) * picture[there] + own
        classes = self.classes.copy()
        if lens.opacity > 0.5:
            classes.ravel()[there.numpy()] = lens.index
        return picture.view(radiance.shape), classes

    def _colour_samples(
        self, colours: Complexion, pieces: Sequence[Piece], triangle: Int[Tensor, " sample"], values: Tensor
    ) -> None:
        """Albedo, gloss and class: the head's from its sheet, of the rest from the pieces."""
        known = anatomy()
        counts = [len(known.triangles)] + [len(p.triangles) for p in pieces]
        gloss = np.repeat([0.0] + [p.gloss for p in pieces], counts).astype(np.float32)
        classes = np.concatenate([known.part_classes, np.repeat([p.index for p in pieces], counts[1:])])
        self._of_samples = torch.from_numpy(classes.astype(np.uint8))[triangle]
        self._albedo, self._gloss = values[:, 3:6].clone(), torch.from_numpy(gloss)[triangle]
        self._two_sided = triangle >= counts[0]
        head = (triangle < counts[0]).nonzero()[:, 0]
        texels = _looked_up(colours.sheet, values[head, 3:5])
        self._albedo[head], self._gloss[head] = texels[:, :3], texels[:, 3]
        skin = (triangle < int((known.part_classes == 0).sum())).nonzero()[:, 0]
        cell = (values[skin, 3:5] * torch.tensor([(TEXELS + SMALL) / TEXELS, 1.0]) * CLASS_TEXELS).long()
        x, y = cell.clamp_(0, CLASS_TEXELS - 1).unbind(-1)
        self._of_samples[skin] = torch.from_numpy(colours.classes)[y, x]
        fibre = torch.isin(self._of_samples, torch.tensor(FIBRES, dtype=torch.uint8)) & self._two_sided
        self._fibre, self._solid = fibre.nonzero()[:, 0], (~fibre).nonzero()[:, 0]

    def _spread(self, values: Float[Tensor, "sample *channel"]) -> Float[Tensor, "height width *channel"]:
        """Samples in their places, 0 elsewhere."""
        height, width = self._camera.resolution
        image = values.new_zeros(height * width, *values.shape[1:])
        image[self._seen] = values
        return image.view(height, width, *values.shape[1:])


def _head_attributes(head: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "corner 7"]:
    """Normals, places on the sheet (and a zero), and openness."""
    known = anatomy()
    normals = vertex_normals(torch.from_numpy(head), known.model.triangles).numpy()
    at, openness = known.corner_vertices, known.occlusion[known.corner_vertices, None]
    return np.concatenate([normals[at], known.uv, np.zeros_like(openness), openness], 1)


def _attributes(piece: Piece) -> Float[np.ndarray, "vertex 7"]:
    """Normals, colours and openness."""
    openness = np.ones(len(piece.vertices), np.float32) if piece.openness is None else piece.openness
    return np.concatenate([piece.normals, piece.colour, openness[:, None]], 1)


def _unprojected(camera: Camera, fragments: Fragments) -> Float[Tensor, "sample 3"]:
    """The points in the world that samples see."""
    height, width = camera.resolution
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    depth = fragments.depth[0]
    across = (x - camera.principal[0]) / camera.focal[0] * depth
    down = (y - camera.principal[1]) / camera.focal[1] * depth
    return (torch.stack([across, down, depth], -1).flatten(0, 1) - camera.translation) @ camera.rotation


def _looked_up(sheet: Float[np.ndarray, "height width 4"], uv: Float[Tensor, "sample 2"]) -> Float[Tensor, "sample 4"]:
    planes = torch.from_numpy(sheet).permute(2, 0, 1)[None]
    values = torch.nn.functional.grid_sample(planes, uv[None, None] * 2 - 1, align_corners=False)
    return values[0, :, 0].T
