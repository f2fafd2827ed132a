"""What all tests share: a public-domain portrait, and photos that are not part of the repository."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from face3d.perception import MediaPipeDetector

SHARED_PHOTOS = Path(os.environ.get("FACE3D_TEST_PHOTOS", Path(__file__).parents[2] / "shared/data/photos"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `shared_photo` runs once per photo of that folder, and is skipped where there is none."""
    if "shared_photo" in metafunc.fixturenames:
        photos = sorted(SHARED_PHOTOS.glob("*.jpg"))
        metafunc.parametrize("shared_photo", photos, ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """NASA's portrait of Eileen Collins: (512, 512, 3) uint8 sRGB, one face."""
    data = pytest.importorskip("skimage.data")
    pixels: np.ndarray = data.astronaut()
    pixels.flags.writeable = False
    return pixels


@pytest.fixture(scope="session")
def detector() -> Iterator[MediaPipeDetector]:
    with MediaPipeDetector() as detector:
        yield detector
