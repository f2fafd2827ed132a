"""One photo to one head, for real."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

import face3d
from face3d.fitting.evidence import OUTER_EYE_CORNERS
from face3d.perception import MediaPipeDetector
from face3d.photo import Photo, load_photo
from face3d.reconstruction import Reconstruction, run_reconstruction
from morphable import ARKIT_NAMES, Head

FILES = {"head.glb", "preview.png", "fit.png", "albedo.png", "report.json"}


@pytest.fixture(scope="module")
def result(astronaut: np.ndarray, detector: MediaPipeDetector) -> Reconstruction:
    return run_reconstruction(Photo(astronaut), texture_size=512, detector=detector)


def closed_loop_error(photo: np.ndarray, fit: np.ndarray, detector: MediaPipeDetector) -> float:
    """Median distance between landmarks on a photo and on its fit's picture, relative to the outer eye corners'."""
    seen, drawn = detector.detect(photo)[0].landmarks[:, :2], detector.detect(fit)[0].landmarks[:, :2]
    right, left = (seen[corner] for corner in OUTER_EYE_CORNERS)
    return float(np.median(np.linalg.norm(seen - drawn, axis=1)) / np.linalg.norm(left - right))


def test_the_detector_sees_the_same_face_on_photo_and_fit(
    result: Reconstruction, astronaut: np.ndarray, detector: MediaPipeDetector
) -> None:
    assert result.fit.shape == astronaut.shape
    assert closed_loop_error(astronaut, result.fit, detector) < 0.02


def test_every_shared_photo_fits(shared_photo: Path, detector: MediaPipeDetector) -> None:
    photo = load_photo(shared_photo)
    fitted = run_reconstruction(photo, texture_size=64, detector=detector)
    assert closed_loop_error(photo.pixels, fitted.fit, detector) < 0.035


def test_the_same_photo_gives_the_same_head(
    result: Reconstruction, astronaut: np.ndarray, detector: MediaPipeDetector
) -> None:
    again = run_reconstruction(Photo(astronaut), texture_size=512, detector=detector)
    assert again.head == result.head
    assert np.array_equal(again.fit, result.fit)


def test_the_head_is_metric_upright_and_faces_forward(result: Reconstruction, tmp_path: Path) -> None:
    result.head.save(tmp_path / "head.glb")
    scene = trimesh.load(tmp_path / "head.glb", process=False)
    vertices = scene.geometry["head"].vertices
    height, depth = np.ptp(vertices[:, 1]), np.ptp(vertices[:, 2])
    assert 0.22 < height < 0.36
    assert 0.16 < depth < 0.26
    nose = vertices[vertices[:, 2].argmax()]
    assert abs(nose[0]) < 0.02
    distance = np.linalg.norm(result.head.joints[2] - result.head.joints[3])
    assert 0.054 < distance < 0.072
    assert result.report["scale"]["interpupillary_distance_mm"] == pytest.approx(1000 * distance, abs=0.1)


def test_files_and_round_trip(result: Reconstruction, astronaut: np.ndarray, tmp_path: Path) -> None:
    result.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert Head.load(tmp_path / "out" / "head.glb") == result.head
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["parameters"]["expression"]) == set(ARKIT_NAMES)
    assert report["seconds"] and all(seconds >= 0 for seconds in report["seconds"].values())
    assert report["warnings"] and "focal length" in report["warnings"][0]
    for name, shape in (("fit", astronaut.shape), ("albedo", (512, 512, 3))):
        assert np.asarray(Image.open(tmp_path / "out" / f"{name}.png")).shape == shape


def test_a_known_focal_length_is_kept(astronaut: np.ndarray, detector: MediaPipeDetector) -> None:
    fitted = run_reconstruction(Photo(astronaut, focal_pixels=1000.0), texture_size=64, detector=detector)
    assert fitted.report["camera"]["focal_pixels"] == pytest.approx(1000.0, rel=0.03)
    assert fitted.report["camera"]["focal_from_exif"]
    assert not fitted.report["warnings"]


def test_stages_are_told_in_order(astronaut: np.ndarray, detector: MediaPipeDetector) -> None:
    told: list[tuple[str, float]] = []
    run_reconstruction(Photo(astronaut), texture_size=64, detector=detector, progress=lambda *stage: told.append(stage))
    names = list(dict.fromkeys(name for name, _ in told))
    assert names[0] == "finding faces" and len(names) >= 4
    assert all(0 <= fraction <= 1 for _, fraction in told)


def test_greyscale_photos_give_grey_heads(astronaut: np.ndarray, detector: MediaPipeDetector) -> None:
    grey = np.repeat(astronaut.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    head = run_reconstruction(Photo(grey), texture_size=128, detector=detector).head
    for part, texture in head.textures.items():
        channels = texture.pixels[..., :3].astype(int)
        assert np.ptp(channels, axis=2).mean() < 4, part


@pytest.mark.slow
def test_command_line_and_python_agree(astronaut: np.ndarray, tmp_path: Path) -> None:
    photo = tmp_path / "me.png"
    Image.fromarray(astronaut).save(photo)
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    command = [
        sys.executable,
        "-m",
        "face3d",
        "reconstruct",
        str(photo),
        "-o",
        str(tmp_path / "me"),
        "--texture-size",
        "256",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "me" / "head.glb") in done.stdout
    assert {path.name for path in (tmp_path / "me").iterdir()} == FILES
    assert face3d.reconstruct(photo, texture_size=256) == Head.load(tmp_path / "me" / "head.glb")
