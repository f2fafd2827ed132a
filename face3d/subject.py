"""A face in a photo, with what every stage of its reconstruction needs."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from face3d.fitting.gauss_newton import State
from face3d.perception import FaceDetector, FaceObservation
from face3d.perception.network import FaceReading
from face3d.photo import Photo
from morphable import JOINT_NAMES, MorphableModel
from renderers import Camera

GREYSCALE = 3.0
"""Mean difference of a photo's channels, of 255, below which it has no colour."""


@dataclass
class Subject:
    """A face in a photo, with what every stage needs.

    Attributes:
        observation: of the detector, which the fit believes.
        reading: of the project's network, which says what each pixel shows.
    """

    photo: Photo
    observation: FaceObservation
    reading: FaceReading
    model: MorphableModel
    detector: FaceDetector

    def __post_init__(self) -> None:
        pixels = self.photo.pixels
        self.height, self.width = pixels.shape[:2]
        self.principal = torch.tensor([self.width / 2, self.height / 2], dtype=torch.float64)
        spread = np.ptp(pixels[::4, ::4].astype(np.int16), axis=2).mean()
        self.greyscale = bool(spread < GREYSCALE)

    def camera(self, state: State) -> Camera:
        camera = state.camera(self.principal, (self.height, self.width))
        return Camera(
            camera.focal.float(),
            camera.principal.float(),
            camera.rotation.float(),
            camera.translation.float(),
            camera.resolution,
        )

    def vertices(self, state: State) -> Float[Tensor, "vertex 3"]:
        with torch.no_grad():
            identity, expression = state.identity.float()[None], state.expression.float()[None]
            return self.model(identity, expression, torch.zeros(1, len(JOINT_NAMES), 3))[0][0]

    def window(self, size: int, margin: float) -> "Window":
        """A square around the face, at most `size` pixels a side."""
        x0, y0, x1, y1 = self.observation.box
        side = margin * max(x1 - x0, y1 - y0)
        return Window((x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, min(size, round(side)))


@dataclass(frozen=True)
class Window:
    """A square of the photo, resampled: its top-left corner and side in the photo's pixels, and its own size."""

    x: float
    y: float
    side: float
    size: int

    def camera(self, camera: Camera) -> Camera:
        side = round(self.side)
        return camera.cropped(self.x, self.y, side, side).scaled(self.size / side)

    def inside(self, photo: UInt8[np.ndarray, "height width 3"]) -> Bool[Tensor, "size size"]:
        """Which of its pixels lie in the photo."""
        height, width = photo.shape[:2]
        steps = (torch.arange(self.size) + 0.5) * self.side / self.size
        x, y = self.x + steps, self.y + steps
        return ((y > 0) & (y < height))[:, None] & ((x > 0) & (x < width))

    def centres(self) -> Float[np.ndarray, "size size 2"]:
        """Of its pixels, in the photo's."""
        steps = (np.arange(self.size) + 0.5) * self.side / self.size
        return np.stack(np.meshgrid(self.x + steps, self.y + steps), -1)

    def of(self, other: "Window", image: Float[Tensor, "other_size other_size"]) -> Float[Tensor, "size size"]:
        """An image over another square of the photo, resampled for this one; 0 beyond it."""
        steps = (torch.arange(self.size) + 0.5) * self.side / self.size
        x, y = (2 * (start + steps - first) / other.side - 1 for start, first in ((self.x, other.x), (self.y, other.y)))
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).float()
        return torch.nn.functional.grid_sample(image[None, None], places[None], align_corners=False)[0, 0]

    def pixels(self, photo: UInt8[np.ndarray, "height width 3"]) -> Float[Tensor, "size size 3"]:
        """sRGB in [0, 1]; black beyond the photo."""
        source, shrink = Image.fromarray(photo), 1
        if self.side > 1.5 * self.size:
            shrink = round(self.side / self.size)
            source = source.reduce(shrink)
        scale = self.side / self.size / shrink
        affine = (scale, 0.0, self.x / shrink, 0.0, scale, self.y / shrink)
        size = (self.size, self.size)
        cut = source.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
        return torch.tensor(np.asarray(cut)).float() / 255
