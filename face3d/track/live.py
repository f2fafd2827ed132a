"""A face that is followed as it is filmed: frames in, moments out, at the pace of the clock."""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
import roma
import torch
from av.error import FFmpegError
from jaxtyping import Float64

from face3d.errors import Face3DError
from face3d.perception import MediaPipeDetector
from face3d.track.following import Follower
from face3d.track.motion import Motion, confidences
from face3d.track.person import Person, familiar, informative, known, met
from face3d.track.pose_expression import Placed
from face3d.track.sightings import Sightings
from face3d.track.streaming import Stream
from face3d.track.tracking import UPRIGHT, head_places, performed
from face3d.track.video import Frame, upright
from morphable import ARKIT_NAMES, Head, Performance
from morphable.live_link import gaze_of

INTRODUCTION = 25
"""Frames with a face from which a person is solved."""
CALIBRATION = 1.0
"""Seconds of the neutral face."""
LATE = 0.05
"""Seconds after which a frame that is waiting is left out."""
MOST_NEUTRAL = 0.9
"""Of a weight, so that something is left to move."""
LEAST_CONFIDENCE = 0.001
"""Of a moment in which the face was seen."""
PAUSE = 1.0
CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""FFmpeg's name for the system's cameras, and theirs."""


def camera_frames(camera: str) -> Iterator[Frame]:
    """What a camera sees: its number, or on Windows its name.

    Raises:
        Face3DError: there is no such camera.
    """
    kind, name = CAMERAS.get(sys.platform, CAMERAS["linux"])
    try:
        with av.open(name.format(camera), format=kind) as container:
            began = time.monotonic()
            for frame in container.decode(video=0):
                yield Frame(time.monotonic() - began, upright(frame))
    except (FFmpegError, OSError, ValueError) as error:
        raise Face3DError(f"There is no camera {camera!r} that can be read; give another, or --video FILE.") from error


def paced(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames of a file when they are due, as a camera would show them; those that are overdue are left out.

    When nobody has asked for a frame for more than PAUSE seconds, the clock has stood still.
    """
    began = None
    for frame in frames:
        now = time.monotonic()
        began = now - frame.time if began is None else began
        wait = began + frame.time - now
        if wait > 0:
            time.sleep(wait)
        if wait < -PAUSE:
            began, wait = now - frame.time, 0.0
        if wait > -LATE:
            yield frame


@dataclass
class LiveFace:
    """Follows one person in frames that come in order.

    The first INTRODUCTION frames that show the face are used to get to know it, and give no moments.

    Args:
        head: the person's; estimated if not given.
        calibrate: what the face does in the first CALIBRATION seconds that follow is neutral.
        face: which one of the first frame with so many faces, most prominent first.
    """

    detector: MediaPipeDetector
    head: Head | None = None
    calibrate: bool = False
    face: int = 0

    def moments(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Performance]]:
        """Frames that show the face, with performances of one frame each.

        Raises:
            Face3DError: frames end before a face was seen, or it is too small.
        """
        follower = Follower(self.detector, self.face)
        waiting = iter(frames)
        person, introduction = self._introduced(waiting, follower)
        stream, neutral = Stream(person), _Neutral(CALIBRATION if self.calibrate else 0.0)
        deque(stream(introduction), maxlen=0)
        for frame in waiting:
            sightings = Sightings.of([frame.time], [follower(frame.pixels)])
            place = next(stream(sightings))
            if place is not None:
                neutral.learn(place, frame.time)
                yield frame, self._moment(person, sightings, place, neutral)

    def _introduced(self, frames: Iterator[Frame], follower: Follower) -> tuple[Person, Sightings]:
        pictures, times, seen = [], [], []
        for frame in frames:
            sighting = follower(frame.pixels)
            if sighting.observation is not None:
                pictures.append(frame.pixels)
                times.append(frame.time)
                seen.append(sighting)
            if len(seen) == INTRODUCTION:
                break
        if not seen:
            raise Face3DError("No face was seen; come closer, or have more light.")
        sightings = Sightings.of(times, seen)
        best = informative([sightings])
        if self.head is not None:
            person = known(self.head, pictures[0].shape[:2], sightings[best], self.detector)
        else:
            person = met([pictures[index] for index in best], sightings[best], self.detector)
        return familiar(person, sightings), sightings

    def _moment(self, person: Person, sightings: Sightings, place: Placed, neutral: "_Neutral") -> Performance:
        certain = np.maximum(confidences(person, sightings, Motion.of([place])), LEAST_CONFIDENCE)
        origin = head_places(person.head, Motion.of([neutral.place]))[0]
        moment, _ = performed(person, Motion.of([place]), sightings.times, certain, {}, origin)
        return neutral.taken_off(moment)


class _Neutral:
    """A person's neutral face: the mean of what it does for some seconds, or rest before the camera."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began: float | None = None
        self._places: list[Placed] = []

    def learn(self, place: Placed, now: float) -> None:
        self._began = now if self._began is None else self._began
        if not self._places or now - self._began < self.seconds:
            self._places.append(place)

    @property
    def place(self) -> Placed:
        """Where the head rests; its rotation is that of the middle of the time."""
        places = np.stack([each.translation for each in self._places])
        return Placed(self.weights, self._places[len(self._places) // 2].rotation, places.mean(0))

    @property
    def weights(self) -> Float64[np.ndarray, "52"]:
        if not self.seconds:
            return np.zeros(len(ARKIT_NAMES))
        return np.minimum(np.mean([each.weights for each in self._places], axis=0), MOST_NEUTRAL)

    def taken_off(self, moment: Performance) -> Performance:
        """What the face does beside its neutral one, the head beside where it rests."""
        if not self.seconds:
            return moment
        weights = np.clip((moment.weights - self.weights) / (1 - self.weights), 0, 1)
        resting = roma.rotmat_to_rotvec(torch.as_tensor(UPRIGHT @ self.place.rotation))
        head = roma.rotvec_composition([torch.as_tensor(moment.head, dtype=torch.float64), -resting[None]]).numpy()
        return Performance.of(
            moment.times, weights, head, moment.translation, gaze_of(weights), moment.confidence, moment.provenance
        )
