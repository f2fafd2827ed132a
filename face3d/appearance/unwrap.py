"""Photos onto a head's texture: where it is seen, taken from the photo with the light removed; elsewhere completed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage
from torch import Tensor

from avatars.painting import to_srgb8
from face3d.appearance.completion import Surface, strands
from face3d.appearance.light import shading
from morphable import MorphableModel
from renderers import Camera, Fragments, interpolate, rasterize, srgb_to_linear, vertex_normals
from renderers.parallel import in_parallel

GRAZING = (0.2, 0.6)
"""Cosine between surface and line of sight from which a texel begins to be, and is fully, taken from the photo."""
GLIMPSED = (0.05, 0.3)
"""As GRAZING, for telling whether there is hair: it goes on beyond the outline, so where exactly matters less."""
SHOWN = (0.5, 1.0)
"""How likely a pixel shows the head from which it begins to be, and is fully, taken."""
DEPTH_TOLERANCE = 0.004
"""Metres by which a texel may lie behind the nearest surface and still be seen."""
RIM = 0.05
"""Texels this near to an outline are not taken: the fit is not exact there. Relative to the eyes' distance."""
MIRRORED = 0.85
"""How much of the detail of the other, seen half is carried to an unseen texel."""
OUTLIER = (3.0, 6.0)
"""Deviations from the face's own skin from which a texel begins to be, and is, taken for cloth, hair or background."""
LEAST_SPREAD = 0.08
"""Added to the measured spread of skin, in logarithms: shading is not known better than that."""
MOST_SPREAD = 0.25
"""A larger measured spread is that of hair, glasses or a hand before the face, or of hard shadows."""
DARKER = (1.0, 2.0)
"""Deviations by which a texel of the crown is darker than skin, in any channel, from which it begins to be, and is,
taken for hair."""
MIN_FACE_TEXELS = 100
"""A face of which less is seen says nothing of its skin."""
LEAST_CROWN = 0.005
"""Part of the crown (the scalp and the skin around it) that must be seen to say whether there is hair."""
HAIRY = (0.22, 0.35)
"""Part of the seen crown that is hair from which the unseen scalp begins to have some, and has."""
HAIR_EDGE = 0.06
"""Weight of the scalp's own outline against the hair seen: hair grows this strictly within it."""
EYE_REACH = (0.02, 0.09)
"""Distance from the eye or a lash up to which nothing, and from which everything, is taken for a lid's skin: between
them lie lashes, the lid's rim, and what the fit misses. Relative to the eyes' distance."""
BETTER_HALF = (0.3, 0.8)
"""A texel that is seen this much worse than its mirror image begins to count, and counts fully."""
DOUBTFUL_REGIONS = ("neck", "ears", "eyelids")
"""Where the photo often shows something else (collars, hair, lashes, eyes), as it does where a texel is seen badly."""
EYE_PARTS = frozenset({"eye_left", "eye_right", "lashes"})
MOST_DEPTH = 0.2
"""Largest deviation of the brightness of invented hair, in logarithms."""
CLIPPED = (0.94, 0.995)
"""sRGB values between which a channel is taken to saturate."""
FIRST_PHOTO = 1.15
"""What the first photo's view of a texel is worth beside another's as good: eyes and lips should come from one."""
DECISIVE = 8
"""Power of the quality by which photos share a texel: two at once blur it, as they never fit to the pixel."""
MIRROR_TRUST = 0.3
"""What a seen texel is worth for the colour of its unseen mirror image."""
WELL_SEEN = (0.5, 0.95)
"""Trust from which a texel begins to count, and counts fully, for the colour of what is not seen."""
TYPICAL_TRUST = 2e-4
"""Weight of the typical colour everywhere: it wins where nothing near has been seen."""
COARSE = 4
"""Likeness to skin is judged, and the gutter filled, on a texture smaller by this factor."""
DARKEST = 2e-3
"""Linear albedo and radiance below which logarithms are not taken."""
RATIO_LIMIT = 2.5
"""Largest |log| of the photo's albedo over the model's."""


@dataclass(frozen=True)
class PhotoView:
    """A photo of a head, and how the head stood before it.

    Attributes:
        photo: sRGB in [0, 1], as the camera sees it.
        shown: how likely each pixel of `photo` shows the head, from 0 to 1; 0 on padding. See `appearance.mask`.
        vertices: as posed in the photo.
        light: spherical harmonics that lit the face.
        eye_distance: between the outer eye corners, in pixels of the photo.
    """

    photo: Float[Tensor, "height width 3"]
    shown: Float[Tensor, "height width"]
    camera: Camera
    vertices: Float[Tensor, "vertex 3"]
    light: Float[Tensor, "9 3"]
    eye_distance: float


def unwrap(
    views: Sequence[PhotoView], model: MorphableModel, base: UInt8[np.ndarray, "base_size base_size 3"], size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """The skin's albedo as an sRGB texture.

    The skin's albedo is expressed as a ratio to the model's own skin, `base`, the hair's as it is. Their smooth parts
    spread over the surface from seen to unseen texels, detail is mirrored from the other half, and both blend by how
    well a texel is seen; so there is no seam to hide. What is smooth is worked out at the size of `base`, photos are
    taken over at the full size. Of several photos each texel comes from the one that faces it most nearly; their
    colours are brought to the first one's.

    Args:
        views: the first is the one that shows the face best.
        base: the model's own skin, sRGB.
        size: pixels a side of the texture.
    """
    masks, surface = _texel_regions(model, views[0].vertices, len(base))
    own = srgb_to_linear(torch.tensor(base).float() / 255).clamp(min=DARKEST).log()
    sights = list(in_parallel(lambda view: _taken(view, model, own, masks), views))
    shares = _shares(sights)
    sights = [_recoloured(sight, sights[0], masks["face"]) for sight in sights]

    trust = torch.stack([sight.trust for sight in sights]).amax(0)
    glimpsed = torch.stack([sight.glimpsed for sight in sights]).amax(0)
    albedo = torch.stack([share[..., None] * sight.albedo for share, sight in zip(shares, sights, strict=True)]).sum(0)
    deviation = _deviation_from_skin(albedo - own, trust, masks["core"])
    skin_like = 1 - _smoothstep(deviation.abs().amax(-1), *OUTLIER)
    hair_like = masks["crown"] * _smoothstep(-deviation.amin(-1), *DARKER)
    skin_expected = torch.maximum(masks["doubtful"], masks["face"] * (1 - trust))
    trust = _better_half(trust * (1 - skin_expected * (1 - skin_like)))
    unseen = _completion(albedo, own, trust, glimpsed, skin_like, hair_like, masks, surface)

    found = _enlarged((1 - trust[..., None]) * unseen, size)

    def shown(share: Tensor, sight: _Sight, view: PhotoView) -> Float[Tensor, "size size 3"]:
        weight = (trust * share)[..., None]
        parts = torch.cat([weight * sight.offset, weight, sight.places], -1)
        offset, weight, places = _enlarged(parts, size).split([3, 1, 2], -1)
        return torch.addcmul(offset, weight, _sampled(_log_radiance(view), places))

    for each in in_parallel(shown, list(shares), sights, views):
        found = found + each
    return to_srgb8(found.exp())


@dataclass(frozen=True)
class _Sight:
    """What one photo says of each texel; logarithms of linear values."""

    albedo: Float[Tensor, "size size 3"]
    offset: Float[Tensor, "size size 3"]
    """What makes the photo's radiance the albedo."""
    places: Float[Tensor, "size size 2"]
    trust: Float[Tensor, "size size"]
    glimpsed: Float[Tensor, "size size"]
    quality: Float[Tensor, "size size"]
    """How good its view of the texel is, beside other photos' views."""


def _taken(view: PhotoView, model: MorphableModel, own: Tensor, masks: dict[str, Tensor]) -> _Sight:
    """What a photo alone says. It shows well what faces it and is skin where skin is expected."""
    positions, normals = _texel_geometry(model, view.vertices, len(own))
    places, trust, glimpsed, facing = _seen(view, positions, normals, model)
    offset = -shading(normals, view.light).log()
    albedo = _sampled(_log_radiance(view), places) + offset
    deviation = _deviation_from_skin(albedo - own, trust, masks["core"]).abs().amax(-1)
    expected = torch.maximum(masks["doubtful"], masks["face"])
    quality = trust * facing.clamp(min=0) * (1 - expected * _smoothstep(deviation, *OUTLIER))
    return _Sight(albedo, offset, places, trust, glimpsed, quality)


def _log_radiance(view: PhotoView) -> Float[Tensor, "height width 3"]:
    return srgb_to_linear(view.photo).clamp(min=DARKEST).log()


def _shares(sights: Sequence[_Sight]) -> Float[Tensor, "photo size size"]:
    """Of each photo in each texel: nearly all of it for the one that faces it most nearly, the first if in doubt."""
    quality = torch.stack([sight.quality for sight in sights])
    quality[0] = quality[0] * FIRST_PHOTO
    weights = quality.clamp(min=1e-3) ** DECISIVE
    return weights / weights.sum(0)


def _recoloured(sight: _Sight, first: _Sight, face: Float[Tensor, "size size"]) -> _Sight:
    """With the colours that the first photo gives to what both see."""
    both = (face > 0.5) & (sight.trust > 0.5) & (first.trust > 0.5)
    if sight is first or both.sum() < MIN_FACE_TEXELS:
        return sight
    change = (first.albedo - sight.albedo)[both].median(0).values
    return replace(sight, albedo=sight.albedo + change, offset=sight.offset + change)


def _texel_fragments(model: MorphableModel, size: int) -> Fragments:
    """The skin's triangles, rasterized into its texture."""
    x, y = 2 * model.uv[:, 0] - 1, 1 - 2 * model.uv[:, 1]
    flat = torch.stack([x, y, torch.zeros_like(x), torch.ones_like(x)], 1)[None]
    return rasterize(flat, model.uv_triangles[model.parts["head"].triangles], (size, size))


def _texel_geometry(
    model: MorphableModel, vertices: Tensor, size: int
) -> tuple[Float[Tensor, "size size 3"], Float[Tensor, "size size 3"]]:
    """Position and normal of every texel on the posed skin, 0 where there is no skin."""
    attributes = torch.cat([vertices, vertex_normals(vertices, model.triangles)], 1)
    triangles = model.triangles[model.parts["head"].triangles]
    values = interpolate(attributes, _texel_fragments(model, size), triangles)[0]
    return values[..., :3], torch.nn.functional.normalize(values[..., 3:], dim=-1)


def _texel_regions(
    model: MorphableModel, vertices: Tensor, size: int
) -> tuple[dict[str, Float[Tensor, "size size"]], Surface]:
    """From 0 to 1, how far each texel is skin at all, and belongs to each of `_vertex_regions`; and the surface under
    the texture."""
    part = model.parts["head"]
    triangles, fragments = model.triangles[part.triangles], _texel_fragments(model, size)
    regions = _vertex_regions(model)
    values = interpolate(torch.stack(list(regions.values()), 1).float(), fragments, triangles)[0]
    surface = Surface.of(vertices[: part.vertices.stop], triangles, fragments)
    return dict(zip(regions, values.unbind(-1), strict=True)), surface


def _vertex_regions(model: MorphableModel) -> dict[str, Bool[Tensor, " vertex"]]:
    """The core is skin that little covers; the crown is the scalp and the skin around it, down to the middle of the
    ears, where hair may begin."""
    regions, height = model.regions, model.mean[:, 1]
    above = height > height[regions["ears"]].mean()
    crown = (regions["scalp"] | regions["skin"]) & above & ~regions["face"] & ~regions["ears"]
    doubtful = torch.stack([regions[name] for name in DOUBTFUL_REGIONS]).any(0)
    return {
        "any": torch.ones_like(crown),
        "core": regions["cheeks"] | regions["nose"],
        "face": regions["face"],
        "crown": crown,
        "scalp": regions["scalp"],
        "doubtful": doubtful,
    }


def _seen(
    view: PhotoView, positions: Tensor, normals: Tensor, model: MorphableModel
) -> tuple[
    Float[Tensor, "size size 2"], Float[Tensor, "size size"], Float[Tensor, "size size"], Float[Tensor, "size size"]
]:
    """Where in the photo each texel lies, from -1 to 1 across it; how far it can be trusted to be seen there; how far
    what lies on it or just above it can be; and the cosine between the skin there and the line of sight."""
    camera, photo = view.camera, view.photo
    height, width = camera.resolution
    fragments = rasterize(camera.clip(view.vertices[None]), model.triangles, camera.resolution)
    depth = fragments.depth[0]
    outline = _near_outline(depth.numpy(), max(1.5, RIM * view.eye_distance))
    rim = torch.as_tensor(np.maximum(outline, _near_eyes(model, fragments.triangle[0], view.eye_distance)))
    pixels = camera.project(positions.flatten(0, 1)).view(*positions.shape[:2], 2)
    places = pixels / pixels.new_tensor([width, height]) * 2 - 1
    found = _sampled(torch.stack([depth, rim, photo.amax(-1), view.shown], -1), places)
    distance = camera.view(positions.flatten(0, 1))[:, 2].view(positions.shape[:2])
    facing = (normals * torch.nn.functional.normalize(camera.position - positions, dim=-1)).sum(-1)
    visible = (distance > 0) & (distance < found[..., 0] + DEPTH_TOLERANCE) & (places.abs() < 1).all(-1)
    unclipped = 1 - 0.8 * _smoothstep(found[..., 2], *CLIPPED)
    visible = visible * normals.any(-1) * unclipped * _smoothstep(found[..., 3], *SHOWN)
    trust = visible * _smoothstep(facing, *GRAZING) * (1 - found[..., 1])
    return places, trust, visible * _smoothstep(facing, *GLIMPSED), facing


def _sampled(image: Float[Tensor, "height width channel"], places: Float[Tensor, "size size 2"]) -> Tensor:
    planes = image.permute(2, 0, 1)[None]
    found = torch.nn.functional.grid_sample(planes, places[None], padding_mode="border", align_corners=False)
    return found[0].permute(1, 2, 0)


def _near_outline(depth: Float[np.ndarray, "h w"], reach: float) -> Float[np.ndarray, "h w"]:
    """1 on outlines and depth jumps, falling to 0 at `reach` pixels from them, on the farther side of a jump only."""
    covered = depth > 0
    nearest = np.where(covered, depth, np.inf)
    jump = ndimage.grey_dilation(np.where(covered, depth, 0), 3) - nearest > 0.02
    edge = jump | (ndimage.binary_dilation(~covered) & covered)
    distance = ndimage.distance_transform_edt(~edge) if edge.any() else np.full(depth.shape, np.inf)
    return np.clip(1 - distance / reach, 0, 1).astype(np.float32)


def _near_eyes(model: MorphableModel, triangle: Int[Tensor, "h w"], eye_distance: float) -> Float[np.ndarray, "h w"]:
    """1 on eyes and lashes, falling to 0 over EYE_REACH around them."""
    at_eyes = model.regions["eye_socket"][model.triangles.long()].all(1)
    for name in EYE_PARTS & model.parts.keys():
        at_eyes[model.parts[name].triangles] = True
    eyes = ((triangle >= 0) & at_eyes[triangle.clamp(min=0).long()]).numpy()
    near = np.zeros(eyes.shape, np.float32)
    if not eyes.any():
        return near
    rows, columns = np.nonzero(eyes)
    reach = int(EYE_REACH[1] * eye_distance) + 1
    window = np.s_[
        max(0, rows.min() - reach) : rows.max() + reach, max(0, columns.min() - reach) : columns.max() + reach
    ]
    distance = torch.as_tensor(ndimage.distance_transform_edt(~eyes[window]) / eye_distance, dtype=torch.float32)
    near[window] = 1 - _smoothstep(distance, *EYE_REACH).numpy()
    return near


def _deviation_from_skin(ratio: Tensor, trust: Tensor, core: Tensor) -> Float[Tensor, "size size 3"]:
    """By how many deviations each texel differs from the face's bare skin; collars, hair and background do."""
    known = (core > 0.5) & (trust > 0.5)
    if known.sum() < MIN_FACE_TEXELS:
        return torch.zeros_like(ratio)
    middle = ratio[known].median(0).values
    spread = (ratio[known] - middle).abs().median(0).values * 1.4826
    deviation = (ratio - middle) / (spread.clamp(max=MOST_SPREAD) + LEAST_SPREAD)
    return _enlarged(_reduced(deviation, COARSE), len(ratio))


def _better_half(trust: Float[Tensor, "size size"]) -> Float[Tensor, "size size"]:
    """Less trust for what is seen much worse than its mirror image, from which it is completed instead."""
    return trust * _smoothstep(trust / trust.flip(1).clamp(min=1e-6), *BETTER_HALF)


def _completion(
    albedo: Tensor,
    own: Tensor,
    trust: Tensor,
    glimpsed: Tensor,
    skin_like: Tensor,
    hair_like: Tensor,
    masks: dict[str, Tensor],
    surface: Surface,
) -> Float[Tensor, "size size 3"]:
    """The albedo's logarithm where it is not seen: smooth skin, smooth hair over it, and mirrored detail."""
    skin = own + _skin(albedo - own, trust, skin_like * (1 - hair_like), surface)
    cover = _hair_cover(trust, glimpsed, hair_like, masks, surface)
    seen_hair = glimpsed * hair_like.square()
    hair = surface.fill(albedo, seen_hair, _typical(albedo, seen_hair)[None], TYPICAL_TRUST)
    smooth = torch.lerp(skin, hair, cover[..., None])
    detail = (albedo - smooth) * (trust * (masks["face"] + masks["crown"]).clamp(max=1))[..., None]
    texture = _strand_depth(albedo - hair, trust * hair_like) * strands(len(own))
    unseen = 1 - torch.maximum(trust, trust.flip(1))
    smooth = smooth + (cover * unseen * texture)[..., None]
    return _with_gutter(smooth + MIRRORED * detail.flip(1), masks["any"])


def _skin(ratio: Tensor, trust: Tensor, skin_like: Tensor, surface: Surface) -> Float[Tensor, "size size 3"]:
    """The smooth part of the ratio to the model's own skin, everywhere."""
    ratio = ratio.clamp(-RATIO_LIMIT, RATIO_LIMIT)
    mirrored = MIRROR_TRUST * trust.flip(1) * (1 - trust)
    either = trust + mirrored
    both = (ratio * trust[..., None] + ratio.flip(1) * mirrored[..., None]) / either[..., None].clamp(min=1e-6)
    known = _smoothstep(trust, *WELL_SEEN) + MIRROR_TRUST * _smoothstep(trust.flip(1), *WELL_SEEN) * (1 - trust)
    weight = known * torch.maximum(skin_like, skin_like.flip(1) * (1 - trust))
    return surface.fill(both, weight, _typical(both, weight)[None], TYPICAL_TRUST)


def _hair_cover(
    trust: Tensor, glimpsed: Tensor, hair_like: Tensor, masks: dict[str, Tensor], surface: Surface
) -> Float[Tensor, "size size"]:
    """How far hair covers each texel: as seen; elsewhere the scalp, if what is seen of the crown is hair."""
    crown, seen = masks["crown"], glimpsed * masks["crown"]
    part = (seen * hair_like).sum() / seen.sum().clamp(min=1e-6)
    scalp = surface.at_vertices(masks["scalp"][..., None]) * _smoothstep(part, *HAIRY)
    if seen.sum() < LEAST_CROWN * crown.sum():
        scalp = torch.zeros_like(scalp)
    return surface.fill(hair_like[..., None], trust * crown, scalp, HAIR_EDGE)[..., 0].clamp(0, 1)


def _typical(values: Float[Tensor, "size size 3"], weight: Float[Tensor, "size size"]) -> Float[Tensor, "3"]:
    known = weight > 0.5
    return values[known].median(0).values if known.any() else torch.zeros(3)


def _strand_depth(detail: Float[Tensor, "size size 3"], weight: Float[Tensor, "size size"]) -> float:
    """Deviation of the hair's brightness about its smooth part, in logarithms, as far as it is seen."""
    known = weight > 0.5
    if not known.any():
        return 0.0
    return min(MOST_DEPTH, 1.4826 * float(detail[known].mean(1).abs().median()))


def _with_gutter(image: Float[Tensor, "size size 3"], covered: Float[Tensor, "size size"]) -> Tensor:
    """The image with its edge carried beyond the skin's outline in the texture, where filters reach."""
    weight = (covered > 0.5).float()[..., None]
    weighted = _reduced(torch.cat([image * weight, weight], -1), COARSE).permute(2, 0, 1)[None]
    return torch.lerp(_enlarged(spread(weighted)[0].permute(1, 2, 0), len(image)), image, weight)


def _reduced(image: Float[Tensor, "h w channel"], factor: int) -> Float[Tensor, "_h _w channel"]:
    return torch.nn.functional.avg_pool2d(image.permute(2, 0, 1)[None], factor)[0].permute(1, 2, 0)


def _enlarged(image: Float[Tensor, "h w channel"], size: int) -> Float[Tensor, "size size channel"]:
    planes = image.permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(planes, (size, size), mode="bilinear")[0].permute(1, 2, 0)


def spread(weighted: Float[Tensor, "1 channel height width"]) -> Float[Tensor, "1 _channel height width"]:
    """Fill an image that is known in places, smoothly: push-pull over an image pyramid (Gortler et al. 1996).

    The last channel is the weight, the others are values times their weight.
    """
    if min(weighted.shape[-2:]) == 1:
        return weighted[:, :-1] / weighted[:, -1:].clamp(min=1e-6)
    coarse = spread(torch.nn.functional.avg_pool2d(weighted, 2, ceil_mode=True, count_include_pad=False))
    coarse = torch.nn.functional.interpolate(coarse, weighted.shape[-2:], mode="bilinear")
    known = weighted[:, -1:].clamp(0, 1)
    return weighted[:, :-1] / weighted[:, -1:].clamp(min=1e-6) * known + (1 - known) * coarse


def _smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
