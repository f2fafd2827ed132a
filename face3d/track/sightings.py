"""What was seen in every frame of a clip, kept on disk in pieces, so that killed work goes on where it was."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from avatars.export.staging import staging
from face3d.errors import Face3DError
from face3d.perception import MediaPipeDetector
from face3d.track.following import Follower, Memory, Sighting
from face3d.track.video import Video
from morphable import ARKIT_NAMES

PIECE = 200
"""Frames in a piece."""
KEPT = "memory_"
"""How the names of what a follower remembers begin."""
TASK = "task"
"""The file that says which clip's pieces they are."""
WHOLE = "whole.json"
"""The file beside the pieces that says that there are no more, and what was wrong with the video."""


@dataclass(frozen=True, eq=False)
class Sightings:
    """Frames in order; where a face was not seen its numbers are zero."""

    times: Float[np.ndarray, " frame"]
    seen: Bool[np.ndarray, " frame"]
    cuts: Bool[np.ndarray, " frame"]
    """Where a new scene begins."""
    sharpness: Float[np.ndarray, " frame"]
    landmarks: Float[np.ndarray, "frame 478 3"]
    scores: Float[np.ndarray, "frame 52"]
    """Of ARKIT_NAMES."""

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def of(cls, times: list[float], frames: list[Sighting]) -> "Sightings":
        landmarks = np.zeros((len(frames), 478, 3), np.float32)
        scores = np.zeros((len(frames), len(ARKIT_NAMES)), np.float32)
        for index, frame in enumerate(frames):
            if frame.observation is not None:
                landmarks[index] = frame.observation.landmarks
                scores[index] = [frame.observation.expression_scores[name] for name in ARKIT_NAMES]
        return cls(
            np.array(times, dtype=np.float64),
            np.array([frame.observation is not None for frame in frames], dtype=bool),
            np.array([frame.cut for frame in frames], dtype=bool),
            np.array([frame.sharpness for frame in frames], dtype=np.float32),
            landmarks,
            scores,
        )

    def __getitem__(self, frames: slice | np.ndarray) -> "Sightings":
        return Sightings(*(values[frames] for values in vars(self).values()))

    @classmethod
    def joined(cls, pieces: list["Sightings"]) -> "Sightings":
        return cls(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Notebook:
    """The folder in which a clip's sightings are kept, a file a piece.

    `task` is all that they depend on: a folder that was kept for another one is emptied.
    """

    folder: Path
    task: str

    def open(self) -> None:
        """Make the folder, or empty it of another task's pieces.

        Raises:
            Face3DError: there is a folder of that name that was not made here.
            OSError: it cannot be written.
        """
        label = self.folder / TASK
        if self.folder.exists() and not label.is_file() and any(self.folder.iterdir()):
            raise Face3DError(f"{self.folder} is in the way; move it, or choose another output.")
        if label.is_file() and label.read_text() != self.task:
            forget(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        label.write_text(self.task)

    @property
    def whole(self) -> bool:
        return (self.folder / WHOLE).is_file()

    @property
    def warnings(self) -> list[str]:
        found: list[str] = json.loads((self.folder / WHOLE).read_text())
        return found

    def pieces(self) -> Iterator[Sightings]:
        """One at a time, in order."""
        for path in self._paths():
            with np.load(path) as stored:
                yield Sightings(*(stored[name] for name in Sightings.__dataclass_fields__))

    def fill(self, video: Video, detector: MediaPipeDetector, face: int, progress: Callable[[int], None]) -> None:
        """Follow the person through the rest of the video; told of how many frames have been seen."""
        if self.whole:
            return
        paths = self._paths()
        follower = Follower(detector, face, _memory(paths[-1]) if paths else None)
        times: list[float] = []
        frames: list[Sighting] = []
        start = count = PIECE * len(paths)
        for frame in video.read(start):
            times.append(frame.time)
            frames.append(follower(frame.pixels))
            count += 1
            progress(count)
            if len(frames) == PIECE:
                self._keep(Sightings.of(times, frames), follower.memory)
                times, frames = [], []
        if frames:
            self._keep(Sightings.of(times, frames), follower.memory)
        with staging(self.folder / WHOLE) as folder:
            (folder / WHOLE).write_text(json.dumps(video.warnings))

    def _keep(self, piece: Sightings, memory: Memory) -> None:
        name = f"{len(self._paths()):06d}.npz"
        remembered = {KEPT + key: value for key, value in vars(memory).items() if value is not None}
        with staging(self.folder / name) as folder:
            np.savez(folder / name, **vars(piece), **remembered)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.npz"))


def forget(folder: Path) -> None:
    """Remove the folder of a notebook, if it is one; what names it as one goes last, so that it can be killed here."""
    label = folder / TASK
    if not label.is_file():
        return
    for path in set(folder.iterdir()) - {label}:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    label.unlink()
    folder.rmdir()


def fingerprint(*parts: bytes | str | int | Path | None) -> str:
    """A name for a task: of its files, their size and time of change count."""
    described = [
        f"{part.resolve()} {part.stat().st_size} {part.stat().st_mtime_ns}" if isinstance(part, Path) else repr(part)
        for part in parts
    ]
    return hashlib.sha256("\n".join(described).encode()).hexdigest()


def _memory(path: Path) -> Memory:
    with np.load(path) as stored:
        known: dict[str, Any] = {name.removeprefix(KEPT): stored[name] for name in stored.files if KEPT in name}
    counts = {key: int(known[key]) for key in ("waited", "missing")}
    return Memory(**known | counts)
