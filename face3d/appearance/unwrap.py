"""A photo onto a head's texture: where it is seen, taken from the photo with the light removed; elsewhere completed."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from face3d.appearance.light import shading
from face3d.appearance.painting import to_srgb8
from morphable import MorphableModel
from renderers import Camera, interpolate, rasterize, srgb_to_linear, vertex_normals

GRAZING = (0.2, 0.6)
"""Cosine between surface and line of sight from which a texel begins to be, and is fully, taken from the photo."""
DEPTH_TOLERANCE = 0.004
"""Metres by which a texel may lie behind the nearest surface and still be seen."""
RIM = 0.05
"""Texels this near to an outline are not taken: the fit is not exact there. Relative to the eyes' distance."""
MIRRORED = 0.85
"""How much of the detail of the other, seen half is carried to an unseen texel."""
OUTLIER = 3.0
"""Deviations from the face's own skin beyond which a texel begins to be taken for cloth, hair or background."""
LEAST_SPREAD = 0.08
"""Added to the measured spread of skin, in logarithms: shading is not known better than that."""
MIN_FACE_TEXELS = 100
"""A face of which less is seen says nothing of its skin."""
LEAST_SCALP = 0.02
"""Part of the scalp that must be seen for its hair to cover the rest."""
DOUBTFUL_REGIONS = ("neck", "ears", "eyelids")
"""Where the photo often shows something else (collars, hair, lashes, eyes), as it does where a texel is seen badly."""
CLIPPED = (0.94, 0.995)
"""sRGB values between which a channel is taken to saturate."""
MIRROR_TRUST = 0.3
"""What a seen texel is worth for the colour of its unseen mirror image."""
TYPICAL_TRUST = 0.01
"""Weight of the typical colour everywhere: it wins where nothing near has been seen."""
COARSE = 4
"""The completion runs on a texture smaller by this factor."""
DARKEST = 2e-3
"""Linear albedo and radiance below which logarithms are not taken."""
RATIO_LIMIT = 2.5
"""Largest |log| of the photo's albedo over the model's."""


def unwrap(
    photo: Float[Tensor, "height width 3"],
    inside: Bool[Tensor, "height width"],
    camera: Camera,
    vertices: Float[Tensor, "vertex 3"],
    model: MorphableModel,
    light: Float[Tensor, "9 3"],
    base: UInt8[np.ndarray, "base_size base_size 3"],
    eye_distance: float,
    size: int,
) -> UInt8[np.ndarray, "size size 3"]:
    """The skin's albedo as an sRGB texture.

    The photo's albedo is expressed as a ratio to the model's own skin, `base`. The ratio's smooth part spreads from
    seen to unseen texels, its detail is mirrored from the other half of the face, and both blend by how well a texel is
    seen; so there is no seam to hide. What is smooth is worked out at the size of `base`, the photo is taken over at
    the full size.

    Args:
        photo: sRGB in [0, 1], as the camera sees it.
        inside: which pixels of `photo` there are; the others are padding.
        vertices: as posed in the photo.
        light: spherical harmonics that lit the face.
        base: the model's own skin, sRGB.
        eye_distance: between the outer eye corners, in pixels of the photo.
        size: pixels a side of the texture.
    """
    positions, normals, masks = _texel_geometry(model, vertices, len(base))
    places, trust = _seen(photo, inside, camera, positions, normals, model, vertices, eye_distance)
    brightness = srgb_to_linear(photo).clamp(min=DARKEST).log()
    white = shading(normals, light).log()
    own = srgb_to_linear(torch.tensor(base).float() / 255).clamp(min=DARKEST).log()
    ratio = (_sampled(brightness, places) - white - own).clamp(-RATIO_LIMIT, RATIO_LIMIT)
    skin_like = _skin_likeness(ratio, trust, masks["face"])
    skin_expected = torch.maximum(masks["doubtful"], masks["face"] * (1 - trust))
    trust = trust * (1 - skin_expected * (1 - skin_like))
    unseen = own + _completion(ratio, trust, skin_like, masks)
    if size != len(base):
        places, trust, white, unseen = (_enlarged(image, size) for image in (places, trust[..., None], white, unseen))
    else:
        trust = trust[..., None]
    return to_srgb8(torch.lerp(unseen, _sampled(brightness, places) - white, trust).exp())


def _texel_geometry(
    model: MorphableModel, vertices: Tensor, size: int
) -> tuple[Tensor, Tensor, dict[str, Float[Tensor, "size size"]]]:
    """Position and normal on the posed skin of every texel, 0 where there is no skin; and, from 0 to 1, how far it
    belongs to the face, the scalp, and the DOUBTFUL_REGIONS."""
    span = model.parts["head"].triangles
    corners, triangles = model.uv_triangles[span], model.triangles[span]
    x, y = 2 * model.uv[:, 0] - 1, 1 - 2 * model.uv[:, 1]
    flat = torch.stack([x, y, torch.zeros_like(x), torch.ones_like(x)], 1)[None]
    fragments = rasterize(flat, corners, (size, size))
    doubtful = torch.stack([model.regions[name] for name in DOUBTFUL_REGIONS]).any(0)
    masks = torch.stack([model.regions["face"], model.regions["scalp"], doubtful], 1).float()
    attributes = torch.cat([vertices, vertex_normals(vertices, model.triangles), masks], 1)
    values = interpolate(attributes, fragments, triangles)[0]
    normals = torch.nn.functional.normalize(values[..., 3:6], dim=-1)
    return values[..., :3], normals, dict(zip(("face", "scalp", "doubtful"), values[..., 6:].unbind(-1), strict=True))


def _seen(
    photo: Tensor,
    inside: Tensor,
    camera: Camera,
    positions: Tensor,
    normals: Tensor,
    model: MorphableModel,
    vertices: Tensor,
    eye_distance: float,
) -> tuple[Float[Tensor, "size size 2"], Float[Tensor, "size size"]]:
    """Where in the photo each texel lies, from -1 to 1 across it, and how far it can be trusted to be seen there."""
    height, width = camera.resolution
    depth = rasterize(camera.clip(vertices[None]), model.triangles, camera.resolution).depth[0]
    rim = torch.as_tensor(_near_outline(depth.numpy(), max(1.5, RIM * eye_distance)))
    pixels = camera.project(positions.flatten(0, 1)).view(*positions.shape[:2], 2)
    places = pixels / pixels.new_tensor([width, height]) * 2 - 1
    found = _sampled(torch.stack([depth, rim, photo.amax(-1), inside.float()], -1), places)
    distance = camera.view(positions.flatten(0, 1))[:, 2].view(positions.shape[:2])
    facing = (normals * torch.nn.functional.normalize(camera.position - positions, dim=-1)).sum(-1)
    visible = (distance > 0) & (distance < found[..., 0] + DEPTH_TOLERANCE) & (places.abs() < 1).all(-1)
    visible &= found[..., 3] > 0.99
    unclipped = 1 - 0.8 * _smoothstep(found[..., 2], *CLIPPED)
    return places, visible * normals.any(-1) * _smoothstep(facing, *GRAZING) * (1 - found[..., 1]) * unclipped


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


def _skin_likeness(ratio: Tensor, trust: Tensor, face: Tensor) -> Float[Tensor, "size size"]:
    """From 0 to 1, how much a texel looks like the skin of the face; collars, hair and background do not."""
    known = (face > 0.5) & (trust > 0.5)
    if known.sum() < MIN_FACE_TEXELS:
        return torch.ones_like(trust)
    middle = ratio[known].median(0).values
    spread = (ratio[known] - middle).abs().median(0).values * 1.4826 + LEAST_SPREAD
    deviation = _reduced(((ratio - middle) / spread).abs().amax(-1, keepdim=True), COARSE)
    return 1 - _smoothstep(_enlarged(deviation, len(ratio))[..., 0], OUTLIER, 2 * OUTLIER)


def _completion(
    ratio: Tensor, trust: Tensor, skin_like: Tensor, masks: dict[str, Tensor]
) -> Float[Tensor, "size size 3"]:
    """The ratio where it is not seen: the spread smooth part with the face's mirrored detail.

    Hair spreads over the scalp, if any is seen there, and skin over everything else.
    """
    size = len(ratio)
    either = trust + MIRROR_TRUST * trust.flip(1) * (1 - trust)
    both = (ratio * trust[..., None] + MIRROR_TRUST * (ratio * trust[..., None]).flip(1) * (1 - trust[..., None])) / (
        either[..., None].clamp(min=1e-6)
    )
    symmetric_skin = torch.maximum(skin_like, skin_like.flip(1) * (1 - trust))
    smooth = _spread_from(both, either * symmetric_skin * (1 - masks["scalp"]))
    hair = either * masks["scalp"]
    if hair.sum() > LEAST_SCALP * masks["scalp"].sum():
        smooth = smooth + _reduced(masks["scalp"][..., None], COARSE) * (_spread_from(both, hair) - smooth)
    smooth = _enlarged(smooth, size)
    detail = (ratio - smooth) * (trust * masks["face"])[..., None]
    return smooth + MIRRORED * detail.flip(1)


def _spread_from(ratio: Tensor, weight: Tensor) -> Float[Tensor, "small small 3"]:
    known = weight > 0.5
    typical = ratio[known].median(0).values if known.any() else torch.zeros(3)
    weighted = _reduced(torch.cat([ratio * weight[..., None], weight[..., None]], -1), COARSE)
    weighted = weighted + TYPICAL_TRUST * torch.cat([typical, torch.ones(1)])
    return spread(weighted.permute(2, 0, 1)[None])[0].permute(1, 2, 0)


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
