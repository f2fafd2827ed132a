"""One synthetic photo with its labels, drawn from a seed and an index."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from face3d.synth.anatomy import anatomy
from face3d.synth.background import background
from face3d.synth.camera import View, view
from face3d.synth.classes import COVERING, INDEX
from face3d.synth.clothing import NECK_BASE, clothing
from face3d.synth.faults import with_faults
from face3d.synth.glasses import SHARE as GLASSES
from face3d.synth.glasses import glasses
from face3d.synth.hair import Haircut, beard, hair, haircut
from face3d.synth.headwear import EARRINGS, HATS, earrings, hat
from face3d.synth.light import Lighting, exposed, lighting
from face3d.synth.occluders import SHARE as OCCLUDERS
from face3d.synth.occluders import occluder
from face3d.synth.people import Person, person
from face3d.synth.pieces import Piece
from face3d.synth.scene import Samples, drawn
from face3d.synth.skin import Complexion, complexion
from renderers import Camera

SUPERSAMPLE = 1.25
"""Samples along each side of a pixel."""
HIDDEN = 0.006
"""Metres by which something must lie before a landmark to hide it."""
FACE = tuple(range(INDEX["skin"], INDEX["mouth"]))


@dataclass(frozen=True, eq=False)
class SyntheticPhoto:
    """A picture of one person, and all that is true of it.

    Attributes:
        linear: the picture before a camera's faults, linear.
        landmarks: x and y of the dense landmarks in pixels: MediaPipe's 478, then the edges of the upper and the lower
            row of teeth, each from the person's right to left.
        points: the same in the world, metres.
        visible: whether each landmark lies in the picture with nothing before it.
        depth: camera z in metres, 0 on the background. This and what follows is of the sample nearest to each pixel's
            centre, at most 0.4 pixels away along each axis.
        normals: unit normals in the world, 0 on the background and on hair.
        classes: of CLASSES.
        view: the camera, and how it sees the skull.
        person: the head and what it does.
        light: that falls on it.
        seed: seed and index.
    """

    linear: Float[np.ndarray, "size size 3"]
    landmarks: Float[np.ndarray, "landmark 2"]
    points: Float[np.ndarray, "landmark 3"]
    visible: Bool[np.ndarray, " landmark"]
    depth: Float[np.ndarray, "size size"]
    normals: Float[np.ndarray, "size size 3"]
    classes: UInt8[np.ndarray, "size size"]
    view: View
    person: Person
    light: Lighting
    seed: tuple[int, int]

    def pixels(self) -> UInt8[np.ndarray, "size size 3"]:
        """As a camera and a file leave it: sRGB."""
        return with_faults(np.random.default_rng([*self.seed, 1]), self.linear)


def synthetic_photo(seed: int, index: int, size: int = 256) -> SyntheticPhoto:
    """The same photo whenever seed and index are the same; others are independent of it."""
    random = np.random.default_rng([seed, index])
    who = person(seed, index)
    points = anatomy().landmarks(who.vertices)
    seen = view(random, who, points, size)
    light = lighting(random, (seen.eye - points.mean(0)) / np.linalg.norm(seen.eye - points.mean(0)))
    cut = haircut(random)
    colours = complexion(random, cut.edge)
    pieces, lens = _worn(random, who, points, seen, cut, colours)
    grain = int(random.integers(2**31))
    samples = drawn(who.vertices, colours, pieces, lens, light, seen.camera.scaled(SUPERSAMPLE), grain)
    rows = ((np.arange(size) + 0.5) * SUPERSAMPLE).astype(int)
    at = np.ix_(rows, rows)
    behind = background(random, size) * (light.exposure / 0.25)
    picture = _averaged(samples, behind, np.isin(samples.classes[at], FACE), light.exposure)
    landmarks = seen.camera.project(torch.from_numpy(points)).numpy()
    return SyntheticPhoto(
        linear=picture,
        landmarks=landmarks,
        points=points,
        visible=_visible(seen.camera, points, landmarks, samples),
        depth=samples.depth[at],
        normals=samples.normals[at],
        classes=samples.classes[at],
        view=seen,
        person=who,
        light=light,
        seed=(seed, index),
    )


def _worn(
    random: np.random.Generator, who: Person, points: np.ndarray, seen: View, cut: Haircut, colours: Complexion
) -> tuple[list[Piece], Piece | None]:
    """Everything but the head itself, and the lenses of glasses."""
    known = anatomy()
    neck = known.model.regions["neck"].numpy()
    base = who.vertices[neck & (known.model.mean[:, 1].numpy() < NECK_BASE + 0.02)]
    pieces = clothing(random, colours.skin, float(np.abs(base[:, 0]).max()))
    below, lens = np.inf, None
    if random.uniform() < HATS:
        covering, below = hat(random, who.at_rest(who.vertices))
        turned = who.posed(covering.vertices).astype(np.float32), (covering.normals @ who.rotation.T).astype(np.float32)
        pieces.append(replace(covering, vertices=turned[0], normals=turned[1]))
    locks = hair(random, cut, colours.hair, who, seen.eye, below)
    pieces += [each for each in (locks, beard(random, colours.bearded, colours.hair, who.vertices, seen.eye)) if each]
    if random.uniform() < GLASSES:
        frame, lens = glasses(random, points, who.rotation.T)
        pieces.append(frame)
    if random.uniform() < EARRINGS:
        pieces.append(earrings(random, who.vertices))
    if random.uniform() < OCCLUDERS:
        pieces.append(occluder(random, points, seen.eye, colours.skin))
    return pieces, lens


def _averaged(
    samples: Samples, behind: Float[np.ndarray, "size size 3"], face: Bool[np.ndarray, "size size"], exposure: float
) -> Float[np.ndarray, "size size 3"]:
    """Samples over each pixel as one, exposed for the face, before the background."""
    size = behind.shape[:2]
    pixels = cv2.resize(samples.radiance, size, interpolation=cv2.INTER_AREA)
    open_ = 1 - cv2.resize(samples.covered.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return exposed(pixels, open_[..., None] * behind, face, exposure)


def _visible(
    camera: Camera, points: np.ndarray, landmarks: np.ndarray, samples: Samples
) -> Bool[np.ndarray, " landmark"]:
    depth, classes = samples.depth, samples.classes
    size = camera.resolution[0]
    inside = ((landmarks >= 0) & (landmarks < size)).all(1)
    x, y = np.clip(landmarks * SUPERSAMPLE, 0, len(depth) - 1).astype(int).T
    own = camera.view(torch.from_numpy(points)).numpy()[:, 2]
    hidden = (depth[y, x] > 0) & (own > depth[y, x] + HIDDEN)
    hidden |= np.isin(classes[y, x], COVERING)
    hidden[478:] |= classes[y, x][478:] != INDEX["mouth"]
    return inside & ~hidden
