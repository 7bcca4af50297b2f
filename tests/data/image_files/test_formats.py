"""Every format that cameras and microscopes write: read, the right way up, or refused by name."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from smil_ray.data import image_io
from smil_ray.data.filters import SampleError
from smil_ray.data.image_files.formats import IMAGE_SUFFIXES, MAX_PIXELS, format_of, read_header
from tests.data.test_image_io import picture

ORIENTATION = 0x0112
FORMATS = [
    ("JPEG", {"quality": 95}),
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"big_endian": True}),
    ("WebP", {"lossless": True}),
    ("WebP", {"quality": 95}),
    ("BMP", {}),
]


def encoded(rgb: np.ndarray, form: str, orientation: int | None = None, **options) -> bytes:
    image, buffer = Image.fromarray(rgb), io.BytesIO()
    if orientation is not None:
        exif = image.getexif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    image.save(buffer, form, **options)
    return buffer.getvalue()


def is_lossy(form: str, options: dict) -> bool:
    return form == "JPEG" or (form == "WebP" and not options.get("lossless"))


@pytest.mark.parametrize(("form", "options"), FORMATS)
def test_picture_of_any_format_comes_back(form, options):
    rgb = picture(90, 120)
    data = encoded(rgb, form, **options)
    header = read_header(data, "a.x")
    assert (header.format, header.width, header.height) == (form, 120, 90)
    assert (header.bits, header.orientation) == (8, 1)
    off = np.abs(image_io.read_rgb(data).astype(int) - rgb)
    assert off.mean() < (6 if is_lossy(form, options) else 1e-9)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WebP"])
def test_orientation_is_honoured_where_wanted_and_pixels_are_as_stored_elsewhere(
    tmp_path: Path, form: str, orientation: int
) -> None:
    options = {"lossless": True} if form == "WebP" else {}
    rgb = picture(90, 120)
    path = tmp_path / "a.x"
    path.write_bytes(encoded(rgb, form, orientation, **options))
    stored = image_io.read_rgb(path)
    assert stored.shape == rgb.shape
    assert np.abs(stored.astype(int) - rgb).mean() < 8
    assert read_header(path.read_bytes(), "a.x").orientation == orientation
    tag = Image.Exif()
    tag[ORIENTATION] = orientation
    image = Image.fromarray(stored)
    image.info["exif"] = tag.tobytes()
    shown = np.asarray(ImageOps.exif_transpose(image))
    upright = image_io.read_upright(path)
    np.testing.assert_array_equal(upright.rgb, shown)
    assert upright.rgb.flags["C_CONTIGUOUS"]
    turned = f"turned upright (EXIF orientation {orientation})"
    assert upright.notes == (() if orientation == 1 else (turned,))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_does_not_exist_means_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(picture(90, 120), "JPEG", orientation))
    assert image_io.read_upright(path).rgb.shape == (90, 120, 3)


def deep(pixels: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled_by_their_own_range(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = np.linspace(432, 3056, 90 * 120 * channels).astype(np.uint16)
    pixels = pixels.reshape((90, 120, channels) if channels > 1 else (90, 120))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(deep(pixels, suffix))
    found = image_io.read_upright(path)
    expected = np.round((pixels.astype(float) - 432) * 255 / (3056 - 432))
    shown = expected[..., ::-1] if channels == 3 else np.repeat(expected[..., None], 3, axis=2)
    np.testing.assert_array_equal(found.rgb, shown)
    assert found.notes == ("16 bits: 432 to 3056 became 0 to 255",)
    np.testing.assert_array_equal(image_io.read_rgb(path), found.rgb)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_whose_zero_is_white_is_inverted(dtype: type) -> None:
    plain = cv2.imencode(".tif", np.arange(256, dtype=dtype).reshape(16, 16))[1].tobytes()
    photometric = b"\x06\x01\x03\x00\x01\x00\x00\x00"
    data = plain.replace(photometric + b"\x01", photometric + b"\x00")
    assert data != plain
    np.testing.assert_array_equal(image_io.read_rgb(data), 255 - image_io.read_rgb(plain))


def test_even_picture_of_16_bits_is_black():
    data = deep(np.full((8, 8), 300, np.uint16), ".png")
    assert (image_io.read_rgb(data) == 0).all()


def test_tiff_of_fractions_is_scaled_and_what_is_not_finite_is_refused():
    values = np.linspace(-0.5, 2.0, 64).reshape(8, 8).astype(np.float32)
    rgb = image_io.read_rgb(deep(values, ".tif"))
    np.testing.assert_array_equal(rgb[..., 0], np.round((values + 0.5) * 255 / 2.5))
    values[3, 3] = np.nan
    with pytest.raises(SampleError, match="NaN"):
        image_io.read_rgb(deep(values, ".tif"))


@pytest.mark.parametrize(("form", "options"), FORMATS)
def test_truncated_picture_of_any_format_is_noticed(form, options):
    data = encoded(picture(90, 120), form, **options)
    for length in range(HEAD, len(data) - 16, max(1, len(data) // 25)):
        with pytest.raises(SampleError) as error:
            image_io.read_rgb(data[:length])
        assert error.value.reason in ("image_damaged", "image_unreadable")


HEAD = 20


@pytest.mark.parametrize(("form", "options"), FORMATS)
def test_damaged_picture_of_any_format_is_a_picture_or_one_sentence(form, options):
    generator = np.random.default_rng(0)
    data = encoded(picture(24, 32), form, 6 if form != "BMP" else None, **options)
    for _ in range(60):
        damaged = bytearray(data)
        for place in generator.integers(0, len(data), 4):
            damaged[place] = generator.integers(256)
        try:
            rgb = image_io.read_rgb(bytes(damaged))
        except SampleError:
            continue
        assert rgb.dtype == np.uint8
        assert rgb.shape[2] == 3


def test_stack_and_animation_are_refused_by_name():
    pages = [Image.fromarray(picture(24, 32, seed)) for seed in range(3)]
    for form, message in (("TIFF", "one picture; found 3 pages"), ("WebP", "an animation")):
        buffer = io.BytesIO()
        pages[0].save(buffer, form, save_all=True, append_images=pages[1:])
        with pytest.raises(SampleError, match=message):
            image_io.read_rgb(buffer.getvalue())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GIF89a" + bytes(20), "expected JPEG, PNG, TIFF, WebP, BMP; found GIF; export"),
        (bytes(4) + b"ftypheic" + bytes(20), "found HEIC; export it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS.*git lfs pull"),
        (b"BM is how this text begins", "found bytes 42 4d"),
        (b"", "an empty file"),
    ],
)
def test_what_is_not_read_is_named(data, message):
    with pytest.raises(SampleError, match=message) as error:
        image_io.read_rgb(data)
    assert error.value.reason == "image_unreadable"


@pytest.mark.parametrize("form", ["TIFF", "WebP", "BMP"])
def test_more_pixels_than_allowed_are_refused_before_decoding(form):
    data = bytearray(
        encoded(picture(24, 32), form, **({"lossless": True} if form == "WebP" else {}))
    )
    if form == "BMP":
        data[18:26] = (60_000).to_bytes(4, "little") * 2
    elif form == "WebP":
        data[21:25] = (0x3FFF | 0x3FFF << 14).to_bytes(4, "little")
    else:
        at = data.index(b"\x00\x01\x04\x00\x01\x00\x00\x00")
        data[at + 8 : at + 12] = (10**8).to_bytes(4, "little")
    with pytest.raises(SampleError, match=str(MAX_PIXELS)):
        read_header(bytes(data), "a.x")


def test_suffixes_and_beginnings_agree():
    assert {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"} == set(IMAGE_SUFFIXES)
    assert format_of(b"some text of no picture") is None


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".png"])
def test_id_mask_of_a_lossless_format_is_read(tmp_path: Path, suffix: str) -> None:
    ids = np.arange(64, dtype=np.uint8).reshape(8, 8)
    path = tmp_path / f"a_ID{suffix}"
    path.write_bytes(deep(ids, suffix))
    np.testing.assert_array_equal(image_io.read_id_mask(path), ids)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (encoded(picture(8, 8), "JPEG"), "JPEG of 8 bits"),
        (deep(np.full((8, 8), 300, np.uint16), ".png"), "PNG of 16 bits"),
    ],
)
def test_id_mask_whose_numbers_are_not_kept_is_refused(data: bytes, found: str) -> None:
    with pytest.raises(SampleError, match=f"PNG or TIFF or BMP of 8 bits; found {found}"):
        image_io.read_id_mask(data)
