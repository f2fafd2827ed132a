"""Following one person through a video: where the face is in each frame, over cuts, absences and among others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from face3d.perception import FaceObservation, MediaPipeDetector

CUT = 30.0
"""Mean difference of two frames' thumbnails, of 255, from which on they show different scenes."""
THUMBNAIL = (32, 24)
PATIENCE = 15
"""Frames between thorough searches while nobody has been found, and for which a place is remembered."""
SAME_SIZE = 1.7
"""From frame to frame a face's box grows or shrinks by less than this factor."""
SAME_PERSON = 0.5
"""Least correlation of two aligned pictures of one person; of two people it is mostly lower."""
CHIP = 64
"""Pixels a side of the aligned picture of a face, whose eye corners lie at EYES on it."""
EYES = ((16.0, 24.0), (48.0, 24.0))
CORNERS = (33, 263)
"""Landmarks of the outer eye corners: the person's right, left."""
LEARNING = 0.02
"""How much of each new picture goes into the memory of what a person looks like."""


@dataclass(frozen=True)
class Sighting:
    """One frame: the face if it was seen, whether a new scene begins, and how sharp the face is."""

    observation: FaceObservation | None
    cut: bool = False
    sharpness: float = 0.0


@dataclass
class Memory:
    """What is remembered from frame to frame; all of it, so that following can go on from a saved one."""

    box: Float[np.ndarray, "4"] | None = None
    looks: Float[np.ndarray, " value"] | None = None
    thumbnail: Float[np.ndarray, "24 32"] | None = None
    waited: int = 0
    missing: int = 0


class Follower:
    """Finds one person's face in frames that come in order.

    Args:
        face: which one of the first frame with so many faces, most prominent first.
    """

    def __init__(self, detector: MediaPipeDetector, face: int = 0, memory: Memory | None = None) -> None:
        self.detector = detector
        self.face = face
        self.memory = memory or Memory()

    def __call__(self, pixels: UInt8[np.ndarray, "height width 3"]) -> Sighting:
        """The face in the next frame. Its landmarks are in pixels of that frame."""
        cut = self._scene_changed(pixels)
        found = None if cut else self._where_it_was(pixels)
        if found is None:
            found = self._first(pixels) if self.memory.looks is None else self._again(pixels)
        if found is None:
            self.memory.missing += 1
            if cut or self.memory.missing > PATIENCE:
                self.memory.box = None
            return Sighting(None, cut)
        self.memory.box, self.memory.missing = np.array(found.box), 0
        chip = _chip(pixels, found)
        looks = _looks(chip)
        known = self.memory.looks
        self.memory.looks = looks if known is None else (1 - LEARNING) * known + LEARNING * looks
        return Sighting(found, cut, _sharpness(chip))

    def _scene_changed(self, pixels: UInt8[np.ndarray, "height width 3"]) -> bool:
        small = Image.fromarray(pixels[:: max(1, len(pixels) // 96), :: max(1, pixels.shape[1] // 128)])
        thumbnail = np.asarray(small.convert("L").resize(THUMBNAIL, Image.Resampling.BOX), dtype=np.float32)
        before, self.memory.thumbnail = self.memory.thumbnail, thumbnail
        return before is not None and bool(np.abs(thumbnail - before).mean() > CUT)

    def _where_it_was(self, pixels: UInt8[np.ndarray, "height width 3"]) -> FaceObservation | None:
        if self.memory.box is None:
            return None
        x0, y0, x1, y1 = self.memory.box.tolist()
        found = self.detector.follow(pixels, (x0, y0, x1, y1))
        if found is None:
            return None
        growth = max(found.width, found.height) / max(x1 - x0, y1 - y0)
        return found if 1 / SAME_SIZE < growth < SAME_SIZE else None

    def _first(self, pixels: UInt8[np.ndarray, "height width 3"]) -> FaceObservation | None:
        """The person to follow, if so many faces are there. Thorough searches are slow and wait for a reason."""
        due = self.memory.waited % PATIENCE == 0
        self.memory.waited += 1
        if not due and len(self.detector.glance(pixels)) <= self.face:
            return None
        faces = self.detector.detect(pixels)
        return faces[self.face] if len(faces) > self.face else None

    def _again(self, pixels: UInt8[np.ndarray, "height width 3"]) -> FaceObservation | None:
        """The face that looks most like the person, if it does."""
        seen = [self.detector.follow(pixels, box) for box in self.detector.glance(pixels)]
        faces = [face for face in seen if face is not None]
        likeness = [float(self.memory.looks @ _looks(_chip(pixels, face))) for face in faces]
        best = int(np.argmax(likeness)) if likeness else -1
        return faces[best] if likeness and likeness[best] > SAME_PERSON else None


def _chip(pixels: UInt8[np.ndarray, "height width 3"], face: FaceObservation) -> UInt8[np.ndarray, "64 64 3"]:
    """The face, upright and at one size."""
    right, left = (complex(*face.landmarks[corner, :2]) for corner in CORNERS)
    start, stop = (complex(*corner) for corner in EYES)
    turn = (left - right) / (stop - start)
    shift = right - turn * start
    x0, y0, x1, y1 = (round(edge) for edge in face.box)
    shrink = max(1, int(abs(turn)))
    source = Image.fromarray(pixels).crop((x0, y0, x1, y1)).reduce(shrink)
    turn, shift = turn / shrink, (shift - complex(x0, y0)) / shrink
    affine = (turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag)
    return np.asarray(source.transform((CHIP, CHIP), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR))


def _looks(chip: UInt8[np.ndarray, "64 64 3"]) -> Float[np.ndarray, " value"]:
    """A unit vector of what the face looks like, coarse, whatever the exposure."""
    coarse = chip.reshape(16, 4, 16, 4, 3).mean((1, 3)).ravel()
    centred = coarse - coarse.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-6)


def _sharpness(chip: UInt8[np.ndarray, "64 64 3"]) -> float:
    """Mean absolute Laplacian over contrast."""
    grey = chip.mean(2)
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(np.abs(laplacian).mean() / max(float(grey.std()), 1.0))
