"""Heads of the default model as a photographer might meet them, and what the detector sees of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from avatars.painting import Paint, draw_head, paint, to_srgb8
from face3d.perception import FaceObservation, MediaPipeDetector
from morphable import MorphableModel, on_surface
from morphable.appearance import default_textures
from morphable.population import Population
from renderers import Camera, DirectionalLight, EnvironmentLight, Light

SIZE = 384
"""Pixels a side of a picture."""
TEXELS = 512
FACE_SHARE = 0.55
"""Of a picture's height, the distance from the brow to the chin and a little more."""
SKINS = ((0.65, 0.42, 0.32), (0.52, 0.32, 0.23), (0.36, 0.2, 0.14), (0.18, 0.09, 0.06), (0.72, 0.5, 0.42))
IRISES = ((0.07, 0.04, 0.02), (0.1, 0.14, 0.18), (0.07, 0.1, 0.05))


@dataclass(frozen=True)
class Sighting:
    """One picture of one head, and what the detector makes of it."""

    identity: Float[np.ndarray, " identity"]
    observation: FaceObservation
    rotation: Float[np.ndarray, "3 3"]
    """World to camera."""


def sightings(
    model: MorphableModel, detector: MediaPipeDetector, heads: range, views: int, seed: int
) -> Iterator[Sighting]:
    """`views` pictures of each head; those on which no face is found are left out. Each head is its own random draw."""
    people = Population.load()
    factor = people.factor(model)
    for head in heads:
        random = np.random.default_rng([seed, head])
        identity = (people.mean + factor @ torch.as_tensor(random.normal(size=model.identities))).float()[None]
        painted = paint(model, colours(model, random), TEXELS)
        weights = torch.tensor(np.stack([_expression(random) for _ in range(views)]), dtype=torch.float32)
        with torch.no_grad():
            neutral, joints = model.neutral(identity), model.joints(identity)
            faces = neutral + model.shape_offsets(neutral, joints, weights[None])[0]
        for vertices in faces:
            points = on_surface(model.landmarks["mediapipe"], vertices, model.triangles)
            camera = _camera(points, random)
            observation = _observed(model, detector, vertices, points, camera, painted, random)
            if observation is not None:
                yield Sighting(identity[0].numpy(), observation, camera.rotation.numpy())


def _observed(
    model: MorphableModel,
    detector: MediaPipeDetector,
    vertices: Float[Tensor, "vertex 3"],
    points: Float[Tensor, "landmark 3"],
    camera: Camera,
    painted: Paint,
    random: np.random.Generator,
) -> FaceObservation | None:
    lamps, behind = lights(random), background(random)
    picture = draw_head(camera, vertices, model, painted, lights=lamps, background=behind, supersample=2)
    pixels = gaussian_filter(to_srgb8(picture.colour)[0].astype(float), (*[random.uniform(0, 1.2)] * 2, 0))
    pixels += random.normal(0, random.uniform(0, 6), pixels.shape)
    place = camera.project(points)[..., :2].numpy()
    box = (*place.min(0).tolist(), *place.max(0).tolist())
    return detector.measure(pixels.clip(0, 255).astype(np.uint8), box)


def _camera(points: Float[Tensor, "landmark 3"], random: np.random.Generator) -> Camera:
    """Before the face, up to a profile, at the distance of a selfie or of a portrait."""
    distance = random.uniform(0.4, 1.5)
    yaw, pitch, roll = random.uniform(-1.15, 1.15), random.normal(0, 0.15), random.normal(0, 0.1)
    upright = roma.euler_to_rotvec("yxz", torch.tensor([yaw, pitch, roll], dtype=torch.float32))
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotation = flip @ roma.rotvec_to_rotmat(upright)
    middle = points.mean(0)
    translation = torch.tensor([0.0, 0.0, distance]) - rotation @ middle
    focal = torch.full((2,), SIZE * FACE_SHARE * distance / 0.15)
    shift = torch.tensor(random.uniform(-0.06, 0.06, 2) * SIZE, dtype=torch.float32)
    principal = torch.full((2,), SIZE / 2) + shift
    return Camera(focal, principal, rotation, translation, (SIZE, SIZE))


def colours(model: MorphableModel, random: np.random.Generator) -> dict:
    skin = np.array(SKINS[random.integers(len(SKINS))]) * random.uniform(0.8, 1.2, 3)
    lips = skin * np.array([0.9, 0.6, 0.62]) * random.uniform(0.75, 1.15)
    brows = skin * random.uniform(0.1, 0.75)
    iris = IRISES[random.integers(len(IRISES))]
    return default_textures(
        model,
        skin_colour=tuple(skin.clip(0.02, 0.9)),
        lip_colour=tuple(lips.clip(0.02, 0.9)),
        brow_colour=tuple(brows),
        iris_colour=iris,
        resolution=TEXELS,
    )


def _expression(random: np.random.Generator) -> Float[np.ndarray, "52"]:
    """A third neutral, the others some shapes each a little."""
    weights = np.zeros(52)
    if random.uniform() > 0.33:
        some = random.choice(52, random.integers(2, 8), replace=False)
        weights[some] = random.uniform(0.05, 0.6, len(some))
    return weights


def lights(random: np.random.Generator) -> list[Light]:
    ambient = torch.zeros(9, 3)
    ambient[0] = float(random.uniform(0.5, 2.5))
    ambient[1:4] = torch.tensor(random.normal(0, 0.25, (3, 1)), dtype=torch.float32) * ambient[0, 0]
    lamps: list[Light] = [EnvironmentLight(ambient)]
    for _ in range(random.integers(0, 4)):
        towards = torch.tensor([random.normal(0, 0.9), random.normal(0.4, 0.6), 1 + abs(random.normal(0, 0.5))])
        colour = torch.tensor(random.uniform(0.2, 1.0) * (1 + 0.06 * random.normal(size=3)))
        lamps.append(DirectionalLight(-towards.float(), colour.float()))
    return lamps


def background(random: np.random.Generator) -> Float[Tensor, "fine fine 3"]:
    coarse = torch.tensor(random.uniform(0.02, 0.6, (1, 3, *([random.integers(2, 12)] * 2))), dtype=torch.float32)
    blend = torch.nn.functional.interpolate(coarse, (2 * SIZE, 2 * SIZE), mode="bicubic").clamp(0, 1)
    return blend[0].permute(1, 2, 0)
