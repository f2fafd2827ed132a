"""What is known of a person in a video: pictures, the person's opacity in each, a camera, the head and how it moves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from morphable import JOINT_NAMES, Head, Performance
from renderers import Camera, rasterize

VERSION = 1
LAYOUT = "capture.json"
NECK = JOINT_NAMES.index("neck")
FOLLOWING = 0.5
"""Share that the neck's joint has of skin that no longer counts as the head's."""
VECTORS = ("focal", "principal", "rotation", "translation")


@dataclass(frozen=True, eq=False)
class Capture:
    """Plain data: what an avatar is trained on.

    Attributes:
        frames: sRGB.
        masks: opacity of the person, 255 where nothing else is seen.
        background: sRGB, what stands behind the person in all frames.
        camera: of all frames, in the performance's world.
        head: the person's.
        performance: a frame of it for each picture.
    """

    frames: UInt8[np.ndarray, "frame height width 3"]
    masks: UInt8[np.ndarray, "frame height width"]
    background: UInt8[np.ndarray, "height width 3"]
    camera: Camera
    head: Head
    performance: Performance

    def __post_init__(self) -> None:
        size = self.camera.resolution
        if not len(self.frames):
            raise ValueError("a capture needs at least one frame")
        if self.frames.shape[1:] != (*size, 3) or self.background.shape != (*size, 3):
            raise ValueError(f"the camera sees {size[1]} x {size[0]} pixels, the frames have {self.frames.shape[1:]}")
        if self.masks.shape != self.frames.shape[:3] or len(self.performance) != len(self.frames):
            raise ValueError("a capture needs a mask and a moment of the performance for each frame")

    def __len__(self) -> int:
        return len(self.frames)

    def save(self, folder: str | Path) -> None:
        """Write the folder's files, `capture.json` last; the layout is described in docs/avatars.md.

        Raises:
            OSError: it cannot be written.
        """
        folder = Path(folder)
        for name in ("frames", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for index, picture in enumerate(getattr(self, name)):
                Image.fromarray(picture).save(folder / name / f"{index:06d}.png", compress_level=1)
        Image.fromarray(self.background).save(folder / "background.png")
        self.head.save(folder / "head.glb")
        self.performance.save(folder / "performance.npz")
        described = {"version": VERSION, "frames": len(self), "camera": described_camera(self.camera)}
        (folder / LAYOUT).write_text(json.dumps(described, indent=2))

    @classmethod
    def load(cls, folder: str | Path) -> Capture:
        """Read a folder that `save` wrote, or that another program wrote in the same layout.

        Raises:
            ValueError: it is no capture, a damaged one, or of another version.
            OSError: a file is missing.
        """
        folder = Path(folder)
        try:
            described = json.loads((folder / LAYOUT).read_text())
            version = described["version"]
            camera = read_camera(described["camera"])
            count = int(described["frames"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder / LAYOUT} does not describe a capture ({error})") from error
        require_version(folder / LAYOUT, version, VERSION)
        height, width = camera.resolution
        frames = np.empty((count, height, width, 3), np.uint8)
        masks = np.empty((count, height, width), np.uint8)
        for index in range(count):
            frames[index] = _picture(folder / "frames" / f"{index:06d}.png", "RGB", camera.resolution)
            masks[index] = _picture(folder / "masks" / f"{index:06d}.png", "L", camera.resolution)
        background = _picture(folder / "background.png", "RGB", camera.resolution)
        head, performance = Head.load(folder / "head.glb"), Performance.load(folder / "performance.npz")
        return cls(frames, masks, background, camera, head, performance)


@dataclass(frozen=True)
class Silhouette:
    """Where a head is in a picture.

    Attributes:
        head: the skull's surface, face and ears, with what of the neck turns with them.
        chin: row of its lower end, pixels.
        breadth: pixels.
    """

    head: Bool[np.ndarray, "height width"]
    chin: float
    breadth: float


def silhouette(head: Head, vertices: Float[torch.Tensor, "vertex 3"], camera: Camera) -> Silhouette:
    """Of a posed head, its vertices in metres."""
    skull = torch.as_tensor(head.layout.skinning_weights[:, NECK] < FOLLOWING)
    triangles = torch.as_tensor(head.layout.triangles)
    turning = triangles[skull[triangles.long()].all(1)].contiguous()
    covered = rasterize(camera.clip(vertices[None]), turning, camera.resolution).triangle[0] >= 0
    low, high = camera.project(vertices[skull]).aminmax(dim=0)
    return Silhouette(covered.numpy(), float(high[1]), float(high[0] - low[0]))


def require_version(path: Path, found: object, known: int) -> None:
    """Of a file's layout.

    Raises:
        ValueError: it is not the known one.
    """
    if found != known:
        raise ValueError(
            f"{path} is of version {found!r} and this face3d reads version {known}: "
            "make it again, or open it with the face3d that made it"
        )


def described_camera(camera: Camera) -> dict:
    """As JSON holds it."""
    return {name: getattr(camera, name).tolist() for name in VECTORS} | {"resolution": list(camera.resolution)}


def read_camera(described: dict) -> Camera:
    """From JSON.

    Raises:
        KeyError, TypeError, ValueError: it describes none.
    """
    values = {name: torch.tensor(described[name], dtype=torch.float32) for name in VECTORS}
    shapes = [tuple(values[name].shape) for name in VECTORS]
    if shapes != [(2,), (2,), (3, 3), (3,)] or not all(bool(value.isfinite().all()) for value in values.values()):
        raise ValueError("a camera's numbers are not as they should be")
    height, width = (int(side) for side in described["resolution"])
    if not 0 < height <= 8192 or not 0 < width <= 8192:
        raise ValueError("a camera sees from 1 to 8192 pixels a side")
    focal, principal, rotation, translation = (values[name] for name in VECTORS)
    return Camera(focal, principal, rotation, translation, (height, width))


def still_background(
    frames: UInt8[np.ndarray, "frame height width 3"], masks: UInt8[np.ndarray, "frame height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The median of what pixels show while the person is elsewhere; filled in smoothly where the person always is."""
    height, width = masks.shape[1:]
    background = np.zeros((height, width, 3), np.uint8)
    known = np.zeros((height, width), np.uint8)
    for row in range(height):
        free = masks[:, row] < 3
        seen = free.any(axis=0)
        colours = np.ma.masked_array(frames[:, row], np.repeat(~free[..., None], 3, axis=2))
        background[row][seen] = np.ma.median(colours, axis=0).filled(0)[seen].astype(np.uint8)
        known[row] = seen
    if not known.any():
        return np.full_like(background, 255)
    filled: np.ndarray = cv2.inpaint(background, 1 - known, 3, cv2.INPAINT_TELEA)
    return filled


def _picture(path: Path, mode: str, size: tuple[int, int]) -> np.ndarray:
    with Image.open(path) as image:
        if (image.height, image.width) != size:
            raise ValueError(f"{path} has {image.width} x {image.height} pixels, the camera {size[1]} x {size[0]}")
        return np.array(image.convert(mode))
