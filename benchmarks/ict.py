"""Heads of ICT-FaceKit, which nobody here fitted to: where their data is, how they look."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

import morphable
from face3d.evaluation.alignment import refined
from face3d.registration.alignment import Similarity, aligning
from face3d.synth.occluders import occluder
from morphable import ARKIT_NAMES, Performance, on_surface
from renderers import Camera, DirectionalLight, EnvironmentLight, Light, linear_to_srgb, rasterize, render_mesh

DATA = Path(os.environ.get("FACE3D_ICT", Path(__file__).parents[2] / "shared/data/ict_facekit.npz"))
FACE, NARROW, HEAD = 9409, 6706, 11248
"""Vertex counts: the face with ears and neck, without them, and the whole head."""
EYEBALLS = ((21451, 22221), (23021, 23791))
TEETH = (17039, 21451)
NOW7 = (36, 39, 42, 45, 33, 48, 54)
"""NoW's seven landmarks among the 68."""
IRIS = 0.0059
SKINS = ((0.82, 0.60, 0.48), (0.70, 0.46, 0.35), (0.52, 0.32, 0.22), (0.30, 0.17, 0.11))
SIZE, FILM = 640, 480
"""Pixels a side of a photo, of a film."""
COVERED, MOST_TRIES = (0.28, 0.4), 2000
"""Part of the face that something hides; things tried to find one that does."""
NECK = np.array([0.0, -0.05, -0.02])
"""About which heads turn in films, metres, in the default head's axes."""


@dataclass(frozen=True)
class IctHead:
    """Metres, y up, facing +z."""

    neutral: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    """Of the whole head's skin."""
    landmarks: Float[np.ndarray, "7 3"]
    interpupillary: float
    photos: list[tuple[np.ndarray, float]]
    """sRGB pixels and the focal length in pixels."""


def head(seed: int, yaws: list[float], covered: bool = False) -> IctHead:
    """A random head with a random expression, photographed from each of the directions (radians); if `covered`, the
    same photos with a hand or a thing before a third of the face."""
    stored = np.load(DATA)
    random = np.random.default_rng([2026, seed])
    neutral = stored["v"] / 100.0 + np.tensordot(random.normal(size=100), stored["identity"] / 100.0, 1)
    some = random.choice(len(stored["expr"]), 6, replace=False)
    posed = neutral + np.tensordot(random.uniform(0.1, 0.6, 6), stored["expr"][some] / 100.0, 1)
    colours = _colours(neutral, neutral[stored["lmk68"]], random)
    skin = stored["f"][(stored["f"] < HEAD).all(1)]
    shown = stored["f"][(stored["f"] < 24591).all(1)]
    things = np.random.default_rng([2028, seed]) if covered else None
    photos = [_photo(posed, shown, colours, yaw, random, things) for yaw in yaws]
    balls = [(neutral[a:b].max(0) + neutral[a:b].min(0)) / 2 for a, b in EYEBALLS]
    landmarks = neutral[stored["lmk68"]][list(NOW7)]
    return IctHead(neutral[:HEAD], skin, landmarks, float(np.linalg.norm(balls[0] - balls[1])), photos)


def film(seed: int, performance: Performance) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """A random head that plays a performance before a camera straight in front, 0.5 to 1 m away, frame by frame.

    Shapes are ICT-FaceKit's of the same names. The head's axes are the default head's: the two models' mean faces lie
    over each other.
    """
    stored = np.load(DATA)
    random = np.random.default_rng([2027, seed])
    neutral = stored["v"] / 100.0 + np.tensordot(random.normal(size=100), stored["identity"] / 100.0, 1)
    colours = _colours(neutral, neutral[stored["lmk68"]], random)
    weights = np.stack([performance.weights[:, ARKIT_NAMES.index(name)] for name in _played(stored["names"])], 1)
    offsets = stored["expr"][[index is not None for index in map(_arkit, stored["names"])]] / 100.0
    place = _default_axes(stored)
    shown = torch.tensor(stored["f"][(stored["f"] < 24591).all(1)].astype(np.int32))
    distance = random.uniform(0.5, 1.0)
    middle = place(neutral[:FACE]).mean(0)
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    away = -flip @ torch.tensor(middle + [0, 0, distance]).float()
    focal = float(FILM * 0.5 * distance / 0.15)
    camera = Camera(torch.full((2,), focal), torch.full((2,), FILM / 2), flip, away, (FILM, FILM))
    lights, background = _lights(random), float(random.uniform(0.02, 0.5))
    turns = roma.rotvec_to_rotmat(torch.as_tensor(performance.head, dtype=torch.float64)).numpy()
    exposure = 0.0
    for weight, turn, move in zip(weights, turns, performance.translation, strict=True):
        posed = place(neutral + np.tensordot(weight, offsets, 1))
        vertices = torch.tensor((posed - NECK) @ turn.T + NECK + move, dtype=torch.float32)
        picture = render_mesh(camera, vertices[None], shown, colour=colours, lights=lights, background=background)
        colour = picture.colour[0]
        exposure = exposure or 0.5 / float(colour.mean(-1).quantile(0.9))
        noisy = linear_to_srgb((exposure * colour).clamp(0, 1)).numpy() + random.normal(0, 0.015, colour.shape)
        yield (255 * noisy.clip(0, 1)).astype(np.uint8)


def _arkit(name: str) -> str | None:
    """ARKit's name of an expression of ICT-FaceKit, whose pairs ARKit does not always part."""
    whole = re.sub("_[LR]$", "", name)
    sided = re.sub("_L$", "Left", re.sub("_R$", "Right", name))
    return next((found for found in (sided, whole) if found in ARKIT_NAMES), None)


def _played(names: Iterable[str]) -> list[str]:
    return [found for name in names if (found := _arkit(name)) is not None]


def _default_axes(stored: Mapping[str, np.ndarray]) -> Similarity:
    """The motion that lays ICT-FaceKit's mean face over the default head's."""
    model = morphable.load()
    mean = stored["v"].astype(np.float64) / 100.0
    landmarks = on_surface(model.landmarks["now7"], model.mean, model.triangles).double().numpy()
    skin = model.parts["head"]
    mesh = model.mean[skin.vertices].double().numpy(), model.triangles[skin.triangles].long().numpy()
    start = aligning(landmarks, mean[stored["lmk68"]][list(NOW7)])
    return refined(start, mean[:NARROW], *mesh, scaled=False).inverse()


def _colours(neutral: np.ndarray, marks: np.ndarray, random: np.random.Generator) -> Float[Tensor, "vertex 3"]:
    """Linear: skin with blotches, lips, brows, irises, teeth."""
    skin = np.array(SKINS[random.integers(len(SKINS))]) ** 1.3
    colours = np.tile(skin, (len(neutral), 1))
    waves = random.normal(size=(8, 3)) / 0.02
    colours *= 1 + 0.05 * np.sin(neutral @ waves.T + random.uniform(0, 6, 8)).mean(1, keepdims=True)

    def near(points: np.ndarray, reach: float) -> np.ndarray:
        line = np.concatenate([points[:-1] + share * np.diff(points, axis=0) for share in np.linspace(0, 1, 8)])
        distance = np.linalg.norm(neutral[:FACE, None, :2] - line[None, :, :2], axis=2).min(1)
        return np.clip(1.4 - distance / reach, 0, 0.9)[:, None]

    hair = random.uniform(0.02, 0.3) * np.array([1.0, 0.8, 0.65])
    for start, stop in ((17, 22), (22, 27)):
        cover = near(marks[start:stop], 0.004)
        colours[:FACE] += cover * (hair - colours[:FACE])
    middle, outer = marks[60:68].mean(0), marks[48:60]
    extent = np.abs(outer - middle).max(0)
    inside = ((neutral[:FACE, :2] - middle[:2]) / extent[:2]) ** 2
    lips = np.clip(3 * (1 - inside.sum(1)), 0, 0.9)[:, None] * (np.abs(neutral[:FACE, 2:] - middle[2]) < 0.03)
    colours[:FACE] *= 1 - lips * np.array([0.15, 0.45, 0.4])
    iris = random.uniform(0.03, 0.15, 3)
    for start, stop in EYEBALLS:
        ball = neutral[start:stop]
        centre = (ball.max(0) + ball.min(0)) / 2
        aside = np.linalg.norm((ball - centre)[:, :2], axis=1)
        ahead = ball[:, 2] > centre[2]
        colours[start:stop] = (0.75, 0.72, 0.7)
        colours[start:stop][ahead & (aside < IRIS)] = iris
        colours[start:stop][ahead & (aside < 0.0022)] = 0.01
    colours[TEETH[0] : TEETH[1]] = (0.7, 0.62, 0.5)
    return torch.tensor(colours, dtype=torch.float32)


def _photo(
    posed: np.ndarray,
    triangles: np.ndarray,
    colours: Tensor,
    yaw: float,
    random: np.random.Generator,
    things: np.random.Generator | None,
) -> tuple[np.ndarray, float]:
    vertices = torch.tensor(posed, dtype=torch.float32)
    distance = random.uniform(0.45, 1.1)
    turn, nod = yaw + random.uniform(-0.08, 0.08), random.uniform(-0.15, 0.15)
    cosine, sine, up, down = np.cos(turn), np.sin(turn), np.cos(nod), np.sin(nod)
    about_y = torch.tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    about_x = torch.tensor([[1, 0, 0], [0, up, -down], [0, down, up]])
    rotation = (torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)) @ about_x @ about_y).float()
    focal = SIZE * 0.62 * distance / 0.23
    away = torch.tensor([0.0, 0.0, distance]) - rotation @ vertices[:FACE].mean(0)
    camera = Camera(torch.full((2,), float(focal)), torch.full((2,), SIZE / 2), rotation, away, (SIZE, SIZE))
    lights = _lights(random)
    mesh = vertices, torch.tensor(triangles.astype(np.int32)), colours
    if things is not None:
        mesh = _covered(*mesh, camera, things)
    picture = render_mesh(
        camera,
        mesh[0][None],
        mesh[1],
        colour=mesh[2],
        lights=lights,
        background=float(random.uniform(0.02, 0.5)),
        supersample=2,
    ).colour[0]
    exposure = 0.5 / float(picture.mean(-1).quantile(0.9))
    noisy = linear_to_srgb((exposure * picture).clamp(0, 1)).numpy() + random.normal(0, 0.01, picture.shape)
    return (255 * noisy.clip(0, 1)).astype(np.uint8), float(focal)


def _covered(
    vertices: Tensor, triangles: Tensor, colours: Tensor, camera: Camera, random: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The mesh with something before the camera that hides COVERED of what is seen of the face."""
    coarse = camera.scaled(0.2)
    skin = colours[:FACE].median(0).values.numpy()
    facing = vertices[:NARROW][vertices[:NARROW, 2] > vertices[:NARROW, 2].median()].numpy()
    alone = _face_pixels(coarse, vertices, triangles)
    for _ in range(MOST_TRIES):
        piece = occluder(random, random.choice(facing, 468), camera.position.numpy(), skin)
        together = torch.cat([vertices, torch.from_numpy(piece.vertices)])
        both = torch.cat([triangles, torch.from_numpy(piece.triangles.astype(np.int32)) + len(vertices)])
        if COVERED[0] < 1 - _face_pixels(coarse, together, both) / alone < COVERED[1]:
            return together, both, torch.cat([colours, torch.from_numpy(piece.colour)])
    raise RuntimeError(f"no occluder of {MOST_TRIES} hides a third of the face")


def _face_pixels(camera: Camera, vertices: Tensor, triangles: Tensor) -> int:
    first = rasterize(camera.clip(vertices[None]), triangles, camera.resolution).triangle[0]
    return int(((first >= 0) & (triangles[first.clamp(min=0).long()] < NARROW).all(-1)).sum())


def _lights(random: np.random.Generator) -> list[Light]:
    sky = torch.zeros(9, 3)
    sky[0] = 1.2
    lamps = [
        DirectionalLight(
            -torch.tensor(random.normal([0, 0.5, 1.4], 0.6), dtype=torch.float32),
            torch.full((3,), float(random.uniform(0.3, 0.9))),
        )
        for _ in range(2)
    ]
    return [EnvironmentLight(sky), *lamps]
