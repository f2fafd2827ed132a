"""Which pixels show the head, and not hair, glasses, a mask or a microphone before it: those that the fitted head can
explain.

Skin of one albedo under smooth light is one population of colours, all that things may have is another; which of the
two a pixel is of, and the light, are found in turns (as FOCUS does, Li et al. 2023, with a network in place of the
mixture). Pixels agree with those around them that look alike. A hand as fair as the face in the same light is
explained, too, and stays.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from face3d.appearance.light import separate_skin_and_light, shading
from renderers import linear_to_srgb

ROUNDS, PASSES = 4, 2
"""How often the light is found, and how often pixels listen to each other before it is found again."""
OPPONENTS = ((0.57735, 0.57735, 0.57735), (0.70711, -0.70711, 0.0), (0.40825, 0.40825, -0.81650))
"""Axes of differences between logarithms of colours: brightness, red against green, both against blue."""
LEAST_SPREAD, MOST_SPREAD = (0.25, 0.05, 0.05), (0.5, 0.15, 0.15)
"""Deviation of skin from one albedo under smooth light along them: what it is, but within these."""
THINGS = (3.0, 1.0, 1.0)
"""Extent along them of the colours that things may have, all alike."""
COMMON = 0.9
"""Share of the face that is expected to be seen."""
SURE, AGREEING = 3.0, 4.0
"""Log odds beyond which one pixel says no more, and which neighbours add who agree."""
REACH, ALIKE = 0.015, 1e-3
"""The guided filter's (He et al. 2013) reach, over the picture's side, and the least variance that it takes for an
edge."""
BESIDE = 0.035
"""Over the picture's side: how far from a brow the skin beside it is looked for."""
LEAST_PART = 0.03
"""Things that hide less of the skin than this part are shadows, glints and moles."""
DARKEST, BRIGHTEST = 2e-3, 0.97
"""Radiance between which a pixel is exposed."""
LEAST_SKIN = 100
"""Exposed pixels of skin below which nothing can be said."""


def shown(
    radiance: Float[Tensor, "size size 3"],
    normals: Float[Tensor, "size size 3"],
    skin: Bool[Tensor, "size size"],
    core: Bool[Tensor, "size size"],
    brows: Bool[Tensor, "size size"],
    things: Bool[Tensor, "size size"],
    greyscale: bool,
) -> Float[Tensor, "size size"]:
    """From 0 to 1, how likely each pixel of a picture of a face shows it; near the skin, as the skin's pixels do.

    Args:
        radiance: linear.
        normals: unit, in the world, of the fitted head.
        skin: where that head's bare skin is.
        core: the part of it that things hide most seldom.
        brows: where its brows are. They look like hair, whose end may be just above them: they are seen where skin
            beside them is.
        things: what is known to be before it.
        greyscale: the photo has no colour.
    """
    skin, core = skin & ~things, core & ~things
    known = skin & (radiance.amax(-1) < BRIGHTEST) & (radiance.amin(-1) > DARKEST)
    axes = torch.tensor(OPPONENTS[:1] if greyscale else OPPONENTS)
    least, most, extent = (torch.tensor(each[: len(axes)]) for each in (LEAST_SPREAD, MOST_SPREAD, THINGS))
    guide = linear_to_srgb(radiance.clamp(0, 1)).numpy()
    result = core.float()
    for _ in range(ROUNDS):
        used = known & (result > 0.5)
        if used.sum() < LEAST_SKIN:
            return (~things).float()
        albedo, light = separate_skin_and_light(radiance[used], normals[used], greyscale)
        expected = (albedo * shading(normals, light)).clamp(min=DARKEST)
        away = (radiance.clamp(min=DARKEST) / expected).log() @ axes.mT
        away = away - away[used].median(0).values
        spread = (1.4826 * away[used].abs().median(0).values).maximum(least).minimum(most)
        of_skin = -0.5 * (away / spread).square().sum(-1) - (spread * np.sqrt(2 * np.pi)).log().sum()
        odds = of_skin + extent.log().sum() + np.log(COMMON / (1 - COMMON))
        odds = _smoothed(odds.clamp(-SURE, SURE), skin, guide)
        for _ in range(PASSES):
            result = (odds + AGREEING * _smoothed(2 * result - 1, skin, guide)).sigmoid()
    result = _without_small_parts(result.minimum(odds.sigmoid()), skin, things)
    return torch.where(brows, result.maximum(_beside(result * skin)), result) * ~things


def _smoothed(
    values: Float[Tensor, "size size"], known: Bool[Tensor, "size size"], guide: Float[np.ndarray, "size size 3"]
) -> Float[Tensor, "size size"]:
    """Over pixels that look alike, from those that are known."""
    radius, weight = max(1, round(REACH * len(guide))), known.float().numpy()
    parts = [cv2.ximgproc.guidedFilter(guide, each, radius, ALIKE) for each in (values.numpy() * weight, weight)]
    return torch.from_numpy(parts[0] / np.maximum(parts[1], 0.05))


def _beside(values: Float[Tensor, "size size"]) -> Float[Tensor, "size size"]:
    """The largest around each pixel."""
    reach = 2 * max(1, round(BESIDE * len(values))) + 1
    return torch.from_numpy(cv2.dilate(values.numpy(), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))))


def _without_small_parts(
    result: Float[Tensor, "size size"], skin: Bool[Tensor, "size size"], things: Bool[Tensor, "size size"]
) -> Float[Tensor, "size size"]:
    """1 where what hides the skin is too small to be a thing, and not beside a known one; what is large, a pixel
    larger."""
    hidden = (result < 0.5).numpy() & ~things.numpy()
    _, parts = cv2.connectedComponents(hidden.astype(np.uint8))
    of_skin = np.bincount(parts[skin.numpy()], minlength=parts.max() + 1)
    large = of_skin > LEAST_PART * int(skin.sum())
    large[np.unique(parts[cv2.dilate(things.numpy().astype(np.uint8), np.ones((3, 3), np.uint8)) > 0])] = True
    large[0] = False
    grown = cv2.erode(result.numpy(), np.ones((3, 3), np.uint8))
    around = cv2.dilate(large[parts].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return torch.from_numpy(np.where(around, grown, 1.0)).float()
