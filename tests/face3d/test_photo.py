"""Photos of every kind are read, and whatever cannot be is refused in one sentence."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from face3d.errors import Face3DError
from face3d.photo import BACKGROUND, LONGEST_SIDE, UPRIGHT, load_photo


@pytest.fixture
def portrait(astronaut: np.ndarray) -> Image.Image:
    return Image.fromarray(astronaut[:480, 100:420])


def test_png_comes_back_as_it_is(portrait: Image.Image, tmp_path: Path) -> None:
    portrait.save(tmp_path / "a.png")
    photo = load_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, np.asarray(portrait))
    assert photo.pixels.dtype == np.uint8
    assert (photo.focal_pixels, photo.exif_focal_35mm, photo.scale) == (None, None, 1.0)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp", "tif", "gif", "jp2", "ppm"])
def test_formats(portrait: Image.Image, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    portrait.save(path)
    assert _difference(path, portrait) < 10


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_orientation_is_applied(portrait: Image.Image, tmp_path: Path, orientation: int, suffix: str) -> None:
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    portrait.transpose(UPRIGHT[inverse]).save(tmp_path / f"a.{suffix}", exif=exif)
    assert _difference(tmp_path / f"a.{suffix}", portrait) < 6


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "LA", "RGBA"])
def test_modes(portrait: Image.Image, tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    (portrait.quantize(256) if mode == "P" else portrait.convert(mode)).save(path)
    reference = portrait.convert("L") if mode in ("L", "LA") else portrait
    assert _difference(path, reference) < 6


def test_cmyk_jpeg(portrait: Image.Image, tmp_path: Path) -> None:
    portrait.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert _difference(tmp_path / "a.jpg", portrait) < 6


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_greys_are_scaled_not_clipped(portrait: Image.Image, tmp_path: Path, suffix: str) -> None:
    grey = np.asarray(portrait.convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(load_photo(tmp_path / f"a.{suffix}").pixels[..., 1], grey)


def test_sixteen_bit_colour_is_scaled_not_clipped(astronaut: np.ndarray, tmp_path: Path) -> None:
    _write_16_bit_png(tmp_path / "a.png", astronaut.astype(np.uint16) * 257)
    np.testing.assert_array_equal(load_photo(tmp_path / "a.png").pixels, astronaut)


def test_floating_point_greys(portrait: Image.Image, tmp_path: Path) -> None:
    grey = np.asarray(portrait.convert("L"))
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(load_photo(tmp_path / "a.tif").pixels[..., 0], grey)


def test_transparent_pixels_show_the_background(portrait: Image.Image, tmp_path: Path) -> None:
    portrait.putalpha(Image.fromarray(np.pad(np.full((480, 160), 255, np.uint8), ((0, 0), (160, 0)))))
    portrait.save(tmp_path / "a.png")
    pixels = load_photo(tmp_path / "a.png").pixels
    assert (pixels[:, :160] == BACKGROUND).all()
    np.testing.assert_array_equal(pixels[:, 160:], np.asarray(portrait)[:, 160:, :3])


def test_palette_with_a_transparent_colour(portrait: Image.Image, tmp_path: Path) -> None:
    flat = portrait.quantize(16)
    flat.save(tmp_path / "a.png", transparency=flat.getpixel((0, 0)))
    assert tuple(load_photo(tmp_path / "a.png").pixels[0, 0]) == BACKGROUND


def test_a_colour_profile_is_converted_to_srgb(portrait: Image.Image, tmp_path: Path) -> None:
    swapped = _swapped_srgb_profile()
    red_and_blue_swapped = Image.fromarray(np.asarray(portrait)[..., ::-1].copy())
    red_and_blue_swapped.save(tmp_path / "a.png", icc_profile=swapped)
    assert _difference(tmp_path / "a.png", portrait) < 3


def test_a_broken_colour_profile_is_ignored(portrait: Image.Image, tmp_path: Path) -> None:
    portrait.save(tmp_path / "a.png", icc_profile=b"no profile at all")
    assert _difference(tmp_path / "a.png", portrait) == 0


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_gives_its_first_frame(portrait: Image.Image, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    portrait.save(path, save_all=True, append_images=[Image.new("RGB", portrait.size)] * 2)
    assert _difference(path, portrait) < 8


def test_the_main_picture_of_a_multi_picture_file(portrait: Image.Image, tmp_path: Path) -> None:
    portrait.save(tmp_path / "a.mpo", save_all=True, append_images=[Image.new("RGB", portrait.size)], quality=95)
    assert _difference(tmp_path / "a.mpo", portrait) < 8


def test_spaces_and_unicode_in_names(portrait: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "фото мой 写真 é.png"
    portrait.save(path)
    assert load_photo(str(path)).name == path.name


def test_focal_length_from_the_35_mm_equivalent(portrait: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 50
    portrait.save(tmp_path / "a.jpg", exif=exif)
    photo = load_photo(tmp_path / "a.jpg")
    assert photo.exif_focal_35mm == 50
    assert photo.focal_pixels == pytest.approx(50 * np.hypot(320, 480) / np.hypot(36, 24))


def test_focal_length_from_the_sensor(portrait: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    camera[ExifTags.Base.FocalLength] = 35.0
    camera[ExifTags.Base.FocalPlaneXResolution] = 2000.0
    camera[ExifTags.Base.FocalPlaneResolutionUnit] = 3
    camera[ExifTags.Base.ExifImageWidth] = 3200
    portrait.save(tmp_path / "a.jpg", exif=exif)
    assert load_photo(tmp_path / "a.jpg").focal_pixels == pytest.approx(35 * 200 * 320 / 3200)


def test_a_focal_length_of_zero_is_unknown(portrait: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 0
    portrait.save(tmp_path / "a.jpg", exif=exif)
    assert load_photo(tmp_path / "a.jpg").focal_pixels is None


def test_a_large_photo_is_reduced_and_its_focal_length_with_it(portrait: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 50
    portrait.resize((5120, 7680)).save(tmp_path / "a.jpg", exif=exif)
    photo = load_photo(tmp_path / "a.jpg")
    height, width, _ = photo.pixels.shape
    assert height == LONGEST_SIDE
    assert photo.scale == pytest.approx(LONGEST_SIDE / 7680)
    assert photo.focal_pixels == pytest.approx(50 * np.hypot(width, height) / np.hypot(36, 24), rel=1e-3)


def test_what_is_no_photo_is_refused_in_one_sentence(portrait: Image.Image, tmp_path: Path) -> None:
    whole = io.BytesIO()
    portrait.save(whole, "JPEG")
    cut_short = whole.getvalue()[: len(whole.getvalue()) // 2]
    bad = {
        "zero.jpg": (b"", "empty"),
        "text.jpg": (b"Dear diary, today I had my portrait taken.", "not an image"),
        "cut.jpg": (cut_short, "damaged"),
        "header.png": (b"\x89PNG\r\n\x1a\n", "not an image|damaged"),
        "tiny.png": (_png(portrait.resize((20, 30))), "20 x 30"),
    }
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.jpg").mkdir()
    messages = {name: message for name, (_, message) in bad.items()}
    for name, message in {**messages, "folder.jpg": "directory", "absent.jpg": "no photo"}.items():
        with pytest.raises(Face3DError, match=message) as error:
            load_photo(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("side", [13_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(_png_of_zeros(side))
    with pytest.raises(Face3DError, match="megapixels"):
        load_photo(tmp_path / "bomb.png")


def _difference(path: Path, reference: Image.Image) -> float:
    """Mean absolute difference of the photo at the path from the reference, in 8-bit steps."""
    expected = np.asarray(reference.convert("RGB")).astype(float)
    return float(np.abs(load_photo(path).pixels - expected).mean())


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def _png_file(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([depth, colour, 0, 0, 0])
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _png_of_zeros(side: int) -> bytes:
    return _png_file(side, side, 8, 2, b"\0" * 1000)


def _write_16_bit_png(path: Path, pixels: np.ndarray) -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    path.write_bytes(_png_file(pixels.shape[1], pixels.shape[0], 16, 2, rows))


def _swapped_srgb_profile() -> bytes:
    """sRGB with its red and blue primaries exchanged, under another name."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132])
    entries = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    profile[red + 4 : red + 12], profile[blue + 4 : blue + 12] = (
        profile[blue + 4 : blue + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
