"""From videos or a photo to an avatar: what is learned from, and learning."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Int

from avatars import gaussian, radiance, texture
from avatars.capture import LAYOUT, Capture, silhouette, still_background
from avatars.gaussian import GaussianAvatar, lifted
from avatars.neural.avatar import NeuralAvatar
from avatars.neural.evaluation import report
from avatars.neural.storage import kind_of
from avatars.portrait import PosedPhoto
from avatars.portrait.matte import person_matte, with_fringe
from avatars.radiance import RadianceAvatar
from avatars.texture import TextureAvatar
from face3d import __version__, vhap
from face3d.errors import Face3DError
from face3d.framing import framed, posed
from face3d.locking import locked
from face3d.perception import MediaPipeDetector
from face3d.photo import load_photo
from face3d.portrait import posed_photo
from face3d.track.sightings import TASK, Notebook, fingerprint, forget
from face3d.track.tracking import Progress, run_tracking
from face3d.track.video import Video
from morphable import Head, Performance
from morphable.editing import sampled
from morphable.playing import HEAD
from renderers import linear_to_srgb, srgb_to_linear

FEWEST = 8
"""Frames from which an avatar can be learned."""
MOST = 600
"""Frames: of longer clips, every second, third, ..."""
PHOTO_SIZE = 2
"""Size of a photo's part that is kept over that of a video's frames."""
HEAD_SHARE = 0.6
"""Of that size, the head's height at most: each pixel becomes a Gaussian."""
TURNED = 20.0
"""Degrees to a side from which on a photo hides too much of a head."""
FRINGE = 0.05
"""Of the head's breadth: how far from the person the background begins."""
GAUSSIAN, RADIANCE, TEXTURE = "gaussian", "radiance", "texture"
Learner = tuple[Mapping[str, Any], Callable[..., NeuralAvatar]]
LEARNERS: dict[str, Learner] = {
    GAUSSIAN: (gaussian.PRESETS, gaussian.trained),
    RADIANCE: (radiance.PRESETS, radiance.trained),
    TEXTURE: (texture.PRESETS, texture.trained),
}
"""Presets of each kind of avatar, and what learns one."""
LOADERS: dict[str, Callable[[str | Path], NeuralAvatar]] = {
    GAUSSIAN: GaussianAvatar.load,
    RADIANCE: RadianceAvatar.load,
    TEXTURE: TextureAvatar.load,
}


def load(folder: str | Path) -> NeuralAvatar:
    """An avatar of any kind.

    Raises:
        ValueError: the folder holds none, or a damaged one.
        OSError: a file is missing.
    """
    kind = kind_of(folder)
    if kind not in LOADERS:
        raise ValueError(f"{folder} holds an avatar of the kind {kind}, which this version does not know")
    return LOADERS[kind](folder)


def train(
    clips: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    kind: str = GAUSSIAN,
    preset: str = "cpu",
    holdout: float = 0.0,
    head: Head | None = None,
    face: int = 0,
    progress: Progress | None = None,
    learning: Callable[[int, int, float], None] | None = None,
) -> tuple[NeuralAvatar, dict]:
    """Make an avatar of a person in one or several videos, or in a recording. Killed, the same call goes on.

    Args:
        clips: any videos that FFmpeg reads, each of a camera that stands still; the avatar has the look of the first.
            Or a folder that `vhap.Recording` reads, whose pictures held out are those that it says.
        folder: the avatar's; docs/avatars.md describes what is in it.
        kind: of what it is made, "gaussian", "radiance" or "texture".
        preset: name of the kind's PRESETS.
        holdout: share of each clip, its end, that is not learned from but compared with.
        head: the person's; estimated from the first video if not given.
        face: which one of the first frame with so many faces, most prominent first.
        progress: told of a stage's name, frames done, of how many, before learning.
        learning: told of steps done, of how many, and the PSNR of held-out frames.

    Returns:
        The avatar, and its report.

    Raises:
        Face3DError: it is no video, shows no such face, or too little of one; or it is a folder, and not complete.
    """
    presets, learner = _learner(kind)
    chosen, folder = _preset(preset, presets), Path(folder)
    paths = [Path(clips)] if isinstance(clips, str | Path) else [Path(clip) for clip in clips]
    if any(path.is_dir() for path in paths):
        captures, tasks, held_out = _recorded(paths, folder, chosen.size, head, holdout, progress)
    else:
        captures, tasks = _kept_captures(paths, folder, chosen.size, head, face, progress)
        held_out = _ends(paths, captures, holdout)
    checkpoints = folder / "checkpoints"
    _claim(checkpoints, fingerprint(*tasks, repr(chosen), repr(holdout)))
    avatar: NeuralAvatar = learner(captures, checkpoints, preset=chosen, held_out=held_out, progress=learning)
    names = ", ".join(path.name for path in paths)
    avatar.provenance = {"made by": f"face3d {__version__}", "from": names, "preset": preset}
    avatar.save(folder)
    found = report(avatar, captures, held_out, folder)
    shutil.rmtree(checkpoints)
    return avatar, found


def from_photo(
    path: str | Path,
    folder: str | Path,
    *,
    preset: str = "cpu",
    head: Head | None = None,
    face: int = 0,
    progress: Progress | None = None,
) -> tuple[GaussianAvatar, dict]:
    """Make an avatar of a person in a photo: its pixels on the head, what it does not show guessed.

    Args:
        folder: the avatar's; docs/avatars.md describes what is in it.
        preset: name of avatars.gaussian.PRESETS; photos are kept twice as large as frames.
        head: the person's; reconstructed from the photo if not given.
        face: which one in the photo, most prominent first.
        progress: told of a stage's name, and of how many thousandths it is done.

    Returns:
        The avatar, and its report.

    Raises:
        Face3DError: it is no photo, or shows no such face.
    """
    chosen, folder = _preset(preset, gaussian.PRESETS), Path(folder)

    def stages(stage: str, fraction: float) -> None:
        if progress:
            progress(stage, round(1000 * fraction), 1000)

    photo = posed_photo(load_photo(path), head=head, face=face, progress=stages)
    stages("lifting the photo", 0.0)
    capture = photographed(photo, PHOTO_SIZE * chosen.size)
    avatar = lifted(capture)
    made = {"made by": f"face3d {__version__}", "from": Path(path).name, "preset": preset}
    avatar.provenance = made | {"warnings": doubts(photo)}
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "capture", ignore_errors=True)
    capture.save(folder / "capture")
    avatar.save(folder)
    found = report(avatar, [capture], np.zeros(0, int), folder)
    stages("lifting the photo", 1.0)
    return avatar, found


def doubts(photo: PosedPhoto) -> list[str]:
    """What makes an avatar of this photo look worse than it could."""
    x, _, z = (photo.camera.position - torch.as_tensor(photo.head.joints[HEAD])).tolist()
    turned = abs(math.degrees(math.atan2(x, z)))
    if turned < TURNED:
        return []
    return [f"the head is turned by {turned:.0f} degrees: its far side will tear; a photo from the front is better"]


def photographed(photo: PosedPhoto, size: int) -> Capture:
    """A photo as a capture of one frame, cut to the head and what is near it.

    Args:
        size: pixels of the frame's longer side at most.
    """
    vertices = photo.head.posed(photo.head.layout, photo.weights)
    camera, (x0, y0, x1, y1) = framed(photo.camera, vertices[None], size)
    tall = float(np.ptp(camera.project(vertices)[:, 1].numpy()))
    camera = camera.scaled(min(1.0, HEAD_SHARE * size / tall))
    height, width = camera.resolution
    frame = cv2.resize(photo.pixels[y0:y1, x0:x1], (width, height), interpolation=cv2.INTER_AREA)
    shape = silhouette(photo.head, vertices, camera)
    matte = person_matte(frame, shape.head, shape.chin, shape.breadth).astype(np.float32)
    linear = srgb_to_linear(torch.as_tensor(frame).float() / 255).numpy()
    behind, _ = with_fringe(linear, matte, max(1, round(FRINGE * shape.breadth)))
    background = (linear_to_srgb(torch.as_tensor(behind).clamp(0, 1)) * 255 + 0.5).to(torch.uint8).numpy()
    mask = (matte * 255 + 0.5).astype(np.uint8)
    still = Performance.of(np.zeros(1), photo.weights[None])
    return Capture(frame[None], mask[None], background, camera, photo.head, still)


def _learner(kind: str) -> Learner:
    if kind not in LEARNERS:
        *others, last = LEARNERS
        raise Face3DError(f"An avatar is of the kind {', '.join(others)} or {last}, not {kind!r}.")
    return LEARNERS[kind]


def _preset(name: str, presets: Mapping[str, Any]) -> Any:
    if name not in presets:
        raise Face3DError(f"A preset is {' or '.join(presets)}, not {name!r}.")
    return presets[name]


def _ends(paths: Sequence[Path], captures: Sequence[Capture], share: float) -> Int[np.ndarray, " some"]:
    """Numbers of the frames at the end of each capture, counted through all.

    Raises:
        Face3DError: too few are left before them.
    """
    held, start = [], 0
    for path, capture in zip(paths, captures, strict=True):
        first = round((1 - share) * len(capture))
        if first < FEWEST:
            raise Face3DError(f"{path} shows the face in too few frames to learn from ({first}); give a longer video.")
        held.append(np.arange(start + first, start + len(capture)))
        start += len(capture)
    return np.concatenate(held)


def _recorded(
    sources: Sequence[Path], folder: Path, size: int, head: Head | None, holdout: float, progress: Progress | None
) -> tuple[list[Capture], list[str], Int[np.ndarray, " some"]]:
    """The captures of a recording's cameras, made if they are not there, what they are of, and which frames are held
    out."""
    if len(sources) > 1 or head is not None:
        raise Face3DError("A folder of pictures makes an avatar alone, of the head that it tells of.")
    recording, flame = vhap.Recording.of(sources[0]), vhap.known_flame()
    if recording.split and holdout:
        raise Face3DError(f"{sources[0]} itself says what is held out; leave --holdout away.")
    if recording.learned < FEWEST:
        raise Face3DError(f"{sources[0]} has too few pictures to learn from ({recording.learned}).")
    task = fingerprint(*recording.files, flame.mean.numpy().tobytes(), __version__, size)
    places = _places(folder / "capture", len(recording.cameras))
    if all((place / TASK).is_file() and (place / TASK).read_text() == task for place in places):
        captures = [Capture.load(place) for place in places]
    else:
        captures = vhap.captured(recording, flame, size, progress)
    held_out = _ends([*sources] * len(captures), captures, holdout) if holdout else recording.held_out
    _leave(folder / "capture", places)
    for capture, place in zip(captures, places, strict=True):
        _keep(capture, place, task)
    return captures, [task], held_out


def _places(root: Path, count: int) -> list[Path]:
    """Of so many captures: the folder itself, or numbered ones in it."""
    return [root] if count == 1 else [root / f"{number:03d}" for number in range(count)]


def _keep(capture: Capture, place: Path, task: str) -> None:
    """Write a capture and what it is of, if it is not there."""
    label = place / TASK
    if label.is_file() and label.read_text() == task:
        return
    shutil.rmtree(place, ignore_errors=True)
    capture.save(place)
    label.write_text(task)


def _kept_captures(
    clips: Sequence[Path], folder: Path, size: int, head: Head | None, face: int, progress: Progress | None
) -> tuple[list[Capture], list[str]]:
    """The folder's captures, all with the head of the first, and what each is of; those are made that are not there or
    of something else."""
    for clip in clips:
        if not clip.is_file():
            raise Face3DError(f"There is no video at {clip}.")
    made, root = not folder.exists(), folder / "capture"
    places = _places(root, len(clips))
    captures: list[Capture] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _leave(root, places)
        for clip, place in zip(clips, places, strict=True):
            captures.append(_kept_capture(clip, place, folder / "sightings", size, head, face, progress))
            head = captures[0].head
    except Face3DError:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return captures, [(place / TASK).read_text() for place in places]


def _leave(root: Path, places: Sequence[Path]) -> None:
    """Of a folder of captures, only those at these places, in it or the folder itself."""
    if root not in places and (root / LAYOUT).is_file():
        shutil.rmtree(root)
    for other in root.glob("[0-9][0-9][0-9]"):
        if other not in places:
            shutil.rmtree(other)


def _kept_capture(
    clip: Path, folder: Path, sightings: Path, size: int, head: Head | None, face: int, progress: Progress | None
) -> Capture:
    """A folder's capture, made if it is not there or of something else."""
    identity = None if head is None else head.neutral.tobytes()
    task = fingerprint(clip, face, __version__, size, identity)
    label = folder / TASK
    if label.is_file() and label.read_text() == task:
        return Capture.load(folder)
    capture = captured(clip, sightings, size, head=head, face=face, progress=progress)
    _keep(capture, folder, task)
    forget(sightings)
    return capture


def _claim(folder: Path, task: str) -> None:
    """Empty a folder of what another task left."""
    label = folder / TASK
    if folder.exists() and (not label.is_file() or label.read_text() != task):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    label.write_text(task)


def captured(
    clip: str | Path,
    sightings: Path,
    size: int,
    *,
    head: Head | None = None,
    face: int = 0,
    detector: MediaPipeDetector | None = None,
    progress: Progress | None = None,
) -> Capture:
    """Track a person through a video and tell the person from the background.

    Args:
        clip: any video that FFmpeg reads, of a camera that stands still.
        sightings: folder where tracking keeps what it has seen.
        size: pixels of the longer side of the frames kept, which show the head and what is near it.
        head: the person's; estimated from the video if not given.
        face: which one of the first frame with so many faces, most prominent first.
        detector: finds faces; MediaPipe's if not given.

    Raises:
        Face3DError: it is no video, or shows no such face.
    """
    tell = progress or (lambda stage, done, total: None)
    tracked = run_tracking(clip, sightings, head=head, face=face, detector=detector, progress=progress)
    shown = np.flatnonzero(tracked.performance.confidence > 0)
    shown = shown[:: -(-len(shown) // MOST)]
    performance = sampled(tracked.performance, tracked.performance.times[shown])
    vertices = posed(tracked.head, performance)
    camera, (x0, y0, x1, y1) = framed(tracked.camera, vertices, size)
    height, width = camera.resolution

    frames = np.empty((len(shown), height, width, 3), np.uint8)
    masks = np.empty((len(shown), height, width), np.uint8)
    kept = {int(index): place for place, index in enumerate(shown)}
    for index, frame in enumerate(Video(Path(clip)).read()):
        place = kept.get(index)
        if place is None:
            continue
        near = frame.pixels[y0:y1, x0:x1]
        frames[place] = cv2.resize(near, (width, height), interpolation=cv2.INTER_AREA)
        shape = silhouette(tracked.head, vertices[place], camera)
        matte = person_matte(frames[place], shape.head, shape.chin, shape.breadth)
        masks[place] = (matte * 255 + 0.5).astype(np.uint8)
        tell("telling the person from the background", place + 1, len(shown))
    tell("locking", 0, 1)
    landmarks = np.concatenate([piece.landmarks for piece in Notebook(sightings, "").pieces()])[shown, :, :2]
    landmarks = (landmarks - (x0, y0)) * np.array([width / (x1 - x0), height / (y1 - y0)])
    performance = locked(performance, tracked.head, camera, frames, masks, landmarks)
    tell("locking", 1, 1)
    return Capture(frames, masks, still_background(frames, masks), camera, tracked.head, performance)
