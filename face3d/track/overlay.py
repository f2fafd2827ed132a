"""The tracked head over the video: whether a track is locked on, at a glance."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from avatars.media import write_video
from avatars.mesh_performer import MeshPerformer
from face3d.heads import model_of
from face3d.track.tracking import Tracked
from face3d.track.video import Video
from morphable import Texture
from morphable.appearance import plain_textures
from morphable.editing import sampled, usual_rate
from renderers import DirectionalLight, EnvironmentLight, Light

AMBIENT, HEADLIGHT = 2.2, 0.5
"""Radiance from everywhere, as the first spherical harmonic's coefficient, and irradiance from beside the camera."""
TEXTURE_SIZE = 1024


def write_overlay(path: str | Path, clip: str | Path, tracked: Tracked, progress: Callable[[int], None]) -> None:
    """Write the video with the posed head in the model's plain colours over each frame in which the face was seen.

    The video written has the clip's frames, all of them, at its size (a side that is odd grows by a pixel).

    Raises:
        ValueError: the suffix is of no format that can be written.
        OSError: the file cannot be written.
    """
    write_video(path, _overlaid(Path(clip), tracked, progress), usual_rate(tracked.performance))


def _overlaid(
    clip: Path, tracked: Tracked, progress: Callable[[int], None]
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    plain = plain_textures(model_of(tracked.head), resolution=TEXTURE_SIZE)
    head = replace(tracked.head, textures={part: Texture.encode(image) for part, image in plain.items()})
    performer = MeshPerformer(head, TEXTURE_SIZE)
    lights = _headlight()
    performance = tracked.performance
    for index, frame in zip(range(len(performance)), Video(clip).read(), strict=False):
        picture = frame.pixels
        if performance.confidence[index] > 0:
            drawn = performer.draw(sampled(performance, performance.times[index : index + 1]), tracked.camera, lights)
            picture = _over(drawn, picture)
        height, width = picture.shape[:2]
        yield np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        progress(index + 1)


def _headlight() -> list[Light]:
    ambient = torch.zeros(9, 3)
    ambient[0] = AMBIENT
    return [EnvironmentLight(ambient), DirectionalLight(torch.tensor([0.3, -0.4, -1.0]), torch.full((3,), HEADLIGHT))]


def _over(
    drawn: UInt8[np.ndarray, "height width 4"], picture: UInt8[np.ndarray, "height width 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """A drawing with opacity over a picture."""
    covered = drawn[..., 3] > 0
    if not covered.any():
        return picture
    box = slice(*_ends(covered, 1)), slice(*_ends(covered, 0))
    near = drawn[box].astype(np.uint16)
    opacity = near[..., 3:]
    mixed = picture.copy()
    mixed[box] = (near[..., :3] * opacity + picture[box] * (255 - opacity) + 127) // 255
    return mixed


def _ends(covered: Bool[np.ndarray, "height width"], axis: int) -> tuple[int, int]:
    """First and one past the last row or column that has something."""
    found = np.flatnonzero(covered.any(axis=axis))
    return int(found[0]), int(found[-1]) + 1
