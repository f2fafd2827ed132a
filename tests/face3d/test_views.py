"""Pictures with known cameras: read from transforms.json, and made a head of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

import morphable
from avatars.radiance.surface import Views
from benchmarks.radiance import outside, turntable
from benchmarks.tracking import unknown_head
from face3d.errors import Face3DError
from face3d.perception import MediaPipeDetector
from face3d.registration import Similarity
from face3d.scan_file import is_views
from face3d.views import OPENGL, camera_in, load_views, run_views, triangulated
from morphable.surface import Surface
from renderers import Camera

POINTS = 0.1 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


def cameras(count: int, size: tuple[int, int] = (48, 64)) -> list[Camera]:
    eyes = [(np.sin(angle), 0.1, np.cos(angle)) for angle in np.linspace(-0.6, 0.6, count)]
    return [Camera.looking_at(eye, (0, 0, 0), (0, 1, 0), 0.4, size) for eye in eyes]


def write(folder: Path, views: Views) -> Path:
    """As other programs write it: pictures with transparency, cameras from camera to world with OpenGL's axes."""
    told = []
    for index, (picture, mask, camera) in enumerate(zip(views.pictures, views.masks, views.cameras, strict=True)):
        Image.fromarray(np.concatenate([picture, mask[..., None]], -1)).save(folder / f"{index}.png")
        pose = torch.eye(4)
        pose[:3, :3], pose[:3, 3] = camera.rotation.T * OPENGL, camera.position
        (fl_x, fl_y), (cx, cy) = camera.focal.tolist(), camera.principal.tolist()
        entry = {"file_path": f"{index}.png", "transform_matrix": pose.tolist()}
        told.append(entry | {"fl_x": fl_x, "fl_y": fl_y, "cx": cx, "cy": cy})
    (folder / "transforms.json").write_text(json.dumps({"frames": told}))
    return folder / "transforms.json"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    seen = cameras(3)
    pictures = [random.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in seen]
    return write(tmp_path, Views(pictures, [np.full((48, 64), 200, np.uint8)] * 3, seen))


def test_pictures_and_cameras_come_back(written: Path) -> None:
    assert is_views(written)
    views = load_views(written)
    assert [picture.shape for picture in views.pictures] == [(48, 64, 3)] * 3
    assert int(views.masks[0][0, 0]) == 200
    for found, known in zip(views.cameras, cameras(3), strict=True):
        torch.testing.assert_close(found.project(POINTS), known.project(POINTS), atol=1e-3, rtol=0)


def changed(written: Path, change: Callable[[dict], object]) -> Path:
    told = json.loads(written.read_text())
    change(told)
    written.write_text(json.dumps(told))
    return written


def test_one_lens_may_be_told_for_all_by_its_angle(written: Path) -> None:
    def simple(told: dict) -> None:
        told["camera_angle_x"] = 2 * np.arctan(32 / told["frames"][0]["fl_x"])
        for frame in told["frames"]:
            for name in ("fl_x", "fl_y", "cx", "cy"):
                del frame[name]

    for found, known in zip(load_views(changed(written, simple)).cameras, cameras(3), strict=True):
        torch.testing.assert_close(found.project(POINTS), known.project(POINTS), atol=1e-3, rtol=0)


def test_pictures_may_be_smaller_than_the_file_says(written: Path) -> None:
    def larger(told: dict) -> None:
        told |= {"w": 128, "h": 96}
        for frame in told["frames"]:
            for name in ("fl_x", "fl_y", "cx", "cy"):
                frame[name] *= 2

    for found, known in zip(load_views(changed(written, larger)).cameras, cameras(3), strict=True):
        torch.testing.assert_close(found.project(POINTS), known.project(POINTS), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.pop("frames"), "does not describe pictures"),
        (lambda told: told["frames"].__delitem__(slice(1, None)), "lists 1 pictures"),
        (lambda told: told["frames"][1].update(file_path="gone.png"), "gone.png is missing"),
        (lambda told: told["frames"][1].update(mask_path="gone.png"), "gone.png is missing"),
        (lambda told: told["frames"][1].update(transform_matrix=[[1, 2], [3, 4]]), "transform_matrix has 4 rows"),
        (lambda told: told["frames"][1].update(transform_matrix=np.zeros((4, 4)).tolist()), "a rotation and a place"),
        (lambda told: told["frames"][1].update(fl_x=-1), "focal length is above 0"),
        (lambda told: told["frames"].__setitem__(0, 7), "does not describe pictures"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(written: Path, change: Callable[[dict], object], message: str) -> None:
    with pytest.raises(Face3DError, match=message):
        load_views(changed(written, change))


def test_a_picture_needs_a_mask(written: Path) -> None:
    Image.open(written.parent / "1.png").convert("RGB").save(written.parent / "1.png")
    with pytest.raises(Face3DError, match=r"1\.png has no mask"):
        load_views(written)
    Image.new("L", (32, 24), 7).save(written.parent / "mask.png")
    told = changed(written, lambda told: told["frames"][1].update(mask_path="mask.png"))
    assert int(load_views(told).masks[1].max()) == 7


def test_points_are_where_rays_meet_whatever_one_picture_says() -> None:
    seen = cameras(5)
    places = np.stack([camera.project(POINTS).numpy() for camera in seen])
    places[2] += 40
    found = triangulated(places, seen, np.full(5, 0.5))
    np.testing.assert_allclose(found, POINTS.numpy(), atol=1e-4)


def test_a_camera_sees_the_same_in_another_world() -> None:
    to_model = Similarity(0.013, Rotation.from_rotvec([0.3, -0.8, 0.2]).as_matrix(), np.array([0.1, -0.2, 0.3]))
    camera = cameras(3)[0]
    moved = camera_in(camera, to_model)
    again = moved.project(torch.as_tensor(to_model(POINTS.numpy())).float())
    torch.testing.assert_close(again, camera.project(POINTS), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_twelve_views_give_the_head(tmp_path: Path, detector: MediaPipeDetector) -> None:
    """A drawn head whose shape is known, in centimetres: its surface to a millimetre in the median."""
    head = unknown_head(0)
    views = turntable(head, 256)
    turned = [camera_in(camera, Similarity(100.0, np.eye(3), np.zeros(3))) for camera in views.cameras]
    result = run_views(write(tmp_path, Views(views.pictures, views.masks, turned)), texture_size=256, detector=detector)
    told = result.report["scan"]
    assert told["unit"] == "centimetres"
    points = outside(head)
    placed = told["metres_per_unit"] * 100 * points @ np.array(told["rotation_to_head"]).T
    placed += told["translation_to_head_m"]
    model = morphable.load()
    skin = model.triangles[model.parts["head"].triangles].long().numpy()
    off = Surface(result.head.neutral.astype(float), skin).closest(placed).distances
    average = Surface(model.mean.double().numpy(), skin).closest(points).distances
    assert np.median(off) < 1e-3
    assert np.median(off) < 0.7 * np.median(average)
