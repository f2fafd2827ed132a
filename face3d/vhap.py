"""Recordings in the layout of VHAP and GaussianAvatars: pictures by one or many cameras, and FLAME's parameters for
each moment. They become captures of the default head.

The person is carried from FLAME to the default head as `face3d convert` carries one, and what FLAME's expression, jaw
and eyes do becomes weights of the 52 shapes that move the surface alike.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import roma
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image

import morphable
from avatars.capture import Capture, silhouette, still_background
from avatars.portrait.matte import person_matte
from face3d.convert import convert
from face3d.correspondence import default_on
from face3d.errors import Face3DError
from face3d.framing import framed, posed
from face3d.registration.alignment import Similarity, aligning
from face3d.track.tracking import Progress
from face3d.views import camera_in, opened, told_camera
from morphable import ARKIT_NAMES, Head, Performance, catalogue, checking
from morphable.catalogue import DEFAULT
from morphable.flame import Flame
from morphable.live_link import gaze_of, gaze_weights
from morphable.playing import HEAD
from morphable.retargeting import JAW, weights_that_do
from morphable.surface import Surface
from morphable.transfer import Transfer
from morphable.unpickling import read_npz
from renderers import Camera

LEARNED = ("transforms_train.json", "transforms.json")
"""Files of pictures to learn from; the first that is there counts."""
HELD_OUT = ("transforms_val.json", "transforms_test.json")
"""Files of pictures to compare with, beside the first of LEARNED."""
MOST = 1000
"""Pictures: of longer recordings, every second, third, ... moment."""
RATE = 25.0
"""Moments a second; the layout does not tell."""
SKULL = 1
"""FLAME's joint that the skull follows."""
TRUSTED = 0.5
"""Trust in a counterpart on FLAME's surface from which a vertex of the default head tells of it."""
BATCH = 64
"""Moments at once."""
PARAMETERS = "the files of FLAME's parameters"
LOOKING = np.array([name.startswith("eyeLook") for name in ARKIT_NAMES])
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading a file raises that does not hold what it should."""


class Taken(NamedTuple):
    """A picture.

    Attributes:
        picture, mask: files; without a mask, the picture's transparency tells the person, or else its colours.
        parameters: file of FLAME's at that moment.
        timestep: number of the moment.
        told: what transforms.json says of the camera.
        held_out: whether it is not to be learned from.
    """

    picture: Path
    mask: Path | None
    parameters: Path
    timestep: int
    told: dict[str, Any]
    held_out: bool


@dataclass(frozen=True)
class Recording:
    """What a folder's files list.

    Attributes:
        files: that were read.
        cameras: the pictures of each, in the order of time; first the camera, among those with pictures to learn from,
            that sees the face most from the front.
    """

    files: tuple[Path, ...]
    cameras: tuple[tuple[Taken, ...], ...]

    @classmethod
    def of(cls, folder: Path) -> Recording:
        """Read a folder's transforms_train.json, _val.json and _test.json, or its transforms.json.

        Raises:
            Face3DError: there is none, or one that is damaged, or names what is not in the folder.
        """
        learned = next((folder / name for name in LEARNED if (folder / name).is_file()), None)
        if learned is None:
            raise Face3DError(f"{folder} holds no {' or '.join(LEARNED)}, which would list pictures and cameras.")
        others = [folder / name for name in HELD_OUT if learned.name == LEARNED[0] and (folder / name).is_file()]
        by_camera: dict[int, list[Taken]] = defaultdict(list)
        for file in (learned, *others):
            for camera, taken in _listed(file, file is not learned):
                by_camera[camera].append(taken)
        total = sum(map(len, by_camera.values()))
        if not any(not taken.held_out for each in by_camera.values() for taken in each):
            raise Face3DError(f"{learned} lists no picture.")
        moments = sorted({taken.timestep for each in by_camera.values() for taken in each})
        kept = set(moments[:: -(-total // MOST)])
        cameras = [_in_time(number, each, kept) for number, each in sorted(by_camera.items())]
        return cls((learned, *others), tuple(_first_from_the_front([each for each in cameras if each])))

    @property
    def split(self) -> bool:
        """Whether it says which pictures are not to be learned from."""
        return len(self.files) > 1

    @property
    def learned(self) -> int:
        """How many pictures are to be learned from."""
        return sum(map(len, self.cameras)) - len(self.held_out)

    @property
    def held_out(self) -> Int[np.ndarray, " some"]:
        """Numbers of those pictures, counted through all cameras."""
        return np.flatnonzero([taken.held_out for each in self.cameras for taken in each])


def known_flame() -> Flame:
    """The FLAME model that was added, the one called `flame` if there are several.

    Raises:
        Face3DError: there is none.
    """
    for name in sorted(catalogue.names(), key=lambda name: name != "flame"):
        if name != DEFAULT and isinstance(model := catalogue.load(name), Flame):
            return model
    raise Face3DError("The folder tells of heads by FLAME: first add your copy, `face3d models add generic_model.pkl`.")


def captured(recording: Recording, flame: Flame, size: int, progress: Progress | None = None) -> list[Capture]:
    """A capture for each camera, all of one head.

    Args:
        size: pixels of the longer side of the frames kept, which show the head and what is near it.
        progress: told of a stage's name, pictures done, of how many.

    Raises:
        Face3DError: a file is missing or damaged, a camera changes its lens, or does not show the head.
        ValueError: a file of parameters does not hold FLAME's.
    """
    tell = progress or (lambda stage, done, total: None)
    tell("carrying the head from FLAME", 0, 1)
    cameras = [_cameras(each) for each in recording.cameras]
    paths = sorted({taken.parameters for each in recording.cameras for taken in each})
    moments = _Moments.read(paths, flame)
    person = _Person.of(flame, moments)
    weights, skulls = _weights(flame, person, moments), _skulls(flame, person, moments)
    tell("carrying the head from FLAME", 1, 1)
    rows = {path: row for row, path in enumerate(paths)}
    moments_of = [[rows[taken.parameters] for taken in each] for each in recording.cameras]
    motions = [_seen_by(seen, [skulls[row] for row in which]) for seen, which in zip(cameras, moments_of, strict=True)]
    first = zip(recording.cameras[0], motions[0], strict=True)
    upright = _upright([skull for taken, skull in first if not taken.held_out], person.head)
    found: list[Capture] = []
    total = sum(map(len, recording.cameras))
    for each, seen, which, motion in zip(recording.cameras, cameras, moments_of, motions, strict=True):
        times = np.array([taken.timestep for taken in each]) / RATE
        performance = _performance(times, weights[which], [upright.after(skull) for skull in motion], person.head)
        told = partial(_counted, tell, sum(map(len, found)), total)
        found.append(_filmed(each, camera_in(seen[0], upright), person.head, performance, size, told))
    return found


def _counted(progress: Progress, before: int, total: int, done: int) -> None:
    progress("reading the pictures", before + done, total)


class _Moments(NamedTuple):
    """FLAME's parameters: of the person, and of each moment. Metres, radians; FLAME's order of joints."""

    shape: Float[np.ndarray, " shape"]
    offset: Float[np.ndarray, "vertex 3"]
    expression: Float[np.ndarray, "moment native"]
    pose: Float[np.ndarray, "moment 5 3"]
    translation: Float[np.ndarray, "moment 3"]

    @classmethod
    def read(cls, paths: Sequence[Path], flame: Flame) -> _Moments:
        first = _parameters(paths[0])
        count = len(flame.mean)
        offset = np.zeros((count, 3))
        if "static_offset" in first:
            told = checking.numbers(first, "static_offset", (None,), paths[0].name).reshape(-1, 3)
            if len(told) < count:
                raise Face3DError(
                    f"{paths[0].name} moves {len(told):,} vertices, and {flame.name} has {count:,}: "
                    "it was made with another model."
                )
            offset = told[:count]  # further vertices are teeth that GaussianAvatars adds
        rows = [_row(_parameters(path), len(flame.native_expression_basis), path.name) for path in paths]
        shape = _leading(first, "shape", flame.identities, paths[0].name)
        return cls(shape, offset, *map(np.stack, zip(*rows, strict=True)))


class _Person(NamedTuple):
    """The default head of the person.

    Attributes:
        head: the default head.
        place: takes FLAME's rest, in the frame of `Flame.mean`, onto it.
        feet: where the default head's vertices lie on FLAME's surface.
        trusted: vertices for which that is known.
    """

    head: Head
    place: Similarity
    feet: Transfer
    trusted: Bool[np.ndarray, " vertex"]

    @classmethod
    def of(cls, flame: Flame, moments: _Moments) -> _Person:
        default = morphable.load()
        identity = torch.as_tensor(moments.shape).float()[None]
        with torch.no_grad():
            neutral = flame.neutral(identity)[0].double().numpy() + moments.offset
            joints = flame.joints(identity)[0].numpy()
        checking.plausible_head(neutral, PARAMETERS)
        still = np.zeros((len(ARKIT_NAMES), *neutral.shape), np.float32)
        own = Head(flame.name, identity[0].numpy(), neutral.astype(np.float32), still, joints, {})
        head = convert(own, DEFAULT).head
        lying = Surface(default_on(flame), default.triangles.long().numpy())
        feet = Transfer.between(Surface(flame.mean.double().numpy(), flame.triangles.long().numpy()), lying)
        trusted = feet.trust > TRUSTED
        skin = default.parts["head"].vertices
        trusted[: skin.start], trusted[skin.stop :] = False, False
        place = aligning(feet.moved_feet(neutral)[trusted], head.neutral[trusted].astype(float))
        return cls(head, place, feet, trusted)


def _listed(file: Path, held_out: bool) -> Iterable[tuple[int, Taken]]:
    """The camera's number and the picture, of each entry of a file."""
    try:
        told = json.loads(file.read_text())
        frames = told.pop("frames")
        return [_taken(file.parent, told | frame, held_out) for frame in frames]
    except Face3DError:
        raise
    except (*UNREADABLE, OSError) as error:
        raise Face3DError(f"{file} does not list pictures, cameras and FLAME's parameters ({error!r}).") from error


def _taken(folder: Path, told: dict[str, Any], held_out: bool) -> tuple[int, Taken]:
    told_camera(told, 1, 1)
    mask = told.get("fg_mask_path")
    files = _at_hand(folder, told["file_path"]), _at_hand(folder, told["flame_param_path"])
    covered = None if mask is None else _at_hand(folder, mask)
    taken = Taken(files[0], covered, files[1], int(told["timestep_index"]), told, held_out)
    return int(told.get("camera_index", 0)), taken


def _at_hand(folder: Path, told: str) -> Path:
    """A file of the folder, or of one beside it: folders that unite several recordings name theirs so.

    Raises:
        Face3DError: the path leads elsewhere, or there is no such file.
    """
    path = (folder / told).resolve()
    if not path.is_relative_to(folder.resolve().parent):
        raise Face3DError(f"{told} leads away from {folder}; only files in it and in folders beside it are read.")
    if not path.is_file():
        raise Face3DError(f"{path} is missing.")
    return path


def _in_time(number: int, pictures: list[Taken], kept: set[int]) -> tuple[Taken, ...]:
    """A camera's pictures of some moments."""
    times = [taken.timestep for taken in pictures]
    if len(set(times)) < len(times):
        raise Face3DError(f"Camera {number} has several pictures of one moment (`timestep_index`).")
    chosen = [taken for taken in pictures if taken.timestep in kept]
    return tuple(sorted(chosen, key=lambda taken: taken.timestep))


def _first_from_the_front(cameras: list[tuple[Taken, ...]]) -> list[tuple[Taken, ...]]:
    def facing(pictures: tuple[Taken, ...]) -> float:
        """Cosine between the way the face looks and the way to the camera, in the first picture to learn from."""
        taken = next((taken for taken in pictures if not taken.held_out), None)
        if taken is None:
            return -np.inf
        _, pose, translation = _row(_parameters(taken.parameters), None, taken.parameters.name)
        ahead = _rotations(pose[0]) @ _rotations(pose[1])[:, 2]
        way = told_camera(taken.told, 1, 1).position.numpy() - translation
        return float(ahead @ way / max(np.linalg.norm(way), 1e-9))

    front = max(range(len(cameras)), key=lambda index: facing(cameras[index]))
    return [cameras[front], *cameras[:front], *cameras[front + 1 :]]


def _parameters(path: Path) -> dict[str, Any]:
    """What a file of parameters holds, each as a row.

    Raises:
        Face3DError: there is no such file.
        ValueError: it is damaged.
    """
    try:
        return {name: np.ravel(value) for name, value in read_npz(path).items()}
    except OSError as error:
        raise Face3DError(f"{path} is missing or cannot be read.") from error


def _row(held: dict[str, Any], components: int | None, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expression, pose of FLAME's joints, translation."""
    turns = [checking.numbers(held, joint, (3,), name) for joint in ("rotation", "neck_pose", "jaw_pose")]
    eyes = checking.numbers(held, "eyes_pose", (6,), name).reshape(2, 3)
    expression = np.zeros(0) if components is None else _leading(held, "expr", components, name)
    return expression, np.concatenate([turns, eyes]), checking.numbers(held, "translation", (3,), name)


def _leading(held: dict[str, Any], key: str, count: int, name: str) -> Float[np.ndarray, " count"]:
    """The first coefficients are told, the others 0."""
    told = checking.numbers(held, key, (None,), name)
    if len(told) > count:
        raise Face3DError(f"`{key}` in {name} has {len(told)} numbers, and the FLAME model has {count}.")
    return np.concatenate([told, np.zeros(count - len(told))])


def _weights(flame: Flame, person: _Person, moments: _Moments) -> Float[np.ndarray, "moment 52"]:
    """Of the default head's shapes: those of looking as the eyeballs turn, the others as the skin moves."""
    shapes = person.head.expressions[:, person.trusted].astype(float)
    weights = gaze_weights(moments.pose[:, 3:] @ person.place.rotation.T)
    still = np.zeros_like(moments.pose)
    still[:, JAW] = moments.pose[:, JAW]
    rest, _ = _native(flame, moments.shape, np.zeros_like(moments.expression[:1]), np.zeros((1, 5, 3)))
    for start in range(0, len(weights), BATCH):
        part = slice(start, start + BATCH)
        moved, _ = _native(flame, moments.shape, moments.expression[part], still[part])
        for each in moved:
            checking.plausible_head(each, PARAMETERS)
        goals = np.stack([person.feet.moved_feet(each)[person.trusted] for each in moved - rest])
        goals = goals @ person.place.rotation.T - np.tensordot(weights[part], shapes, 1)
        weights[part, ~LOOKING] = weights_that_do(goals, shapes[~LOOKING])
    return weights


def _skulls(flame: Flame, person: _Person, moments: _Moments) -> list[Similarity]:
    """Where the default head's skull is, from its rest to the world of the cameras.

    FLAME's skull turns about FLAME's joint of the neck, as root and neck turn together. (By how little `static_offset`
    moves the joint is left out.)
    """
    rest, joints = (_joints(flame, moments, pose) for pose in (np.zeros_like(moments.pose), moments.pose))
    turns = _rotations(moments.pose[:, 0]) @ _rotations(moments.pose[:, SKULL])
    places = joints[:, SKULL] + moments.translation
    starts = rest[:, SKULL] - flame.origin.double().numpy()
    from_head = person.place.inverse()
    return [
        Similarity(1.0, turn, place - turn @ start).after(from_head)
        for turn, place, start in zip(turns, places, starts, strict=True)
    ]


def _joints(flame: Flame, moments: _Moments, pose: Float[np.ndarray, "moment 5 3"]) -> Float[np.ndarray, "moment 5 3"]:
    parts = [slice(start, start + BATCH) for start in range(0, len(pose), BATCH)]
    return np.concatenate([_native(flame, moments.shape, moments.expression[part], pose[part])[1] for part in parts])


def _native(
    flame: Flame, shape: np.ndarray, expression: np.ndarray, pose: np.ndarray
) -> tuple[Float[np.ndarray, "moment vertex 3"], Float[np.ndarray, "moment 5 3"]]:
    """FLAME's vertices and joints, metres in its own frame."""
    one = np.tile(shape, (len(pose), 1))
    with torch.no_grad():
        vertices, joints = flame.native(*(torch.as_tensor(each).float() for each in (one, expression, pose)))
    return vertices.double().numpy(), joints.double().numpy()


def _cameras(pictures: Sequence[Taken]) -> list[Camera]:
    """Of one camera's pictures, which may move but not zoom."""
    cameras = [told_camera(taken.told, *_size(taken.picture)) for taken in pictures]
    first = cameras[0]
    for taken, camera in zip(pictures, cameras, strict=True):
        lens = (camera.focal, first.focal), (camera.principal, first.principal)
        if camera.resolution != first.resolution or not all(torch.allclose(*each) for each in lens):
            raise Face3DError(f"{taken.picture.name} has another size or lens than its camera's first picture.")
    return cameras


def _seen_by(cameras: Sequence[Camera], skulls: Sequence[Similarity]) -> list[Similarity]:
    """Skulls in the world of a camera that stands still at the first place, as if they had moved in its place."""
    back = _extrinsics(cameras[0]).inverse()
    return [back.after(_extrinsics(camera)).after(skull) for camera, skull in zip(cameras, skulls, strict=True)]


def _size(path: Path) -> tuple[int, int]:
    """Of a picture, width and height."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise Face3DError(f"{path} is missing or no picture.") from error


def _filmed(
    pictures: Sequence[Taken],
    camera: Camera,
    head: Head,
    performance: Performance,
    size: int,
    progress: Callable[[int], None],
) -> Capture:
    """What one camera saw, cut to the head and what is near it."""
    vertices = posed(head, performance)
    if not _sees(camera, vertices):
        raise Face3DError(
            f"The head is not in the camera's sight in {pictures[0].picture.name} and what it took later."
        )
    near, edges = framed(camera, vertices, size)
    height, width = near.resolution
    frames = np.empty((len(pictures), height, width, 3), np.uint8)
    masks = np.empty((len(pictures), height, width), np.uint8)
    for index, taken in enumerate(pictures):
        picture = opened(taken.picture)
        frames[index] = _cut(picture.convert("RGB"), edges, near)
        if taken.mask is not None:
            masks[index] = _cut(opened(taken.mask).convert("L").resize(picture.size), edges, near)
        elif "A" in picture.getbands():
            masks[index] = _cut(picture.getchannel("A"), edges, near)
        else:
            shape = silhouette(head, vertices[index], near)
            matte = person_matte(frames[index], shape.head, shape.chin, shape.breadth)
            masks[index] = (matte * 255 + 0.5).astype(np.uint8)
        progress(index + 1)
    return Capture(frames, masks, still_background(frames, masks), near, head, performance)


def _sees(camera: Camera, vertices: Float[torch.Tensor, "frame vertex 3"]) -> bool:
    """Whether all vertices are before a camera, and some in its picture."""
    height, width = camera.resolution
    places = camera.project(vertices.flatten(0, 1))
    inside = (places > 0).all(1) & (places < torch.tensor([width, height])).all(1)
    return bool((camera.view(vertices.flatten(0, 1))[:, 2] > camera.near).all() and inside.any())


def _cut(picture: Image.Image, edges: tuple[int, int, int, int], camera: Camera) -> np.ndarray:
    """The part within the edges, as large as the camera sees it."""
    height, width = camera.resolution
    resized: np.ndarray = cv2.resize(np.array(picture.crop(edges)), (width, height), interpolation=cv2.INTER_AREA)
    return resized


def _extrinsics(camera: Camera) -> Similarity:
    return Similarity(1.0, camera.rotation.double().numpy(), camera.translation.double().numpy())


def _upright(skulls: Sequence[Similarity], head: Head) -> Similarity:
    """Takes the world to one in which the head is mostly at rest."""
    turn = roma.special_procrustes(torch.as_tensor(np.mean([skull.rotation for skull in skulls], 0))).numpy().T
    joint = head.joints[HEAD].astype(float)
    return Similarity(1.0, turn, joint - np.median([turn @ skull(joint) for skull in skulls], 0))


def _performance(
    times: Float[np.ndarray, " frame"], weights: np.ndarray, skulls: Sequence[Similarity], head: Head
) -> Performance:
    joint = head.joints[HEAD].astype(float)
    turns = roma.rotmat_to_rotvec(torch.as_tensor(np.stack([skull.rotation for skull in skulls]))).numpy()
    places = np.stack([skull(joint) - joint for skull in skulls])
    return Performance.of(times, weights, head=turns, translation=places, gaze=gaze_of(weights))


def _rotations(turns: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    matrices: np.ndarray = roma.rotvec_to_rotmat(torch.as_tensor(turns)).numpy()
    return matrices
