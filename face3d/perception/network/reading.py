"""What the network sees of a face in a photo, in the photo's pixels."""

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch.nn import functional

from face3d.perception.network.architecture import FaceNetwork, Sight
from face3d.perception.network.crop import CROP_SCALE, Crop, about
from face3d.perception.network.examples import as_input, leading_directions
from face3d.perception.network.weights import load_network

NETWORK_VARIABLE = "FACE3D_NETWORK"
ON_FACE = 468
"""Landmarks before the irises'."""
CHIN, BROW = 152, 10
"""MediaPipe's points on the middle of the face's outline, whose line says how far a face is turned in the picture."""


@dataclass(frozen=True, eq=False)
class FaceReading:
    """One face.

    Attributes:
        landmarks: MediaPipe's 478 points and the edges of the rows of teeth: x and y in the image's pixels.
        deviation: how far off each may be along either axis, pixels (one standard deviation).
        visible: how likely each is seen.
        classes: face3d.synth.CLASSES over the crop, side by side.
        crop: where in the image these classes lie.
        rotation: of the skull, to the camera's axes with y up and z towards it.
        identity, identity_deviation: coefficients of the default head, and their deviations along the population's
            leading directions; along the others they are the average.
        expression, expression_deviation: weights of ARKIT_NAMES.
    """

    landmarks: Float[np.ndarray, "landmark 2"]
    deviation: Float[np.ndarray, " landmark"]
    visible: Float[np.ndarray, " landmark"]
    classes: UInt8[np.ndarray, "side side"]
    crop: Crop
    rotation: Float[np.ndarray, "3 3"]
    identity: Float[np.ndarray, " identity"]
    identity_deviation: Float[np.ndarray, " leading"]
    expression: Float[np.ndarray, "52"]
    expression_deviation: Float[np.ndarray, "52"]

    def classes_in(
        self, height: int, width: int
    ) -> tuple[UInt8[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
        """The classes over an image of that size, and where in it the crop lies; background elsewhere."""
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        classes, inside = self.classes_at(np.stack([x, y], -1).reshape(-1, 2))
        return classes.reshape(height, width), inside.reshape(height, width)

    def classes_at(
        self, points: Float[np.ndarray, "point 2"]
    ) -> tuple[UInt8[np.ndarray, " point"], Bool[np.ndarray, " point"]]:
        """The classes at places in the image, pixels, and whether the crop holds them; background elsewhere."""
        side = len(self.classes)
        column, row = np.floor(self.crop.into(points) * side).astype(int).T
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        classes = np.zeros(len(points), np.uint8)
        classes[inside] = self.classes[row[inside], column[inside]]
        return classes, inside


class FaceReader:
    """Reads faces whose place is known.

    Args:
        network: as `load_network` returns it.
    """

    def __init__(self, network: FaceNetwork) -> None:
        self.network = network

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """With the network of a file, or of the environment variable FACE3D_NETWORK, or the one that is shipped.

        Raises:
            Face3DError: the file is no network, or damaged.
        """
        return cls(load_network(network_file(path)))

    def read(
        self, image: UInt8[np.ndarray, "height width 3"], box: tuple[float, float, float, float], looks: int = 2
    ) -> FaceReading:
        """The face in the box of its landmarks (x0, y0, x1, y1) in an sRGB image; after the first look, each is at an
        upright crop about the landmarks seen before."""
        crop = about(box)
        reading = self._look(image, crop)
        for _ in range(looks - 1):
            reading = self._look(image, upright(reading.landmarks))
        return reading

    def _look(self, image: UInt8[np.ndarray, "height width 3"], crop: Crop) -> FaceReading:
        pixels = torch.from_numpy(crop.cut(image, self.network.size.side))[None]
        with torch.inference_mode():
            return _in_image(self.network(as_input(pixels)), crop)


def network_file(path: Path | None = None) -> Path:
    """That file, or the one that the environment variable FACE3D_NETWORK names, or the one that is shipped."""
    shipped = Path(str(files("assets.perception") / "perception.safetensors"))
    return path or Path(os.environ.get(NETWORK_VARIABLE, shipped))


def upright(landmarks: Float[np.ndarray, "landmark 2"]) -> Crop:
    """The crop about a face's landmarks in which its chin is below its brow."""
    down = landmarks[CHIN] - landmarks[BROW]
    turn = float(np.arctan2(-down[0], down[1]))
    level = Crop(0.0, 0.0, 1.0, turn)
    low, high = (edge(level.into(landmarks[:ON_FACE]), axis=0) for edge in (np.min, np.max))
    x, y = level.out_of((low + high)[None] / 2)[0]
    return Crop(float(x), float(y), CROP_SCALE * float((high - low).max()), turn)


def _in_image(sight: Sight, crop: Crop) -> FaceReading:
    mean, directions, deviations = leading_directions()
    logits = functional.interpolate(sight.classes, scale_factor=2.0, mode="bilinear")
    return FaceReading(
        landmarks=crop.out_of(sight.landmarks[0].double().numpy()),
        deviation=crop.extent * sight.log_deviation[0].exp().numpy(),
        visible=sight.visible[0].sigmoid().numpy(),
        classes=logits[0].argmax(0).to(torch.uint8).numpy(),
        crop=crop,
        rotation=crop.rotation().T @ sight.rotation[0].numpy(),
        identity=mean + directions @ (deviations * sight.identity[0].numpy()),
        identity_deviation=sight.identity_log_deviation[0].exp().numpy(),
        expression=sight.expression[0].clamp(0, 1).numpy(),
        expression_deviation=sight.expression_log_deviation[0].exp().numpy(),
    )
