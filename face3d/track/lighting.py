"""The light on a tracked face, frame by frame: from where skin is seen and how it faces."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from avatars.export.staging import staging
from avatars.mesh_performer import MeshPerformer
from face3d.appearance.light import separate_skin_and_light
from face3d.errors import Face3DError
from face3d.fitting.shading import bare_skin
from face3d.heads import model_of
from face3d.track.tracking import Tracked
from face3d.track.video import Video
from morphable.editing import sampled
from renderers import srgb_to_linear, vertex_normals

FACING = 0.3
"""Least cosine between a surface and the line of sight at which it tells of light."""
BLUR = 0.006
"""Deviation of the Gaussian that takes off noise and pores, over the face's height in the picture."""


@dataclass(frozen=True, eq=False)
class Lighting:
    """Light over a performance's frames.

    Attributes:
        times: seconds.
        light: spherical harmonics of the distant radiance in the performance's world, linear, as
            `renderers.EnvironmentLight` takes them. How bright it is against the skin is a guess, the same for all
            frames.
        skin: linear albedo.
    """

    times: Float[np.ndarray, " frame"]
    light: Float[np.ndarray, "frame 9 3"]
    skin: Float[np.ndarray, "3"]

    def save(self, path: str | Path) -> None:
        """Write as .npz, with these names.

        Raises:
            ValueError: the suffix is another.
            OSError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise ValueError(f"{path}: light is written as .npz, not as {path.suffix or 'a file without a suffix'}")
        with staging(path) as folder:
            np.savez(folder / path.name, **vars(self))


def lighting(clip: str | Path, tracked: Tracked, progress: Callable[[int], None] = lambda done: None) -> Lighting:
    """The light in each frame of the clip; between frames that show the face it goes evenly from one to the next.

    Skin is one colour, the same in all frames: that of the first that shows the face.

    Raises:
        Face3DError: no frame shows skin.
    """
    performance, model = tracked.performance, model_of(tracked.head)
    performer, bare = MeshPerformer(tracked.head, 64), bare_skin(model)
    known: list[int] = []
    lights: list[Float[Tensor, "9 3"]] = []
    skin: Tensor | None = None
    for index, frame in zip(range(len(performance)), Video(Path(clip)).read(), strict=False):
        progress(index + 1)
        if performance.confidence[index] == 0:
            continue
        vertices = performer.posed(sampled(performance, performance.times[index : index + 1]))[0]
        normals = vertex_normals(vertices, performer.every_triangle)
        towards = torch.nn.functional.normalize(tracked.camera.position - vertices, dim=-1)
        shown = bare & ((normals * towards).sum(1) > FACING)
        radiance, inside = _radiance(frame.pixels, tracked.camera.project(vertices[shown]))
        if not bool(inside.any()):
            continue
        own, light = separate_skin_and_light(radiance[inside], normals[shown][inside], greyscale=False)
        skin = own if skin is None else skin
        known.append(index)
        lights.append(light * own / skin)
    if skin is None:
        raise Face3DError("The face shows too little skin to tell the light; leave out --light.")
    values = torch.stack(lights).flatten(1).numpy()
    times = performance.times
    every = np.stack([np.interp(times, times[known], column) for column in values.T], 1)
    return Lighting(times, every.reshape(-1, 9, 3).astype(np.float32), skin.numpy())


def _radiance(
    pixels: UInt8[np.ndarray, "height width 3"], points: Float[Tensor, "point 2"]
) -> tuple[Float[Tensor, "point 3"], Bool[Tensor, " point"]]:
    """Linear colours at points of a picture, and which of them lie in it."""
    height, width = pixels.shape[:2]
    inside = ((points >= 0) & (points < torch.tensor([width, height]))).all(1)
    if not bool(inside.any()):
        return torch.zeros(len(points), 3), inside
    (x0, y0), (x1, y1) = (edge.long().tolist() for edge in points[inside].aminmax(dim=0))
    near = cv2.GaussianBlur(pixels[y0 : y1 + 1, x0 : x1 + 1], (0, 0), max(0.5, BLUR * (y1 - y0)))
    x, y = (points - torch.tensor([x0 + 0.5, y0 + 0.5])).numpy().astype(np.float32).T
    colours = cv2.remap(near, x[:, None], y[:, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
    return srgb_to_linear(torch.as_tensor(colours).float() / 255), inside
