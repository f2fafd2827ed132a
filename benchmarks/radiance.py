"""Radiance fields: the surface of a drawn head from twelve views with known cameras; and an avatar of a filmed
clip, as benchmarks/filmed.py says."""

import time
from collections.abc import Iterator

import numpy as np
import torch
import trimesh
from jaxtyping import Float

import morphable
from avatars.mesh_performer import MeshPerformer
from avatars.painting import studio_lights
from avatars.radiance.surface import Views, surface_of
from face3d.registration import outer_triangles
from morphable import Head, Performance
from morphable.surface import Surface
from renderers import Camera

from .filmed import filmed
from .timing import figure
from .tracking import unknown_head

SIZE = 160
YAWS, PITCHES = np.linspace(-1.7, 1.7, 6), (-0.25, 0.3)
SHIFT = 0.2
"""Radians by which the upper views lie between the lower ones."""
AT, AWAY, FIELD_OF_VIEW = (0.0, -0.02, 0.0), 0.9, 0.36
HIDDEN = ("inner_mouth", "eye_socket", "nostrils")
NECK = -0.1
"""Metres: below it nothing is compared."""
SURFACE_LIMIT, FILMED_LIMIT, MINUTES_LIMIT = 1.0, 25.0, 30.0


def figures() -> Iterator[dict]:
    head, model = unknown_head(0), morphable.load()
    triangles = model.triangles.long().numpy()
    started = time.process_time()
    found = surface_of(turntable(head, SIZE), model.mean.double().numpy(), triangles)
    used = time.process_time() - started
    points = outside(head)
    start, off = (
        1000 * float(np.median(surface.closest(points).distances))
        for surface in (Surface(model.mean.double().numpy(), triangles), Surface(found.vertices, found.triangles))
    )
    yield figure("views_average_head", start, "mm median")
    yield figure("views_surface", off, "mm median", "limit", SURFACE_LIMIT)
    yield figure("views_processor", used / 60, "minutes of one core")
    yield from filmed("radiance", "radiance", psnr=FILMED_LIMIT, minutes=MINUTES_LIMIT)


def turntable(head: Head, size: int) -> Views:
    """Twelve drawn pictures from around a head, in its own frame."""
    performer, rest = MeshPerformer(head, 1024), Performance.of(np.zeros(1), np.zeros((1, 52)))
    target = torch.tensor(AT)
    pictures, masks, cameras = [], [], []
    for row, pitch in enumerate(PITCHES):
        for yaw in YAWS + row * SHIFT:
            ahead = [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
            eye = target + AWAY * torch.tensor(ahead).float()
            camera = Camera.looking_at(eye, target, (0, 1, 0), FIELD_OF_VIEW, (size, size))
            layer = performer.draw(rest, camera, studio_lights())
            pictures.append(np.ascontiguousarray(layer[..., :3]))
            masks.append(np.ascontiguousarray(layer[..., 3]))
            cameras.append(camera)
    return Views(pictures, masks, cameras)


def outside(head: Head) -> Float[np.ndarray, "point 3"]:
    """Points of a head's skin that can be seen from somewhere, above the neck."""
    model = morphable.load()
    skin = model.triangles[model.parts["head"].triangles].long().numpy()
    hidden = np.any([model.regions[name].numpy() for name in HIDDEN], 0)
    chosen = outer_triangles(head.neutral, skin, np.zeros(3)) & ~hidden[skin].any(1)
    mesh = trimesh.Trimesh(head.neutral, skin[chosen], process=False)
    points = np.asarray(trimesh.sample.sample_surface(mesh, 8000, seed=0)[0])
    return points[points[:, 1] > NECK]
