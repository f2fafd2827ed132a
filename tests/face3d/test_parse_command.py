"""`face3d parse`: what the shipped network reads, as a picture and as numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from face3d.cli import app
from face3d.synth import CLASSES


@pytest.fixture(scope="module")
def portrait(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "portrait.png"
    Image.fromarray(astronaut).save(path)
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, ["parse", *map(str, arguments)])


def test_numbers_of_a_real_face(portrait: Path, tmp_path: Path) -> None:
    result = run(portrait, "-o", tmp_path / "face.json")
    assert result.exit_code == 0, result.output
    (face,) = json.loads((tmp_path / "face.json").read_text())
    landmarks, names = np.array(face["landmarks"]), face["class_names"]
    apart = np.linalg.norm(landmarks[33] - landmarks[263])
    assert landmarks[33, 0] < landmarks[1, 0] < landmarks[263, 0] and landmarks[10, 1] < landmarks[152, 1]
    assert 30 < apart < 90 and 0 < np.median(face["deviation"]) < 0.2 * apart
    shown = np.bincount(np.ravel(face["classes"]), minlength=len(CLASSES)) / np.size(face["classes"])
    assert shown[names.index("hair")] > 0.1 and shown[names.index("skin")] > 0.1 and shown[names.index("nose")] > 0.01
    assert face["expression"]["mouthSmileLeft"] > face["expression"]["mouthFrownLeft"]


def test_a_sheet_has_a_row_a_face(portrait: Path, tmp_path: Path) -> None:
    assert run(portrait, portrait, "-o", tmp_path / "sheet.png").exit_code == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    height, width = sheet.shape[:2]
    assert 3 * height == 2 * width
    picture, classes = sheet[:, : width // 3].astype(int), sheet[:, width // 3 : 2 * width // 3].astype(int)
    assert np.abs(picture - classes).mean() > 10


def test_what_cannot_be_done_is_one_sentence(portrait: Path, tmp_path: Path) -> None:
    assert "choose .png or .jpg" in run(portrait, "-o", tmp_path / "face.txt").output
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    result = run(tmp_path / "grey.png", "-o", tmp_path / "none.json")
    assert result.exit_code == 1 and "no face" in result.output and not (tmp_path / "none.json").exists()
