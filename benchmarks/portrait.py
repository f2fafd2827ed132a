"""The portrait performer: a filmed clip's first frame, driven by the clip's own track, against the clip itself and
against that frame shown unchanged; over the face, as the detector outlines it in each frame. Also frames a second at
512².

Silent where the clip is absent: the environment variable FACE3D_CLIPS names its folder, else it is looked for beside
the repository.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from avatars.portrait import PortraitPerformer, frames, relative
from face3d.perception import MediaPipeDetector
from face3d.photo import Photo, load_photo
from face3d.portrait import posed_photo
from face3d.reconstruction import reconstruct
from face3d.track import run_tracking
from face3d.track.video import Video
from morphable import Performance
from morphable.editing import sampled

from .timing import figure

CLIP = Path(os.environ.get("FACE3D_CLIPS", Path(__file__).parents[2] / "shared/data/videos")) / "monocular_portrait.mp4"
BLUR = 1.5
"""Pixels: the windows of structural similarity (Wang et al. 2004)."""
TIMED = 120
"""Frames; what is prepared once counts among them."""


def figures() -> Iterator[dict]:
    if not CLIP.is_file():
        return
    with MediaPipeDetector() as detector, tempfile.TemporaryDirectory() as folder:
        clip = [frame.pixels for frame in Video(CLIP).read(0)]
        photo = _photo(clip[0], Path(folder) / "first.png")
        head = reconstruct(photo, detector=detector)
        performance = run_tracking(CLIP, Path(folder) / "sightings", head=head, detector=detector).performance
        posed = posed_photo(photo, head=head, detector=detector)
        played = relative(posed, performance)
        performer = PortraitPerformer(posed)
        gains = compared(performer, played, clip, detector)
    yield figure("portrait_psnr_gain", gains[0], "dB")
    yield figure("portrait_psnr", gains[1], "dB")
    yield figure("portrait_ssim", gains[2], "")
    yield figure("portrait_ssim_of_first_frame", gains[3], "")
    start, used = time.perf_counter(), time.process_time()
    count = sum(1 for _ in frames(posed, sampled(played, played.times[:TIMED]), 25.0))
    yield figure("portrait_rate", count / (time.perf_counter() - start), "frames/s")
    yield figure("portrait_processor", 1e3 * (time.process_time() - used) / count, "ms of one core a frame")


def compared(
    performer: PortraitPerformer, played: Performance, clip: list[np.ndarray], detector: MediaPipeDetector
) -> tuple[float, float, float, float]:
    """Means over the frames after the first: gain in PSNR (dB), PSNR, SSIM, and SSIM of the first frame unchanged."""
    rows = []
    box = detector.detect(clip[0])[0].box
    for index, true in enumerate(clip[1:], 1):
        seen = detector.follow(true, box)
        if seen is None:
            continue
        box, face = seen.box, _face(seen.landmarks, true.shape[:2])
        drawn = performer.draw(sampled(played, played.times[index : index + 1]))
        signal, before = (_psnr(picture, true, face) for picture in (drawn, clip[0]))
        rows.append((signal - before, signal, _ssim(drawn, true, face), _ssim(clip[0], true, face)))
    means = np.mean(rows, axis=0)
    return float(means[0]), float(means[1]), float(means[2]), float(means[3])


def _photo(pixels: np.ndarray, path: Path) -> Photo:
    Image.fromarray(pixels).save(path)
    return load_photo(path)


def _face(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    hull = cv2.convexHull(landmarks[:, :2].astype(np.int32))
    return cv2.fillConvexPoly(np.zeros(size, np.uint8), hull, 1) > 0


def _psnr(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    difference = one[where].astype(float) - other[where]
    return float(10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-9)))


def _ssim(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Structural similarity of luminance, mean over some pixels."""
    x, y = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(float) for each in (one, other))

    def mean(image: np.ndarray) -> np.ndarray:
        smooth: np.ndarray = gaussian_filter(image, BLUR, truncate=3.5)
        return smooth

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    a, b = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mx * my + a) * (2 * both + b) / ((mx**2 + my**2 + a) * (vx + vy + b))
    return float(similar[where].mean())
