"""The person apart from what is behind, without a network: colours, by graph cuts from where the head is."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

WORKING_SIZE = 384
"""Longest side, pixels, at which person and background are told apart; edges are then found in the photo itself."""
ROUNDS = 4
"""Of graph cuts and colour models (Rother et al. 2004)."""
HAIR = 0.3
"""How far beyond the head hair is likely, in the head's width."""
BEYOND = 0.8
"""How far beyond the head nothing above the chin belongs to the person, in the head's width."""
SHOULDERS, SLOPE = 1.8, 0.35
"""Half of what shoulders may span, and how far below the chin they do so, in the head's width."""
CORE = 0.5
"""Of that span: what certainly is the person, below the chin."""
EDGE = 0.012
"""Of the head's width: radius of the filter that finds edges, and what the person gets beyond them, so that no fringe
stays behind."""
FLATNESS = 1e-3
"""Variance of colour, of 1, below which the filter sees no edge (He et al. 2010)."""
UNLIKE = 0.06
"""Difference of the square roots of linear colours above which a pixel is not the background's alone; at twice that it
is not at all."""
FAINTEST = 0.02
"""Opacity below which a pixel is the background's."""


def person_matte(
    pixels: UInt8[np.ndarray, "height width 3"],
    head: Bool[np.ndarray, "height width"],
    chin: float,
    width: float,
) -> Float[np.ndarray, "height width"]:
    """Opacity of the person.

    Args:
        pixels: sRGB.
        head: where the head certainly is.
        chin: row of its lower end, pixels.
        width: of the head, pixels.
    """
    height, length = head.shape
    scale = min(1.0, WORKING_SIZE / max(height, length))
    size = (max(1, round(length * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    certain = cv2.resize(head.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    labels = _likely(certain, chin * scale, width * scale)
    if (labels == cv2.GC_BGD).any():
        colours = [np.zeros((1, 65)), np.zeros((1, 65))]
        cv2.setRNGSeed(0)
        cv2.grabCut(small, labels, (0, 0, 0, 0), colours[0], colours[1], ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = _whole(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)), certain)
    rough = cv2.resize(person.astype(np.float32), (length, height), interpolation=cv2.INTER_LINEAR)
    radius = max(2, round(EDGE * width))
    soft = _guided(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255, rough, radius)
    wide = cv2.dilate(np.clip((soft - 0.1) / 0.8, 0, 1), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (radius, radius)))
    return cv2.blur(wide, (radius, radius))


def with_fringe(
    pixels: Float[np.ndarray, "height width 3"], matte: Float[np.ndarray, "height width"], fringe: int
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
    """What is behind the person, and the matte with what near it is not like that: single hairs.

    The background is the picture farther than `fringe` pixels from the person, and smoothly on from there (a pyramid of
    means over what is known).

    Args:
        pixels: linear.
    """
    near = cv2.dilate(matte, np.ones((2 * fringe + 1, 2 * fringe + 1), np.uint8)) >= FAINTEST
    known = (~near).astype(np.float32)
    behind = np.where(near[..., None], _filled(pixels * known[..., None], known), pixels)
    unlike = np.abs(np.sqrt(pixels) - np.sqrt(np.maximum(behind, 0))).max(2) / UNLIKE - 1
    return behind, np.maximum(matte, np.clip(unlike, 0, 1) * near)


def _likely(head: Bool[np.ndarray, "height width"], chin: float, width: float) -> UInt8[np.ndarray, "height width"]:
    """Labels to begin graph cuts with."""
    rows, columns = np.mgrid[: head.shape[0], : head.shape[1]]
    away = cv2.distanceTransform((~head).astype(np.uint8), cv2.DIST_L2, 5)
    centre = columns[head].mean()
    below = np.clip((rows - chin) / (SLOPE * width), 0, 1)
    span = width * (0.5 + (SHOULDERS - 0.5) * below)
    beside = np.abs(columns - centre) - span
    labels = np.full(head.shape, cv2.GC_PR_BGD, np.uint8)
    labels[away < HAIR * width] = cv2.GC_PR_FGD
    labels[(rows > chin) & (beside < 0)] = cv2.GC_PR_FGD
    labels[(away > BEYOND * width) & (rows < chin)] = cv2.GC_BGD
    core = np.abs(columns - centre) < CORE * span
    labels[head | ((rows > chin) & core)] = cv2.GC_FGD
    return labels


def _whole(person: Bool[np.ndarray, "height width"], head: Bool[np.ndarray, "height width"]) -> np.ndarray:
    """The piece that holds the head, without holes."""
    _, pieces = cv2.connectedComponents(person.astype(np.uint8))
    found = np.bincount(pieces[head & person], minlength=1)
    found[0] = 0
    piece = pieces == int(found.argmax()) if found.any() else head
    _, gaps = cv2.connectedComponents((~piece).astype(np.uint8))
    border = np.unique(np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]]))
    filled: np.ndarray = piece | ~np.isin(gaps, border[border > 0])
    return filled


def _guided(
    guide: Float[np.ndarray, "height width"], values: Float[np.ndarray, "height width"], radius: int
) -> Float[np.ndarray, "height width"]:
    """Values smoothed but for the guide's edges (He et al., "Guided Image Filtering", 2010)."""

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.blur(image, (2 * radius + 1, 2 * radius + 1))

    centre, level = mean(guide), mean(values)
    slope = (mean(guide * values) - centre * level) / (mean(guide * guide) - centre * centre + FLATNESS)
    smooth: np.ndarray = mean(slope) * guide + mean(level - slope * centre)
    return smooth


def _filled(
    weighed: Float[np.ndarray, "height width 3"], weight: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width 3"]:
    """Colours at every pixel from those that have a weight: of the finest level that knows any."""
    height, width = weight.shape
    mean = weighed / np.maximum(weight, 1e-6)[..., None]
    if min(height, width) == 1 or (weight > 0).all():
        return mean
    size = ((width + 1) // 2, (height + 1) // 2)
    coarse = _filled(*(cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (weighed, weight)))
    spread = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.clip(weight, 0, 1)[..., None]
    return share * mean + (1 - share) * spread
