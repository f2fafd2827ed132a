"""How well videos are tracked: clips of rendered heads whose motion is known (ICT-FaceKit's as well, where its data
is), a still face, speed, memory over a long clip, and on filmed clips how far the overlay's landmarks are from the
clip's own (the environment variable FACE3D_CLIPS names their folder, else it is looked for beside the repository).

A head's rotation is against its own rest, and a face may be pitched against the head: by 1.6 degrees (one deviation) in
the population. One who sees nothing but faces cannot tell that from a pose, so that much of the rotation's error is the
heads', not the tracker's; `benchmarks.ict.film` lays the mean faces of both models over each other.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from scipy.ndimage import gaussian_filter

import morphable
from avatars.media import write_video
from avatars.mesh_performer import MeshPerformer
from benchmarks import ict
from benchmarks.timing import figure
from face3d.fitting.evidence import OUTER_EYE_CORNERS
from face3d.fitting.identity_regression import IdentityRegression
from face3d.perception import MediaPipeDetector
from face3d.track import run_tracking
from face3d.track.live import INTRODUCTION, LiveFace
from face3d.track.overlay import write_overlay
from face3d.track.video import Frame, Video
from morphable import ARKIT_NAMES, Head, Performance
from morphable.appearance import default_textures
from morphable.editing import sampled, trimmed
from morphable.live_link import gaze_of
from renderers import Camera, DirectionalLight, EnvironmentLight, Light

CLIPS = Path(os.environ.get("FACE3D_CLIPS", Path(__file__).parents[2] / "shared/data/videos"))
RATE = 25.0
SIZE = (480, 640)
FACE_SHARE = 0.5
"""Of a picture's height, that from the brow to the chin and a little more."""
NAMED = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "mouthPucker")
"""The shapes whose curves have to be found."""
OTHERS = ("mouthFunnel", "mouthFrownLeft", "mouthFrownRight", "mouthUpperUpLeft")
SKINS = ((0.65, 0.42, 0.32), (0.36, 0.2, 0.14), (0.52, 0.32, 0.23), (0.72, 0.5, 0.42))
NOISE = 4.0
"""Deviation of a pixel, of 255."""
CORRELATION_LIMIT, ROTATION_LIMIT, OVERLAY_LIMIT = 0.9, 1.5, 3.0
"""Correlation, degrees, and per cent of the distance between the outer eye corners."""
CLIPS_ACTED = 3
SETTLED = 3.0
"""Seconds after which a still face's jitter is measured."""
LONG = 10_000
"""Frames of the video whose memory is measured."""
STILL_ROTATION_LIMIT, STILL_PLACE_LIMIT = 0.05, 0.2
"""Degrees and millimetres."""
STREAMING_LIMIT, OFFLINE_LIMIT = 25.0, 5.0
"""Frames a second."""


@dataclass(frozen=True)
class Errors:
    """Of a tracked clip.

    Attributes:
        correlation: with the true curve, of each of NAMED.
        rotation: median angle between the true and the found head, degrees.
    """

    correlation: dict[str, float]
    rotation: float


def figures() -> Iterator[dict]:
    with tempfile.TemporaryDirectory() as folder, MediaPipeDetector() as detector:
        for streaming in (False, True):
            mode = "streaming" if streaming else "offline"
            found = []
            for seed in range(CLIPS_ACTED):
                clip = Path(folder) / f"{seed}.mp4"
                truth = acted(seed, 200)
                if not clip.exists():
                    write_clip(clip, unknown_head(seed), truth, seed)
                tracked = run_tracking(clip, Path(folder) / "kept", streaming=streaming, detector=detector)
                found.append(errors(tracked.performance, truth))
            yield from _summary(mode, found)
            still = Path(folder) / "still.mp4"
            if not still.exists():
                write_clip(still, unknown_head(9), resting(150), 9)
            performance = run_tracking(still, Path(folder) / "kept", streaming=streaming, detector=detector).performance
            turn, place = jitter(trimmed(performance, SETTLED))
            yield figure(f"{mode}_still_rotation", turn, "degrees", "limit", STILL_ROTATION_LIMIT)
            yield figure(f"{mode}_still_translation", place, "mm", "limit", STILL_PLACE_LIMIT)
        if ict.DATA.exists():
            found = []
            for seed in range(CLIPS_ACTED):
                clip, truth = Path(folder) / f"ict_{seed}.mp4", acted(20 + seed, 120)
                write_video(clip, ict.film(seed, truth), RATE)
                tracked = run_tracking(clip, Path(folder) / "kept", detector=detector)
                found.append(errors(tracked.performance, truth))
            yield from _summary("ict_facekit", found)
        yield figure(
            "streaming_rate_720p", streaming_rate(Path(folder), detector), "frames/s", "limit", STREAMING_LIMIT
        )
        yield figure("streaming_memory_growth", memory_growth(Path(folder), detector), "MB from frame 1000 to 10000")
        for clip in sorted(CLIPS.glob("*.mp4")):
            overlay = Path(folder) / clip.name
            started = time.perf_counter()
            tracked = run_tracking(clip, Path(folder) / "kept", detector=detector)
            rate = len(tracked.performance) / (time.perf_counter() - started)
            yield figure(f"offline_rate_{clip.stem}", rate, "frames/s", "limit", OFFLINE_LIMIT)
            write_overlay(overlay, clip, tracked, lambda done: None)
            yield figure(f"overlay_{clip.stem}", overlay_error(clip, overlay, detector), "%", "limit", OVERLAY_LIMIT)


def _summary(name: str, found: list[Errors]) -> Iterator[dict]:
    """Means over clips."""
    for shape in NAMED:
        value = float(np.mean([each.correlation[shape] for each in found]))
        yield figure(f"{name}_{shape}", value, "correlation", "limit", CORRELATION_LIMIT)
    turned = float(np.mean([each.rotation for each in found]))
    yield figure(f"{name}_rotation", turned, "degrees", "limit", ROTATION_LIMIT)


def unknown_head(seed: int) -> Head:
    """Drawn from the population, in colours of its own."""
    random = np.random.default_rng([7, seed])
    model, people = morphable.load(), IdentityRegression.load()
    identity = people.mean + people.factor @ torch.as_tensor(random.normal(size=len(people.mean)))
    skin = np.array(SKINS[seed % len(SKINS)]) * random.uniform(0.9, 1.1, 3)
    textures = default_textures(
        model,
        skin_colour=tuple(skin),
        lip_colour=tuple(skin * np.array([0.9, 0.6, 0.62])),
        brow_colour=tuple(skin * random.uniform(0.1, 0.4)),
        iris_colour=(0.07, 0.04, 0.02),
        resolution=512,
    )
    return Head.from_model(model, identity.float(), textures)


def acted(seed: int, frames: int) -> Performance:
    """Expressions that come and go, blinks, glances and a moving head."""
    random = np.random.default_rng([8, seed])
    times = np.arange(frames) / RATE
    weights = np.zeros((frames, len(ARKIT_NAMES)))

    def add(*turns: tuple[str, ...], most: float, seconds: tuple[float, float], pause: float) -> None:
        """Movements that take turns."""
        start = random.uniform(0, pause)
        for count in range(frames):
            length, strength = random.uniform(*seconds), random.uniform(0.4, 1.0) * most
            bump = np.sin(np.pi * np.clip((times - start) / length, 0, 1)) ** 2
            for name in turns[count % len(turns)]:
                column = weights[:, ARKIT_NAMES.index(name)]
                np.maximum(column, bump * strength * random.uniform(0.8, 1.0), out=column)
            start += length + random.uniform(0.2, pause)

    add(("jawOpen",), most=0.7, seconds=(0.25, 0.8), pause=0.8)
    add(("eyeBlinkLeft", "eyeBlinkRight"), most=1.0, seconds=(0.2, 0.4), pause=1.6)
    add(("mouthSmileLeft", "mouthSmileRight"), ("mouthPucker",), most=0.9, seconds=(0.5, 1.4), pause=0.5)
    add(("browInnerUp",), ("browDownLeft", "browDownRight"), most=0.9, seconds=(0.5, 1.2), pause=0.8)
    for name in OTHERS:
        add((name,), most=0.3, seconds=(0.4, 1.2), pause=3.0)
    look = gaussian_filter(random.normal(size=frames), 6) * 2.5
    for name, way in (("OutLeft", 1), ("InRight", 1), ("InLeft", -1), ("OutRight", -1)):
        weights[:, ARKIT_NAMES.index(f"eyeLook{name}")] = np.clip(way * look, 0, 0.6)
    sway = gaussian_filter(random.normal(size=(frames, 6)), (15, 0)) * 7
    head = sway[:, :3] * np.array([0.12, 0.22, 0.08])
    place = sway[:, 3:] * np.array([0.015, 0.01, 0.02])
    return Performance.of(times, weights, head=head, translation=place, gaze=gaze_of(weights))


def resting(frames: int) -> Performance:
    """A face that keeps still, turned a little."""
    times = np.arange(frames) / RATE
    return Performance.of(times, np.zeros((frames, 52)), head=np.tile([0.05, 0.2, 0.0], (frames, 1)))


def write_clip(path: Path, head: Head, performance: Performance, seed: int, size: tuple[int, int] = SIZE) -> None:
    """The head in lights of its own before a camera, with noise, compressed as a video."""
    random = np.random.default_rng([9, seed])
    performer = MeshPerformer(head, 512)
    centre = torch.as_tensor(head.neutral[:, :]).mean(0) + torch.tensor([0.0, 0.0, 0.05])
    distance = random.uniform(0.5, 1.0)
    eye = centre + distance * torch.tensor([0.0, 0.0, 1.0])
    opening = 2 * float(np.arctan(0.15 / FACE_SHARE / 2 / distance))
    camera = Camera.looking_at(eye, centre, (0.0, 1.0, 0.0), opening, size)
    ambient = torch.zeros(9, 3)
    ambient[0] = float(random.uniform(1.2, 2.0))
    towards = torch.tensor([random.normal(0, 0.6), random.uniform(0.2, 0.8), 1.0]).float()
    lights: list[Light] = [EnvironmentLight(ambient), DirectionalLight(-towards, torch.full((3,), 0.5))]
    background = random.uniform(0.02, 0.4, 3)

    def frames() -> Iterator[np.ndarray]:
        for moment in performance.times:
            picture = performer.draw(sampled(performance, np.array([moment])), camera, lights, background)
            yield (picture + random.normal(0, NOISE, picture.shape)).clip(0, 255).astype(np.uint8)

    write_video(path, frames(), RATE)


def streaming_rate(folder: Path, detector: MediaPipeDetector) -> float:
    """Frames a second from a 1280 x 720 file to fitted and filtered moments, once the person is known."""
    clip = folder / "wide.mp4"
    write_clip(clip, unknown_head(0), acted(0, 150), 0, (720, 1280))
    moments = LiveFace(detector).moments(Video(clip).read())
    next(moments)
    started = time.perf_counter()
    return sum(1 for _ in moments) / (time.perf_counter() - started)


def memory_growth(folder: Path, detector: MediaPipeDetector, frames: int = LONG) -> float:
    """Megabytes by which the process grows from a tenth of a long clip, a short one over and over, to its end."""
    clip = folder / "short.mp4"
    write_clip(clip, unknown_head(0), acted(0, 100), 0, (240, 320))

    def looped() -> Iterator[Frame]:
        for count in range(frames // 100):
            for frame in Video(clip).read():
                yield Frame(frame.time + 4.0 * count, frame.pixels)

    sizes = []
    for count, _ in enumerate(LiveFace(detector).moments(looped())):
        if count in (frames // 10, frames - INTRODUCTION - 1):
            sizes.append(resident())
    return (sizes[1] - sizes[0]) / 1e6


def resident() -> float:
    """Bytes of memory that the process holds (Linux)."""
    return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def errors(found: Performance, truth: Performance) -> Errors:
    """Of frames at the same times."""
    correlation = {}
    for name in NAMED:
        index = ARKIT_NAMES.index(name)
        pair = found.weights[:, index], truth.weights[:, index]
        correlation[name] = float(np.corrcoef(pair)[0, 1]) if pair[0].std() > 0 else 0.0
    turns = [torch.as_tensor(each.head, dtype=torch.float64) for each in (found, truth)]
    apart = roma.rotvec_composition([turns[0], -turns[1]]).norm(dim=1)
    return Errors(correlation, float(np.degrees(apart.median())))


def jitter(performance: Performance) -> tuple[float, float]:
    """Deviation of a still head's rotation, degrees, and translation, millimetres: root mean squares about the mean."""
    turn, place = (values - values.mean(0) for values in (performance.head, performance.translation))
    return tuple(
        float(np.sqrt((values**2).sum(1).mean())) * unit for values, unit in ((turn, 180 / np.pi), (place, 1e3))
    )


def overlay_error(clip: Path, overlay: Path, detector: MediaPipeDetector, every: int = 5) -> float:
    """Median distance of landmarks on the overlay from those on the clip itself, per cent of the eyes' distance; of
    some frames.

    Raises:
        ValueError: the overlay has another number of frames, or another size.
    """
    distances = []
    for index, (frame, over) in enumerate(zip(Video(clip).read(), Video(overlay).read(), strict=True)):
        if frame.pixels.shape != over.pixels.shape:
            raise ValueError(f"{overlay} has another size than {clip}")
        if index % every:
            continue
        faces = detector.detect(frame.pixels)
        again = detector.measure(over.pixels, faces[0].box) if faces else None
        if again is None:
            continue
        seen, drawn = (face.landmarks[:, :2] for face in (faces[0], again))
        right, left = (seen[corner] for corner in OUTER_EYE_CORNERS)
        distances.append(np.linalg.norm(seen - drawn, axis=1) / np.linalg.norm(left - right))
    return float(100 * np.median(distances))
