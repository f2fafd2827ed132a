"""Rulers in the eyes.

The iris is nearly of one size in all adults, and a face is as large as it is beside its irises. From white to white it
measures 11.71 mm, with a standard deviation of 0.42 mm (Rüfer, Schröder & Erb 2005, Cornea). A landmark detector draws
irises in proportion to the face, so their edges are looked for in the photo itself, with an integro-differential
operator (Daugman 1993): the ellipse across which brightness rises most.

Two eyes look at one point: where the pupils are seen tells how far apart the eyeballs are, beside the face.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import Tensor

from face3d.fitting.evidence import LEFT_EYE, RIGHT_EYE
from face3d.fitting.gauss_newton import Belief
from morphable import MorphableModel
from morphable.appearance import IRIS_DIAMETER
from morphable.model import JOINT_NAMES

RIGHT_JOINT, LEFT_JOINT = JOINT_NAMES.index("eye_right"), JOINT_NAMES.index("eye_left")

POPULATION_SIGMA = 0.036
"""Of the diameter's logarithm, over people."""
PHOTO_SIGMA = 0.045
"""Of the logarithm of what one photo's two irises measure: about a pixel of an iris 24 pixels wide."""
PUPILS_SIGMA, PUPILS_PHOTO_SIGMA = 0.008, 0.018
"""Of the logarithm of the pupils' distance over the face's size: what all photos share, where the eyes look, and each
photo's own."""
RADIUS = 32
"""Pixels to the expected radius of an iris in the patch where it is looked for."""
RATIOS = np.geomspace(0.75, 1.33, 58)
"""Radii that are tried, relative to the expected one; the first or the last is no maximum, and tells nothing."""
SHIFT = (0.3, 0.2)
"""How far, in radii, the centre is looked for along the eye and across it."""
SHIFT_STEP = 0.05
ANGLES = 128
SIDEWAYS = 0.64
"""Only those directions from the centre count whose cosine with the eye's axis is above this: lids cover the others."""
BLUR = 0.06
"""In radii."""
CLEARANCE = 0.1
"""Radii that an edge must stay away from the lids."""
LEAST_SEEN = 6
"""Directions on either side in which an edge must be free to be seen."""
LEAST_RISE = 0.15
"""Least rise of the brightness, per radius and relative to the patch's range, that is an iris's edge."""


@dataclass(frozen=True)
class Eye:
    """Where an iris should be in a photo.

    Attributes:
        centre: pixels.
        radius: of an iris of IRIS_DIAMETER at the eye's depth, pixels.
        ball: the eyeball's centre in the camera's axes, metres.
        facing: unit normal of the iris there.
        lids: the opening's outline from corner to corner and back, pixels.
    """

    centre: Float[np.ndarray, "2"]
    radius: float
    ball: Float[np.ndarray, "3"]
    facing: Float[np.ndarray, "3"]
    lids: Float[np.ndarray, "16 2"]


def eyes(
    landmarks: Float[np.ndarray, "478 3"],
    eyeballs: Float[np.ndarray, "2 3"],
    eyeball_radius: float,
    focal: float,
    principal: Float[np.ndarray, "2"],
) -> list[Eye]:
    """The right and the left eye of a face.

    Args:
        eyeballs: centres of the right and the left one, in the camera's frame, metres.
        eyeball_radius: metres.
        focal, principal: pixels.
    """
    found = []
    for (iris, outline), ball in zip((RIGHT_EYE, LEFT_EYE), eyeballs, strict=True):
        centre = landmarks[iris, :2]
        ray = np.append((centre - principal) / focal, 1.0)
        ray /= np.linalg.norm(ray)
        along = ray @ ball
        front = along - np.sqrt(max(along**2 - ball @ ball + (0.95 * eyeball_radius) ** 2, 0.0))
        facing = front * ray - ball
        radius = IRIS_DIAMETER / 2 * focal / (front * ray[2])
        found.append(Eye(centre, radius, ball, facing / np.linalg.norm(facing), landmarks[list(outline), :2]))
    return found


def measured(
    photo: Sequence[Float[np.ndarray, "height width"]], seen: Sequence[Sequence[Eye]]
) -> tuple[float, float] | None:
    """Logarithm of the irises' diameter over IRIS_DIAMETER, and its standard deviation; None where none is to be seen.

    Args:
        photo: of each photo the channel in which irises are darkest against the white, which is red.
        seen: each photo's eyes.
    """
    votes, photos = np.zeros(len(RATIOS)), 0
    for image, pair in zip(photo, seen, strict=True):
        rises = np.zeros(len(RATIOS))
        for eye in pair:
            rises += eye.facing[2] ** 2 * _edge_strength(image, eye)
        votes += rises
        photos += bool(rises.any())
    best = int(votes.argmax())
    if best in (0, len(RATIOS) - 1):
        return None
    return float(np.log(RATIOS[best])), float(np.hypot(POPULATION_SIGMA, PHOTO_SIGMA / np.sqrt(photos)))


def pupils_apart(
    seen: Sequence[Sequence[Eye]], apart: float, radius: float, distances: Sequence[float]
) -> tuple[float, float] | None:
    """Logarithm of the distance between the pupils over `apart`, and its standard deviation; None without a photo.

    Two eyes look at one point. Axes that part or cross more than those of eyes that look somewhere from the camera to
    the horizon say that the model's eyes are too near to each other, or too far.

    Args:
        seen: each photo's eyes, in which the model's are `apart` metres from each other.
        radius: of the eyeballs, metres.
        distances: of the camera, metres.
    """
    if not seen:
        return None
    growth = 0.0
    for (right, left), distance in zip(seen, distances, strict=True):
        across = _unit(np.asarray(left.ball) - right.ball)
        parting = radius * (left.facing - right.facing) @ across
        growth += np.log1p((parting / apart + radius / distance / 2).clip(-0.5, 0.5)) / len(seen)
    return float(growth), float(np.hypot(PUPILS_SIGMA, PUPILS_PHOTO_SIGMA / np.sqrt(len(seen))))


def told(
    belief: Belief, identity: Float[Tensor, " identity"], slope: Float[Tensor, " identity"], growth: float, sigma: float
) -> Belief:
    """`belief` once a measure of the head is known.

    Args:
        identity: of a head near the true one.
        slope: derivative of the measure's logarithm by the identity there.
        growth: logarithm of the true measure over that of `identity`.
        sigma: its standard deviation.
    """
    precision = belief.precision + torch.outer(slope, slope) / sigma**2
    pull = belief.precision @ belief.mean + slope * (growth + slope @ identity) / sigma**2
    return Belief(torch.linalg.solve(precision, pull), precision)


def size_slope(model: MorphableModel, identity: Float[Tensor, " identity"]) -> Float[Tensor, " identity"]:
    """Derivative of the logarithm of the face's root mean square radius by the identity."""
    face = model.regions["face"]
    basis = model.identity_basis[:, face].double()
    points = model.mean[face].double() + torch.tensordot(identity, basis, 1)
    centred = points - points.mean(0)
    return (basis * centred).sum((1, 2)) / centred.square().sum()


def pupils_slope(model: MorphableModel, identity: Float[Tensor, " identity"]) -> Float[Tensor, " identity"]:
    """Derivative, by the identity, of the logarithm of the distance between the eyes' centres over the face's size."""
    basis = (model.joint_basis[:, LEFT_JOINT] - model.joint_basis[:, RIGHT_JOINT]).double()
    between = (model.joint_mean[LEFT_JOINT] - model.joint_mean[RIGHT_JOINT]).double() + identity @ basis
    return basis @ between / between.square().sum() - size_slope(model, identity)


def _edge_strength(image: Float[np.ndarray, "height width"], eye: Eye) -> Float[np.ndarray, " ratio"]:
    """How much brighter it gets across the sides of the best-placed ellipse of each radius; zeros if nowhere enough."""
    reach = int(RADIUS * (RATIOS[-1] + max(SHIFT))) + 2
    patch, free = _patch(image, eye, reach)
    spread = float(np.ptp(patch[free])) if free.any() else 0.0
    if spread == 0.0:
        return np.zeros(len(RATIOS))
    down, right = (np.gradient(patch / spread * RADIUS, axis=axis) for axis in (0, 1))
    circle, sides = _ellipse(eye)
    offsets = np.rint(RADIUS * RATIOS[:, None, None] * circle).astype(int) + reach
    outward = circle / np.linalg.norm(circle, axis=1, keepdims=True)
    best = np.zeros(len(RATIOS))
    for shift in _shifts(eye):
        x, y = (offsets + shift).transpose(2, 0, 1)
        rise = (right[y, x] * outward[:, 0] + down[y, x] * outward[:, 1]).clip(min=0)
        both = np.ones(len(RATIOS))
        for side in sides:
            counted = free[y, x] & side
            number = counted.sum(1)
            both *= np.where(number >= LEAST_SEEN, (rise * counted).sum(1) / np.maximum(number, 1), 0.0)
        best = np.maximum(best, np.sqrt(both))
    return np.where(best.max() > LEAST_RISE, best, 0.0)


def _patch(
    image: Float[np.ndarray, "height width"], eye: Eye, reach: int
) -> tuple[Float[np.ndarray, "side side"], Bool[np.ndarray, "side side"]]:
    """The blurred eye, its expected radius RADIUS pixels, and where the opening is free of lids."""
    scale = eye.radius / RADIUS
    steps = np.arange(-reach, reach + 1) * scale
    rows, columns = np.meshgrid(eye.centre[1] - 0.5 + steps, eye.centre[0] - 0.5 + steps, indexing="ij")
    patch = ndimage.map_coordinates(image, [rows, columns], order=1, mode="nearest")
    opening = Image.new("1", (2 * reach + 1,) * 2)
    ImageDraw.Draw(opening).polygon(((eye.lids - eye.centre) / scale + reach).ravel().tolist(), fill=1)
    free = ndimage.distance_transform_edt(np.asarray(opening)) > CLEARANCE * RADIUS
    return ndimage.gaussian_filter(patch, BLUR * RADIUS), free


def _shifts(eye: Eye) -> Int[np.ndarray, "shift 2"]:
    """Of the centre, in the patch's pixels."""
    along = _unit(eye.lids[8] - eye.lids[0])
    axes = np.stack([along, [-along[1], along[0]]])
    steps = (np.arange(-limit, limit + 1e-9, SHIFT_STEP) for limit in SHIFT)
    grid = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 2)
    return np.rint(RADIUS * grid @ axes).astype(int)


def _ellipse(eye: Eye) -> tuple[Float[np.ndarray, "angle 2"], tuple[Bool[np.ndarray, " angle"], ...]]:
    """A foreshortened circle of radius 1, and which of its points lie to either side along the eye."""
    towards = eye.facing[:2]
    minor = _unit(towards) if np.linalg.norm(towards) > 1e-6 else np.array([1.0, 0.0])
    major = np.array([-minor[1], minor[0]])
    turn = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)[:, None]
    circle = np.cos(turn) * minor * abs(eye.facing[2]) + np.sin(turn) * major
    sideways = circle @ _unit(eye.lids[8] - eye.lids[0]) / np.linalg.norm(circle, axis=1)
    return circle, (sideways < -SIDEWAYS, sideways > SIDEWAYS)


def _unit(vector: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
    return vector / np.linalg.norm(vector)
