"""From a video and a new performance to the video with another expression: tracked, then drawn frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float, UInt8

from avatars.media import write_video
from avatars.portrait import Dubber, PosedPhoto, require_expression
from face3d.perception import MediaPipeDetector
from face3d.track import Tracked, run_tracking
from face3d.track.pose_expression import Placed, projected
from face3d.track.sightings import Notebook
from face3d.track.tracking import HEAD, Progress
from face3d.track.video import Frame, Video
from morphable import Head, Performance
from morphable.editing import sampled, usual_rate
from renderers import Camera

EASE = 0.12
"""Seconds over which the new expression comes and goes where the face is lost."""


@dataclass(frozen=True)
class Dubbed:
    """What was written: how many frames, how many a second, and what was wrong with the video."""

    frames: int
    rate: float
    warnings: list[str]


def dub(
    output: str | Path,
    clip: str | Path,
    performance: Performance,
    folder: Path,
    *,
    only: Sequence[str] = ("lips",),
    sound: str | Path | None = None,
    head: Head | None = None,
    face: int = 0,
    detector: MediaPipeDetector | None = None,
    progress: Progress | None = None,
) -> Dubbed:
    """Write a video whose face does what a performance says; pose, background and all that is not driven stay.

    Frames in which the face is not seen stay as they are. After the performance's end its last expression stays.

    Args:
        output: .mp4 or .webm, of the clip's length, with even sides.
        folder: where tracking keeps what it has seen, and goes on from when it was killed.
        only: lips, eyes, brows, cheeks, or expression for all of them.
        sound: starts with the performance.
        head: the person's; estimated from the video if not given.
        face: which one of the first frame with so many faces, most prominent first.

    Raises:
        Face3DError: it is no video, or shows no such face.
        ValueError: a choice, a suffix or a sound that cannot be.
        OSError: the file cannot be written.
    """
    require_expression(only)
    if not len(performance):
        raise ValueError("a performance without frames cannot be played")
    tell = progress or (lambda stage, done, total: None)
    tracked = run_tracking(clip, folder, head=head, face=face, detector=detector, progress=progress)
    rate = usual_rate(tracked.performance)
    pictures = _dubbed(Path(clip), folder, tracked, performance, only)
    count = round(tracked.performance.times[-1] * rate) + 1

    def counted() -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        for index, picture in enumerate(even_sided(_evenly(pictures, rate))):
            tell("drawing", index + 1, count)
            yield picture

    return Dubbed(write_video(output, counted(), rate, sound), rate, tracked.warnings)


def even_sided(
    pictures: Iterable[UInt8[np.ndarray, "height width 3"]],
) -> Iterator[UInt8[np.ndarray, "rows columns 3"]]:
    """Without a last odd row or column, which videos cannot have."""
    for picture in pictures:
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        yield picture[:height, :width]


def _dubbed(
    clip: Path, folder: Path, tracked: Tracked, performance: Performance, only: Sequence[str]
) -> Iterator[Frame]:
    dubber = Dubber(tracked.head, only)
    found = tracked.performance
    spoken = sampled(performance, found.times)
    notes = (piece[index : index + 1] for piece in Notebook(folder, "").pieces() for index in range(len(piece)))
    shares = _shares(found, np.concatenate([piece.cuts for piece in Notebook(folder, "").pieces()]))
    new_scene = False
    for index, (frame, note) in enumerate(zip(Video(clip).read(), notes, strict=True)):
        new_scene |= bool(note.cuts[0])
        if shares[index] > 0:
            photo = _posed(frame.pixels, tracked, index, note.landmarks[0])
            weights = photo.weights + shares[index] * (spoken.weights[index] - photo.weights)
            frame = replace(frame, pixels=dubber(photo, weights, new_scene=new_scene))
            new_scene = False
        yield frame


def _posed(
    pixels: UInt8[np.ndarray, "height width 3"],
    tracked: Tracked,
    index: int,
    landmarks: Float[np.ndarray, "478 3"],
) -> PosedPhoto:
    """A frame with the head as it was tracked, registered to the landmarks that were seen."""
    performance, camera = tracked.performance, tracked.camera
    turn = roma.rotvec_to_rotmat(torch.as_tensor(performance.head[index], dtype=torch.float64)).float()
    joint = torch.as_tensor(tracked.head.joints[HEAD]).float()
    carried = joint + torch.as_tensor(performance.translation[index]).float() - turn @ joint
    posed = Camera(
        camera.focal,
        camera.principal,
        camera.rotation @ turn,
        camera.rotation @ carried + camera.translation,
        (pixels.shape[0], pixels.shape[1]),
    )
    weights = performance.weights[index]
    place = Placed(weights.astype(np.float64), posed.rotation.double().numpy(), posed.translation.double().numpy())
    shown = projected(tracked.person.response, tracked.person.lens, place)
    return PosedPhoto(pixels, tracked.head, posed, weights.astype(np.float32)).registered(shown, landmarks[:, :2])


def _shares(performance: Performance, cuts: np.ndarray) -> Float[np.ndarray, " frame"]:
    """How much of the new expression each frame shows: none where no face was seen, and little beside such a frame of
    the same scene."""
    seen, scenes, times = performance.confidence > 0, np.cumsum(cuts), performance.times
    shares = seen.astype(float)
    for lost in np.flatnonzero(~seen):
        near = (scenes == scenes[lost]) & seen
        shares[near] = np.minimum(shares[near], np.clip(np.abs(times[near] - times[lost]) / EASE, 0, 1))
    return shares


def _evenly(frames: Iterator[Frame], rate: float) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The picture that is shown at each tick of a steady clock; each stays until the next."""
    tick = 0
    before: Frame | None = None
    for frame in frames:
        while before is not None and (tick + 0.5) / rate < frame.time:
            yield before.pixels
            tick += 1
        before = frame
    if before is not None:
        yield before.pixels
