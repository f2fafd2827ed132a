"""One motion plays the photo itself, an avatar lifted from it, and the head, from top to bottom:
`python examples/03_one_motion_three_ways.py [photo] [folder]`."""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

from avatars.gaussian import lifted
from avatars.mesh_performer import MeshPerformer
from avatars.painting import studio_lights
from avatars.portrait import PortraitPerformer, relative
from face3d.avatar import photographed
from face3d.photo import Photo, load_photo
from face3d.portrait import posed_photo
from morphable import ARKIT_NAMES, Performance
from morphable.editing import sampled

SIZE = 512
"""Pixels of a picture's longer side, at most."""
MOMENTS: tuple[tuple[dict[str, float], float], ...] = (
    ({}, 0.0),
    ({"jawOpen": 0.35, "mouthFunnel": 0.3, "browInnerUp": 0.6, "browOuterUpLeft": 0.5, "browOuterUpRight": 0.5}, 0.25),
    ({"mouthPucker": 0.8, "browDownLeft": 0.7, "browDownRight": 0.7}, -0.2),
    ({"eyeBlinkLeft": 0.9, "mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}, 0.1),
)
"""Expressions beside the photo's, and how far the head turns to its left from there, radians."""


def main() -> None:
    photo = load_photo(sys.argv[1]) if len(sys.argv) > 1 else Photo(astronaut()[:320, 80:400])
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "out/ways")
    folder.mkdir(parents=True, exist_ok=True)
    posed = posed_photo(photo)
    capture = photographed(posed, SIZE)
    camera, avatar = capture.camera, lifted(capture)
    portrait, head = PortraitPerformer(posed), MeshPerformer(posed.head)
    behind = torch.as_tensor(avatar.background).float() / 255
    motion = relative(posed, performance())
    columns = []
    for time in motion.times:
        moment = sampled(motion, np.array([time]))
        splats = avatar.picture(avatar.moment(moment), camera, behind).clamp(0, 1).detach().numpy()
        drawn = head.draw(moment, camera, studio_lights(), np.full(3, 0.05))
        columns.append([portrait.draw(moment), (255 * splats + 0.5).astype(np.uint8), drawn])
    size = camera.resolution[::-1]
    rows = [np.concatenate([cv2.resize(each, size) for each in row], 1) for row in zip(*columns, strict=True)]
    Image.fromarray(np.concatenate(rows)).save(folder / "ways.png")
    print(f"The photo itself, the avatar, the head: {folder / 'ways.png'}")


def performance() -> Performance:
    """A moment a second."""
    weights = np.zeros((len(MOMENTS), len(ARKIT_NAMES)))
    for index, (expression, _) in enumerate(MOMENTS):
        for name, value in expression.items():
            weights[index, ARKIT_NAMES.index(name)] = value
    turns = np.array([turn for _, turn in MOMENTS])
    return Performance.of(np.arange(len(turns)), weights, head=np.stack([0 * turns, turns, 0 * turns], 1))


if __name__ == "__main__":
    main()
