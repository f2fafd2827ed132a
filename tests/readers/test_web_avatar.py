"""A page in headless Chromium, opened as a file, plays an avatar: it draws what `face3d avatar render` draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from PIL import Image

from avatars.capture import Capture
from avatars.gaussian import GaussianAvatar, save_page
from avatars.gaussian.start import started
from avatars.neural.footage import Footage
from avatars.neural.performer import frames, turned
from morphable import ARKIT_NAMES, Head, Performance
from morphable.playing import HEAD
from renderers import Camera

pytestmark = pytest.mark.readers

HEIGHT, WIDTH = 160, 200
RATE = 25.0
DRAG = (50, 30)
"""Pixels, of which each turns the camera by 0.008 radians."""
LEAST = 45.0
"""dB between the two renderers' pictures: the page rounds tensors to 16 bits and blends in 8."""


@pytest.fixture(scope="module")
def avatar(head: Head) -> GaussianAvatar:
    """Taught nothing, but with colours of every kind: by place, direction and expression."""
    camera = Camera.looking_at((0.05, 0.03, 0.7), (0, 0, 0), (0, 1, 0), 0.5, (HEIGHT, WIDTH))
    random = np.random.default_rng(0)
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([row, column, 90 + 0 * row], -1).astype(np.uint8)
    masks = np.zeros((4, HEIGHT, WIDTH), np.uint8)
    masks[:, 20:, 40:160] = 255
    clip = Performance.of(np.arange(4) / RATE, random.random((4, 52)) * 0.3)
    capture = Capture(np.stack([picture] * 4), masks, picture[::-1].copy(), camera, head, clip)
    made = started(Footage([capture]), np.arange(4))
    generator = torch.Generator().manual_seed(0)
    for tensor, deviation in (
        (made.gaussians.colour[:, 1:], 0.2),
        (made.gaussians.shift, 0.1),
        (made.gaussians.tint, 0.2),
    ):
        tensor += deviation * torch.randn(tensor.shape, generator=generator)
    return made


@pytest.fixture(scope="module")
def performance() -> Performance:
    share = np.linspace(0, 1, 21)
    weights = np.zeros((21, 52))
    weights[:, ARKIT_NAMES.index("jawOpen")] = 0.7 * share
    return Performance.of(3 + np.arange(21) / RATE, weights, head=np.outer(share, [0.1, 0.5, -0.1]))


def test_the_page_draws_what_the_renderer_draws(
    node: Callable[..., dict], chromium: str, avatar: GaussianAvatar, performance: Performance, tmp_path: Path
) -> None:
    page = tmp_path / "ada.html"
    save_page(avatar, page, performance)
    times = [0.0, 0.4, 0.8]
    request = {"size": [WIDTH, HEIGHT], "times": times, "drag": DRAG}
    found = node("play.mjs", chromium, page, tmp_path, json.dumps(request))
    assert found == {"complaints": [], "requests": ["file:"]}
    expected = list(frames(avatar, performance, RATE))
    pictures = [seen(tmp_path / f"{index}.png", avatar) for index in range(len(times))]
    for time, picture in zip(times, pictures, strict=True):
        assert agreement(picture, expected[round(time * RATE)]) > LEAST
    assert agreement(pictures[0], pictures[1]) < 30
    assert agreement(pictures[1], pictures[2]) < 30
    page_seen = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    assert len(np.unique(page_seen.reshape(-1, 3), axis=0)) > 1000
    drawn = avatar.splatted(avatar.moment(performance), dragged(avatar))
    picture = drawn.over(torch.as_tensor(avatar.background) / 255).clamp(0, 1) * 255
    assert agreement(seen(tmp_path / "dragged.png", avatar), picture.numpy()) > LEAST


def dragged(avatar: GaussianAvatar) -> Camera:
    """Gone around the head, then over it."""
    yaw, pitch = -0.008 * DRAG[0], 0.008 * DRAG[1]
    camera = turned(avatar.camera, avatar, yaw)
    pivot = torch.as_tensor(avatar.head.joints[HEAD])
    rotation = roma.rotvec_to_rotmat(torch.tensor([pitch, 0.0, 0.0])) @ camera.rotation
    return replace(camera, rotation=rotation, translation=camera.view(pivot[None])[0] - rotation @ pivot)


def seen(path: Path, avatar: GaussianAvatar) -> np.ndarray:
    """A picture of the canvas before the avatar's background."""
    layer = np.asarray(Image.open(path).convert("RGBA")).astype(float)
    opacity = layer[..., 3:] / 255
    return layer[..., :3] * opacity + (1 - opacity) * avatar.background


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR, dB."""
    return float(-10 * np.log10(np.square((one - other.astype(float)) / 255).mean()))
