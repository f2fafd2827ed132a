"""A web page that plays an avatar: one file, which any browser opens from anywhere; nothing is fetched.

It holds the avatar's surface and Gaussians once, and of each frame the expression and how joints move; the browser
poses, sorts and draws them. The page and its renderer are web.html, beside this file.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import roma
import torch
from PIL import Image
from safetensors.numpy import save as packed_tensors
from torch import Tensor

from avatars.capture import described_camera
from avatars.export.staging import staging
from avatars.gaussian.avatar import GaussianAvatar
from avatars.neural.driving import Moment
from morphable import Performance
from morphable.editing import resampled, video_rate
from morphable.playing import HEAD

LEVELS = 32_767
"""What the largest number of a tensor is rounded to."""
DRAWN = "rest", "shapes", "skinning", "position", "axes", "opacity", "colour", "shift", "tint"
"""Tensors that are rounded; the others are exact."""


@torch.no_grad()
def save_page(avatar: GaussianAvatar, path: str | Path, performance: Performance | None = None) -> int:
    """Write an .html in which the avatar plays a performance, or is at rest; returns how many frames it has.

    Raises:
        ValueError: the performance has no frames, or too many.
        OSError: the file cannot be written; what was there before is left as it was.
    """
    path = Path(path)
    moments, rate = [Moment.rest()], 1.0
    if performance is not None:
        rate = video_rate(performance)
        played = resampled(performance, rate)
        moments = [avatar.moment(played, index) for index in range(len(played))]
    tensors = {name: tensor.numpy() for name, tensor in (_still(avatar) | _moving(avatar, moments)).items()}
    units = {name: float(np.abs(tensors[name]).max(initial=1e-9)) / LEVELS for name in DRAWN}
    for name, unit in units.items():
        tensors[name] = np.round(tensors[name] / unit).astype(np.int16)
    scene = {
        "rate": rate,
        "frames": len(moments),
        "camera": described_camera(avatar.camera) | {"rotation": avatar.camera.rotation.flatten().tolist()},
        "pivot": avatar.head.joints[HEAD].tolist(),
        "headTriangles": avatar.surface.head_triangles,
        "headJoint": HEAD,
        "units": units,
    }
    page = files(__package__).joinpath("web.html").read_text(encoding="utf-8")
    parts = {
        "background": "data:image/png;base64," + _text(_png(avatar.background)),
        "scene": json.dumps(scene),
        "tensors": _text(gzip.compress(packed_tensors(tensors), mtime=0)),
    }
    for name, content in parts.items():
        page = page.replace("{{" + name + "}}", content)
    with staging(path) as folder:
        (folder / path.name).write_text(page, encoding="utf-8")
    return len(moments)


def _still(avatar: GaussianAvatar) -> dict[str, Tensor]:
    """What no frame changes."""
    own, surface = avatar.gaussians, avatar.surface
    turn = roma.unitquat_to_rotmat(torch.nn.functional.normalize(own.turn, dim=-1))
    order = own.triangle.argsort(stable=True)
    gaussians = {
        "triangle": own.triangle.int(),
        "position": own.position,
        "axes": turn * own.size.exp()[:, None],
        "opacity": own.opacity.sigmoid(),
        "colour": own.colour,
        "shift": own.shift,
        "tint": own.tint,
    }
    return {
        "rest": surface.rest,
        "shapes": surface.shapes,
        "skinning": surface.skinning,
        "triangles": surface.triangles.int(),
        **{name: tensor[order].contiguous() for name, tensor in gaussians.items()},
    }


def _moving(avatar: GaussianAvatar, moments: list[Moment]) -> dict[str, Tensor]:
    """What each frame says."""
    motions = [avatar.surface.motions(moment) for moment in moments]
    return {
        "weights": torch.stack([moment.weights for moment in moments]),
        "moods": torch.stack([avatar.habits.coordinates(moment.weights) for moment in moments]),
        "motions": torch.stack([torch.cat([turn, shift[..., None]], -1) for turn, shift in motions]),
    }


def _png(picture: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "png")
    return written.getvalue()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
