"""Videos of a person to the motion of a head: the whole way, a function a stage."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Float64, Int
from threadpoolctl import threadpool_limits

from face3d import __version__
from face3d.perception import MediaPipeDetector
from face3d.track.motion import BRIDGE, OVERLAP, Motion, confidences, followed, refined
from face3d.track.person import Person, familiar, informative, known, met, spread
from face3d.track.pose_expression import Placed
from face3d.track.sightings import Notebook, Sightings, fingerprint
from face3d.track.streaming import Stream
from face3d.track.video import Video
from morphable import JOINT_NAMES, Head, Performance
from morphable.editing import CHANNELS, sampled
from morphable.live_link import gaze_of
from renderers import Camera

UPRIGHT = np.diag([1.0, -1.0, -1.0])
"""From camera axes to the world's: y up, the camera looks along -z, at a face that looks along +z."""
INTRODUCTION = 60
"""Frames with a face, from the first on, in which a stream gets to know it."""
HEAD = JOINT_NAMES.index("head")
Progress = Callable[[str, int, int], None]
"""Told of a stage's name, how many frames are done, and of how many (0: nobody knows)."""


@dataclass(frozen=True)
class Tracked:
    """What a video shows of a person."""

    performance: Performance
    person: Person
    camera: Camera
    """In the performance's world."""
    warnings: list[str]

    @property
    def head(self) -> Head:
        return self.person.head


def track(
    clip: str | Path,
    *,
    head: Head | None = None,
    face: int = 0,
    streaming: bool = False,
    detector: MediaPipeDetector | None = None,
) -> Performance:
    """How a person in a video moves.

    Args:
        clip: any video that FFmpeg reads.
        head: the person's; estimated from the video if not given.
        face: which one of the first frame with so many faces, most prominent first.
        streaming: look no frame ahead, but for the first seconds that show the person.
        detector: finds faces; MediaPipe's if not given.

    Raises:
        Face3DError: it is no video, or shows no such face.
    """
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "sightings"
        return run_tracking(clip, kept, head=head, face=face, streaming=streaming, detector=detector).performance


@threadpool_limits.wrap(limits=1, user_api="blas")
def run_tracking(
    clip: str | Path,
    folder: Path,
    *,
    head: Head | None = None,
    face: int = 0,
    streaming: bool = False,
    detector: MediaPipeDetector | None = None,
    progress: Progress | None = None,
) -> Tracked:
    """As `track`, with what an overlay needs. What was seen is kept in `folder`, from which killed work goes on.

    NumPy keeps to one thread: its systems are small, and threads would only wait for each other.
    """
    if detector is None:
        with MediaPipeDetector() as own:
            return run_tracking(
                clip, folder, head=head, face=face, streaming=streaming, detector=own, progress=progress
            )
    tell = progress or (lambda stage, done, total: None)
    video = Video(Path(clip))
    notebook = Notebook(folder, fingerprint(Path(clip), face, __version__))
    notebook.open()
    notebook.fill(video, detector, face, lambda count: tell("watching", count, video.frames))

    tell("getting to know the face", 0, 1)
    person = _person(video, notebook, head, INTRODUCTION if streaming else None, detector)
    tell("getting to know the face", 1, 1)

    times = np.concatenate([piece.times for piece in notebook.pieces()])
    step = Stream(person) if streaming else partial(followed, person)
    motion = _each(step, notebook.pieces(), lambda done: tell("following", done, len(times)))
    if not streaming:
        motion = _refined(person, notebook.pieces(), motion, lambda done: tell("refining", done, len(times)))
    confidence = _confidences(person, notebook.pieces(), motion)
    made = {"made by": f"face3d {__version__}", "from": Path(clip).name, "warnings": notebook.warnings}
    performance, camera = performed(person, motion, times, confidence, made)
    return Tracked(performance, person, camera, notebook.warnings)


def performed(
    person: Person,
    motion: Motion,
    times: Float64[np.ndarray, " frame"],
    confidence: Float64[np.ndarray, " frame"],
    provenance: dict[str, Any],
    origin: Float64[np.ndarray, "3"] | None = None,
) -> tuple[Performance, Camera]:
    """The motion in a world that stands still, and the camera in it.

    The world is the camera's, turned upright and moved so that the head is at its rest where it mostly was, or at
    `origin` of `head_places`.
    """
    joint = person.head.joints[HEAD].astype(np.float64)
    places = head_places(person.head, motion)
    if origin is None:
        origin = np.median(places[confidence > 0], axis=0)
    performance = Performance.of(
        times,
        motion.weights,
        head=roma.rotmat_to_rotvec(torch.as_tensor(UPRIGHT @ motion.rotations)).numpy(),
        translation=places - origin,
        gaze=gaze_of(motion.weights),
        confidence=confidence,
        provenance=provenance,
    )
    lens = person.lens
    height, width = (round(2 * side) for side in lens.principal[::-1])
    camera = Camera(
        torch.full((2,), lens.focal),
        torch.as_tensor(lens.principal).float(),
        torch.as_tensor(UPRIGHT).float(),
        torch.as_tensor(UPRIGHT @ (origin - joint)).float(),
        (height, width),
    )
    return _filled(performance), camera


def head_places(head: Head, motion: Motion) -> Float64[np.ndarray, "frame 3"]:
    """The head's joint in the camera's axes turned upright, metres."""
    places: np.ndarray = (motion.rotations @ head.joints[HEAD].astype(np.float64) + motion.translations) @ UPRIGHT
    return places


def _person(
    video: Video, notebook: Notebook, head: Head | None, introduction: int | None, detector: MediaPipeDetector
) -> Person:
    """Who is seen, solved from the best frames, or from the best of so many in which the face is seen first."""
    indices = informative(notebook.pieces(), introduction)
    sightings = Sightings.joined(list(_chosen(notebook.pieces(), indices)))
    pictures = video.pictures(indices.tolist())
    if head is None:
        person = met(pictures, sightings, detector)
    else:
        person = known(head, pictures[0].shape[:2], sightings, detector)
    return familiar(person, Sightings.joined(list(_chosen(notebook.pieces(), spread(notebook.pieces(), introduction)))))


def _chosen(pieces: Iterator[Sightings], indices: Int[np.ndarray, " some"]) -> Iterator[Sightings]:
    start = 0
    for piece in pieces:
        stop = start + len(piece)
        yield piece[indices[(indices >= start) & (indices < stop)] - start]
        start = stop


def _each(
    step: Callable[[Sightings], Iterator[Placed | None]],
    pieces: Iterator[Sightings],
    progress: Callable[[int], None],
) -> Motion:
    """Frame after frame; where nothing was seen the last place stays, or the first one to come."""
    places: list[Placed | None] = []
    for piece in pieces:
        for place in step(piece):
            places.append(place)
            progress(len(places))
    last = next(place for place in places if place is not None)
    kept = []
    for place in places:
        last = place or last
        kept.append(last)
    return Motion.of(kept)


def _refined(person: Person, pieces: Iterator[Sightings], motion: Motion, progress: Callable[[int], None]) -> Motion:
    """The motion, piece by piece with what lies around each."""
    start, parts = 0, []
    for window, before, length in _windows(pieces):
        frames = slice(start - before, start - before + len(window))
        parts.append(refined(person, window, motion[frames])[before : before + length])
        start += length
        progress(start)
    return Motion.joined(parts)


def _confidences(person: Person, pieces: Iterator[Sightings], motion: Motion) -> Float64[np.ndarray, " frame"]:
    start, parts = 0, []
    for piece in pieces:
        parts.append(confidences(person, piece, motion[start : start + len(piece)]))
        start += len(piece)
    return np.concatenate(parts)


def _windows(pieces: Iterator[Sightings]) -> Iterator[tuple[Sightings, int, int]]:
    """Each piece with up to OVERLAP frames around it, how many of them come before it, and its own length."""
    before, now = None, next(pieces, None)
    while now is not None:
        after = next(pieces, None)
        around = [*([before[-OVERLAP:]] if before else []), now, *([after[:OVERLAP]] if after else [])]
        yield Sightings.joined(around), len(around[0]) if before else 0, len(now)
        before, now = now, after


def _filled(performance: Performance) -> Performance:
    """Absences become smooth ways from what was seen last to what is seen next; before and after, it keeps still."""
    times, seen = performance.times, performance.confidence > 0
    known = times[seen]
    before = known[np.maximum(np.searchsorted(known, times, side="right") - 1, 0)]
    after = known[np.minimum(np.searchsorted(known, times), len(known) - 1)]
    gap = after - before
    share = np.clip((times - before) / np.where(gap > 0, gap, 1), 0, 1)
    eased = before + gap * share**2 * (3 - 2 * share)
    bridged = seen | (gap > 0) & (gap <= BRIDGE)
    channels = {name: getattr(performance, name) for name in CHANNELS}
    kept = Performance.of(known, **{name: values[seen] for name, values in channels.items()})
    moments, place = np.unique(eased, return_inverse=True)
    filled = sampled(kept, moments)
    merged = {
        name: np.where(bridged.reshape(-1, *[1] * (values.ndim - 1)), values, getattr(filled, name)[place])
        for name, values in channels.items()
    }
    merged["confidence"] = channels["confidence"]
    return Performance.of(times, **merged, provenance=performance.provenance)
