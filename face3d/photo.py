"""Photos as they come, read into upright sRGB pixels with the focal length that the camera wrote down."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from math import hypot, isfinite
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from face3d.errors import Face3DError

LONGEST_SIDE = 4096
"""Pixels. Larger photos are reduced to this: a head that fills half the frame still covers a 2048 px texture."""
SHORTEST_SIDE = 40
"""Pixels. Below this no face in the photo can be measured."""
MOST_PIXELS = 150_000_000
"""Refused above, before decoding: its pixels alone would fill much of the memory."""
FILM_DIAGONAL = hypot(36.0, 24.0)
"""Millimetres: the frame that "35 mm equivalent" focal lengths refer to."""
BACKGROUND = (128, 128, 128)
"""What shows through transparent pixels: mid-grey, which favours neither light nor dark edges."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photo."""

    pixels: UInt8[np.ndarray, "height width 3"]
    """sRGB."""
    path: Path | None = None
    exif_focal_35mm: float | None = None
    """The camera's 35 mm equivalent focal length in millimetres, by the diagonal."""
    focal_pixels: float | None = None
    """The focal length in pixels of `pixels`, where the file tells."""
    scale: float = 1.0
    """Pixels here per pixel of the file; below 1 for photos larger than LONGEST_SIDE."""

    @property
    def name(self) -> str:
        return self.path.name if self.path else "the photo"


def load_photo(path: str | Path) -> Photo:
    """Read a photo of any format that Pillow knows.

    Applies the EXIF orientation and the embedded colour profile; takes the first frame of an animation; shows
    transparency over mid-grey; scales 16-bit greys to 8 bits.

    Raises:
        Face3DError: there is no such photo, it is damaged, or it is too large or too small to work with.
    """
    path = Path(path)
    _require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_PIXELS decides
            image = Image.open(path)
        with image:
            _require_size(image, path)
            return _read(image, path)
    except Image.DecompressionBombError as error:
        raise Face3DError(_too_large(path, "more than 170")) from error
    except UnidentifiedImageError as error:
        raise Face3DError(f"{path} is not an image that can be read; save it as JPEG or PNG first.") from error
    except (OSError, SyntaxError, EOFError, ValueError, struct.error, zlib.error) as error:
        if isinstance(error, Face3DError):
            raise
        raise Face3DError(f"{path} is damaged or cut short ({error}); use an intact copy.") from error


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise Face3DError(f"{path} is a directory; give the path of a photo.")
    if not path.is_file():
        raise Face3DError(f"There is no photo at {path}; check the path.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise Face3DError(f"{path} cannot be opened ({error.strerror}); check its permissions.") from error
    if empty:
        raise Face3DError(f"{path} is empty (0 bytes); use an intact copy.")


def _require_size(image: Image.Image, path: Path) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise Face3DError(_too_large(path, f"{image.width * image.height / 1e6:.0f}"))
    if min(image.size) < SHORTEST_SIDE:
        raise Face3DError(
            f"{path} is only {image.width} x {image.height} px; a photo needs at least {SHORTEST_SIDE} px each way."
        )


def _too_large(path: Path, megapixels: str) -> str:
    return f"{path} has {megapixels} megapixels; reduce it below {MOST_PIXELS / 1e6:.0f} megapixels."


def _read(image: Image.Image, path: Path) -> Photo:
    width, height = image.size
    exif = image.getexif()
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    focal_35mm = _positive(camera.get(ExifTags.Base.FocalLengthIn35mmFilm))
    focal = _focal_pixels(camera, focal_35mm, width, height)

    image.draft(None, (round(width * scale), round(height * scale)))  # lets JPEG decode straight to a smaller size
    profile = image.info.get("icc_profile")
    pixels = _eight_bit(image)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = pixels.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    pixels = _srgb(pixels, profile)
    orientation = UPRIGHT.get(exif.get(ExifTags.Base.Orientation, 1))
    if orientation is not None:
        pixels = pixels.transpose(orientation)
    return Photo(
        pixels=np.asarray(pixels),
        path=path,
        exif_focal_35mm=focal_35mm,
        focal_pixels=None if focal is None else focal * scale,
        scale=scale,
    )


UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation codes: what turns the stored pixels upright."""

MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0}
"""EXIF's resolution units: inch, centimetre, millimetre."""


def _focal_pixels(camera: dict[int, object], focal_35mm: float | None, width: int, height: int) -> float | None:
    """Focal length in pixels of the stored image: from the 35 mm equivalent, else from the sensor's resolution."""
    if focal_35mm is not None:
        return focal_35mm * hypot(width, height) / FILM_DIAGONAL
    millimetres = _positive(camera.get(ExifTags.Base.FocalLength))
    resolution = _positive(camera.get(ExifTags.Base.FocalPlaneXResolution))
    unit = MILLIMETRES.get(_integer(camera.get(ExifTags.Base.FocalPlaneResolutionUnit, 2)))
    if millimetres is None or resolution is None or unit is None:
        return None
    sensor_width = _positive(camera.get(ExifTags.Base.ExifImageWidth)) or width
    return millimetres * resolution / unit * width / sensor_width


def _positive(value: object) -> float | None:
    """An EXIF number; None for what cameras write when they do not know (absent, 0, 1/0, text)."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if isfinite(number) and number > 0 else None


def _integer(value: object) -> int:
    return int(_positive(value) or 0)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image as L, LA, RGB, RGBA or CMYK with 8 bits a channel."""
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        image.load()
        return image.convert("RGBA") if "transparency" in image.info else image
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit_grey(np.asarray(image))
    if image.mode == "PA" or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB")


def _eight_bit_grey(values: np.ndarray) -> Image.Image:
    """Deep greys over their format's range, 65535 for integers and 1 for floats; Pillow alone would clip them."""
    values = np.nan_to_num(values)
    full = 1.0 if np.issubdtype(values.dtype, np.floating) else 65535.0
    white = max(full, float(values.max(initial=0)))
    return Image.fromarray(np.clip(values * (255.0 / white) + 0.5, 0, 255).astype(np.uint8))


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """8-bit image of any mode to RGB, through its colour profile, over BACKGROUND where transparent."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    if alpha is not None:
        image = image.convert("L" if image.mode == "LA" else "RGB")
    rgb = _through_profile(image, profile)
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, BACKGROUND), alpha)


def _through_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(source):
                converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
                return converted or image.convert("RGB")
        except (ImageCms.PyCMSError, OSError):  # a broken profile, or one for another kind of image
            pass
    return image.convert("RGB")
