"""A head that plays a performance, by looking at its frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import morphable
from avatars.mesh_performer import MeshPerformer, View, frames
from avatars.painting import draw_head, studio_lights, to_srgb8
from morphable import ARKIT_NAMES, Head, Performance, default_textures
from morphable.playing import joint_motion
from renderers import EnvironmentLight

GREY = np.full(3, 0.2)
SIZE = View(size=(128, 112))


@pytest.fixture(scope="module")
def person() -> Head:
    model = morphable.load()
    identity = torch.randn(model.identities, generator=torch.Generator().manual_seed(1))
    return Head.from_model(model, identity, default_textures(model, resolution=256))


def still(**weights: float) -> Performance:
    row = [weights.get(name, 0.0) for name in ARKIT_NAMES]
    return Performance.of(np.zeros(1), np.array([row]))


def drawn(head: Head, performance: Performance, view: View = SIZE, **options) -> np.ndarray:
    return next(frames(head, performance, 30, view, background=GREY, **options)).astype(int)


def test_vertices_are_those_of_the_head(person: Head) -> None:
    random = np.random.default_rng(0)
    clip = Performance.of(
        np.arange(3.0),
        random.random((3, 52)),
        head=random.normal(0, 0.3, (3, 3)),
        translation=random.normal(0, 1, (3, 3)),
    )
    motion = joint_motion(person, clip)
    posed = MeshPerformer(person, 64).posed(clip)
    for weights, pose, move, found in zip(clip.weights, motion.rotations, motion.translations, posed, strict=True):
        assert torch.allclose(found, person.posed(person.layout, weights, pose) + torch.as_tensor(move), atol=1e-5)


def test_a_frame_looks_like_the_head_drawn_with_care(person: Head) -> None:
    """Light on vertices and one sample a pixel, against light on pixels and sixteen samples."""
    view = View(size=(256, 256))
    performer = MeshPerformer(person, 256)
    quick = drawn(person, still(), view)
    careful = draw_head(
        view.camera(person, 0),
        torch.as_tensor(person.neutral),
        person.layout,
        performer.paint,
        lights=studio_lights(),
        background=float(GREY[0]),
        supersample=4,
    )
    difference = np.abs(quick - to_srgb8(careful.colour)[0])
    assert difference.mean() < 1.0
    assert np.percentile(difference, 99) < 20


def test_only_the_mouth_opens(person: Head) -> None:
    view = View(size=(256, 256))
    moved = np.abs(drawn(person, still(jawOpen=0.8), view) - drawn(person, still(), view)).max(2) > 30
    rows, columns = np.nonzero(moved)
    camera = view.camera(person, 0)
    eyes = camera.project(torch.as_tensor(person.joints[2:])).numpy()
    assert moved.sum() > 200
    assert rows.min() > eyes[:, 1].mean()
    assert abs(columns.mean() - 128) < 6


def test_the_head_turns_and_moves_in_its_own_world(person: Head) -> None:
    """A step to the person's left is one to the right in the picture; a turn looks like the camera going around,
    but for where the neck stands."""
    backdrop = drawn(person, still())[0, 0]
    aside = Performance.of(np.zeros(1), np.zeros((1, 52)), translation=[[0.03, 0, 0]])
    here, there = (
        np.nonzero(np.abs(drawn(person, clip) - backdrop).max(2) > 12)[1].mean() for clip in (still(), aside)
    )
    assert there - here == pytest.approx(112 * 0.03 / 0.3, abs=5)
    even = [EnvironmentLight(torch.eye(9)[0][:, None].expand(9, 3) * 3)]
    turned = drawn(person, Performance.of(np.zeros(1), np.zeros((1, 52)), head=[[0, 0.7, 0]]), lights=even)
    right, left = (drawn(person, still(), replace(SIZE, yaw=yaw), lights=even) for yaw in (-0.7, 0.7))
    same, other = (
        min(np.abs(turned - np.roll(each, shift, 1))[:80].mean() for shift in range(-9, 10)) for each in (right, left)
    )
    assert same < 0.2 * other


def test_without_a_background_frames_have_opacity(person: Head) -> None:
    frame = next(frames(person, still(), 30, SIZE))
    assert frame.shape == (128, 112, 4)
    opacity = frame[..., 3].astype(float) / 255
    assert opacity[0].max() == 0
    assert opacity[64, 56] == 1
    assert 0 < np.mean((opacity > 0) & (opacity < 1)) < 0.05
    over = drawn(person, still())
    linear = np.where(
        frame[..., :3] <= 10, frame[..., :3] / 255 / 12.92, ((frame[..., :3] / 255 + 0.055) / 1.055) ** 2.4
    )
    composed = torch.as_tensor(linear * opacity[..., None] + (1 - opacity[..., None]) * GREY)
    assert np.abs(to_srgb8(composed) - over).max() <= 3


def test_frames_come_in_order_and_the_same_every_time(person: Head) -> None:
    weights = np.zeros((5, 52))
    weights[:, ARKIT_NAMES.index("jawOpen")] = np.linspace(0, 1, 5)
    clip = Performance.of(np.arange(5) / 10, weights)
    first, second = (list(frames(person, clip, 20, SIZE, background=GREY)) for _ in range(2))
    assert len(first) == 9
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    change = [np.abs(frame.astype(int) - first[0]).mean() for frame in first]
    assert np.all(np.diff(change) > 0)


def test_the_camera_goes_around(person: Head) -> None:
    clip = Performance.of(np.array([0.0, 1.0]), np.zeros((2, 52)))
    around = list(frames(person, clip, 2, replace(SIZE, orbit=2 * np.pi), background=GREY))
    assert np.abs(around[0].astype(int) - around[-1]).max() <= 2
    assert np.abs(around[0].astype(int) - around[1]).mean() > 3


def test_a_head_far_away_or_without_textures_is_drawn(person: Head) -> None:
    gone = Performance.of(np.zeros(1), np.zeros((1, 52)), translation=[[5, 0, 0]])
    assert np.ptp(drawn(person, gone)) == 0
    bare = drawn(replace(person, textures={}), still())
    assert np.ptp(bare) > 50


def test_abandoned_frames_leave_torch_as_it_was(person: Head) -> None:
    threads = torch.get_num_threads()
    coming = frames(person, Performance.of(np.arange(100.0), np.zeros((100, 52))), 1, SIZE)
    next(coming)
    coming.close()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("size", [(8, 512), (512, 10_000)])
def test_sizes_that_cannot_be_drawn_are_refused(person: Head, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="pixels a side"):
        frames(person, still(), 30, View(size=size))


def test_nothing_is_not_drawn(person: Head) -> None:
    with pytest.raises(ValueError, match="without frames"):
        frames(person, Performance.of(np.zeros(0), np.zeros((0, 52))), 30)


def test_eyes_mirror_the_lamp(person: Head) -> None:
    view = View(size=(256, 256))
    brightest = {}
    for name, lights in (("studio", studio_lights()), ("ambient", studio_lights()[:1])):
        frame = drawn(person, still(), view, lights=lights)
        eyes = view.camera(person, 0).project(torch.as_tensor(person.joints[2:])).round().long()
        brightest[name] = [frame[y - 8 : y + 9, x - 8 : x + 9].min(axis=2).max() for x, y in eyes.tolist()]
    assert min(brightest["studio"]) > max(brightest["ambient"]) + 20
