"""Videos as frames with their true times: any container that FFmpeg reads, turned upright, damaged or not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8

from face3d.errors import Face3DError

USUAL_RATE = 30.0
"""Frames a second where a file does not say."""
SHORT = 0.98
"""A file whose frames end before this part of what its header promises was cut off."""


@dataclass(frozen=True)
class Frame:
    """A picture and its time in seconds, 0 at the first frame."""

    time: float
    pixels: UInt8[np.ndarray, "height width 3"]
    """sRGB, upright."""


@dataclass
class Video:
    """A video file. Reading it again gives the same frames.

    Attributes:
        seconds: how long it is by its header; 0 where that does not say.
        frames: about as many; 0 where nobody knows.
        rate: frames a second on average.
        warnings: what was wrong, after it has been read.

    Raises:
        Face3DError: it is not there, or no video.
    """

    path: Path
    seconds: float = field(init=False)
    frames: int = field(init=False)
    rate: float = field(init=False)
    warnings: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        with self._open() as container:
            stream = container.streams.video[0]
            self.rate = float(stream.average_rate or stream.guessed_rate or USUAL_RATE)
            promised = float((stream.duration or 0) * (stream.time_base or 0))
            if not promised and not container.streams.audio:
                promised = (container.duration or 0) / av.time_base
            self.seconds = promised
            self.frames = stream.frames or round(promised * self.rate)

    def read(self, start: int = 0) -> Iterator[Frame]:
        """Frames from the one of that index on, one at a time; what cannot be decoded is left out.

        Raises:
            Face3DError: nothing of it can be decoded.
        """
        count, time, first, damaged = 0, 0.0, 0.0, ""
        with self._open() as container:
            for frame in self._decoded(container):
                if isinstance(frame, str):
                    damaged = damaged or f"{self.path.name} is damaged at {time:.1f} s: {frame}"
                    continue
                shown = frame.time if frame.time is not None else first + count / self.rate
                first = shown if count == 0 else first
                time = 0.0 if count == 0 else max(shown - first, time + 1e-3)
                if count >= start:
                    yield Frame(time, upright(frame))
                count += 1
        if not count:
            raise Face3DError(f"{self.path} has no picture that can be decoded; export the video again.")
        self._warn(count, time, damaged)

    def pictures(self, indices: list[int]) -> list[UInt8[np.ndarray, "height width 3"]]:
        """The frames of these indices, in rising order."""
        wanted = set(indices)
        with self._open() as container:
            decoded = (frame for frame in self._decoded(container) if not isinstance(frame, str))
            near = zip(range(max(wanted) + 1), decoded, strict=False)
            return [upright(frame) for index, frame in near if index in wanted]

    def _decoded(self, container: av.container.InputContainer) -> Iterator[av.VideoFrame | str]:
        """Frames, and what is wrong where one is not."""
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError) as error:
                yield error.strerror or "it cannot be read on"
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except FFmpegError as error:
                yield error.strerror or "a frame cannot be decoded"

    def _warn(self, count: int, time: float, damaged: str) -> None:
        self.warnings = [damaged] if damaged else []
        if time + 2 / self.rate < SHORT * self.seconds:
            promised = f"where its header promises {self.seconds:.1f} s"
            self.warnings.append(f"{self.path.name} ends after {count} frames ({time:.1f} s) {promised}")

    def _open(self) -> av.container.InputContainer:
        if not self.path.is_file():
            raise Face3DError(f"There is no video at {self.path}.")
        try:
            container = av.open(str(self.path), options={"protocol_whitelist": "file"})
        except (FFmpegError, OSError, ValueError) as error:
            raise Face3DError(
                f"{self.path} is no video that can be read; give an .mp4, .mov, .webm or .mkv."
            ) from error
        if not container.streams.video:
            container.close()
            raise Face3DError(f"{self.path} has no picture, only sound or text; give a video.")
        return container


def upright(frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """The frame as its display matrix wants it shown; `rotation` counts anticlockwise."""
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
