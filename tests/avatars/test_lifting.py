"""One picture becomes an avatar: exact from where it was taken, plausible from the sides, and it moves."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import morphable
from avatars.capture import Capture
from avatars.gaussian import GaussianAvatar, lifted
from avatars.mesh_performer import MeshPerformer
from avatars.neural.performer import turned
from avatars.painting import studio_lights
from morphable import ARKIT_NAMES, Head, Performance
from renderers import Camera

HEIGHT, WIDTH = 200, 180
HAIR = np.array([60, 40, 30], np.uint8)
WALL = 230
RISE = 14
"""Pixels that the drawn hair rises above the head."""


@pytest.fixture(scope="module")
def person() -> Head:
    model = morphable.load()
    return Head.from_model(model, torch.zeros(model.identities), morphable.default_textures(model, resolution=256))


@pytest.fixture(scope="module")
def camera() -> Camera:
    """In front, where the head looks straight at it."""
    return Camera.looking_at((0.0, 0.02, 0.8), (0, 0.0, 0), (0, 1, 0), 0.5, (HEIGHT, WIDTH))


def expression(**weights: float) -> Performance:
    values = np.zeros((1, 52))
    for name, weight in weights.items():
        values[0, ARKIT_NAMES.index(name)] = weight
    return Performance.of(np.zeros(1), values)


def drawn(head: Head, performance: Performance, camera: Camera) -> np.ndarray:
    """With opacity."""
    return MeshPerformer(head, 256).draw(performance, camera, studio_lights())


@pytest.fixture(scope="module")
def photo(person: Head, camera: Camera) -> Capture:
    """A bald head that smiles a little."""
    smile = expression(mouthSmileLeft=0.4, mouthSmileRight=0.4)
    layer = drawn(person, smile, camera)
    opacity = layer[..., 3:] / 255
    picture = (layer[..., :3] * opacity + WALL * (1 - opacity) + 0.5).astype(np.uint8)
    return Capture(picture[None], layer[None, ..., 3], np.full_like(picture, WALL), camera, person, smile)


@pytest.fixture(scope="module")
def haired(photo: Capture) -> Capture:
    """The same under a dark mop that rises above the head."""
    mask = photo.masks[0]
    rows, columns = np.nonzero(mask > 128)
    top = int(rows.min())
    mop = np.zeros_like(mask)
    centre, half = int(columns.mean()), int(np.ptp(columns) / 2)
    cv2.ellipse(mop, (centre, top + half), (half + RISE, half + RISE), 0, 180, 360, 255, -1)
    mop[top + half // 2 :] = 0
    picture = np.where(mop[..., None] > 0, HAIR, photo.frames[0])
    return replace(photo, frames=picture[None], masks=np.maximum(mask, mop)[None])


def shown(avatar: GaussianAvatar, performance: Performance, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Before the wall, and opacity."""
    with torch.no_grad():
        splatted = avatar.splatted(avatar.moment(performance), camera)
        picture = splatted.over(torch.full((1, 1, 3), WALL / 255))
    return picture.clamp(0, 1).numpy() * 255, splatted.alpha.numpy()


def agreement(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """PSNR, dB."""
    return float(-10 * np.log10(np.square((one - other.astype(float))[where] / 255).mean()))


@pytest.fixture(scope="module")
def bald(photo: Capture) -> GaussianAvatar:
    return lifted(photo)


def test_from_its_own_camera_it_is_the_photo(bald: GaussianAvatar, photo: Capture) -> None:
    picture, opacity = shown(bald, photo.performance, photo.camera)
    solid = cv2.erode(photo.masks[0], np.ones((5, 5))) > 250
    assert agreement(picture, photo.frames[0], solid) > 28
    assert opacity[solid].min() > 0.9
    assert opacity[cv2.dilate(photo.masks[0], np.ones((7, 7))) == 0].max() < 0.2


@pytest.mark.parametrize("yaw", [-0.6, 0.6])
def test_the_sides_are_like_the_head_and_whole(bald: GaussianAvatar, photo: Capture, yaw: float) -> None:
    """Light alone differs: the photo's is painted on."""
    camera = turned(photo.camera, bald, yaw)
    truth = drawn(photo.head, photo.performance, camera)
    picture, opacity = shown(bald, photo.performance, camera)
    solid = cv2.erode(truth[..., 3], np.ones((5, 5))) > 250
    assert agreement(picture, truth[..., :3], solid) > 20
    assert np.mean(opacity[solid] > 0.9) > 0.98


def test_it_closes_its_eyes_and_opens_its_mouth(bald: GaussianAvatar, photo: Capture) -> None:
    acting = expression(jawOpen=0.6, eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    truth = drawn(photo.head, acting, photo.camera)
    before = drawn(photo.head, photo.performance, photo.camera)
    moved = np.abs(truth[..., :3].astype(int) - before[..., :3]).max(-1) > 25
    moved &= cv2.erode(truth[..., 3], np.ones((5, 5))) > 250
    picture, _ = shown(bald, acting, photo.camera)
    still, _ = shown(bald, photo.performance, photo.camera)
    assert moved.sum() > 200
    assert agreement(picture, truth[..., :3], moved) > agreement(still, truth[..., :3], moved) + 3


def test_hair_stands_off_the_head_from_all_sides(haired: Capture, photo: Capture, bald: GaussianAvatar) -> None:
    avatar = lifted(haired)
    picture, opacity = shown(avatar, haired.performance, haired.camera)
    mop = (haired.masks[0] > 250) & (photo.masks[0] < 5)
    inside = cv2.erode(mop.astype(np.uint8), np.ones((3, 3))) > 0
    assert inside.sum() > 300
    assert np.mean(opacity[inside] > 0.8) > 0.95
    assert agreement(picture, haired.frames[0], inside) > 25
    for yaw in (-0.7, 0.7):
        camera = turned(haired.camera, avatar, yaw)
        tops = [np.nonzero((shown(each, haired.performance, camera)[1] > 0.5).any(1))[0][0] for each in (bald, avatar)]
        assert RISE / 2 < tops[0] - tops[1] < 2 * RISE


def test_a_head_that_fills_the_picture_needs_no_sheet(photo: Capture) -> None:
    near = Camera.looking_at((0.0, 0.04, 0.3), (0, 0.04, 0), (0, 1, 0), 0.4, (64, 64))
    picture = drawn(photo.head, photo.performance, near)
    capture = Capture(
        picture[None, ..., :3],
        np.full((1, 64, 64), 255, np.uint8),
        picture[..., :3],
        near,
        photo.head,
        photo.performance,
    )
    assert len(lifted(capture).gaussians) > 64 * 64 / 2
