"""Strict decoding: damage is noticed, colours and positions are kept."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from smil_ray.data import image_io
from smil_ray.data.filters import SampleError
from smil_ray.data.replicant.coordinates import Window


def picture(height: int = 240, width: int = 320, seed: int = 0) -> np.ndarray:
    """Return smooth colour noise, RGB."""
    small = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def png(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(rgb: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def reason_of(data: bytes) -> str:
    with pytest.raises(SampleError) as error:
        image_io.read_rgb(data)
    return error.value.reason


CARD = np.zeros((64, 192, 3), dtype=np.uint8)
CARD[:, :64, 0] = CARD[:, 64:128, 1] = CARD[:, 128:, 2] = 255


@pytest.mark.parametrize("encode", [png, jpeg, image_io.encode_jpeg])
def test_colour_card_comes_back_red_green_blue(encode):
    rgb = image_io.read_rgb(encode(CARD))
    for place, channel in ((32, 0), (96, 1), (160, 2)):
        expected = np.eye(3)[channel] * 255
        assert np.abs(rgb[32, place].astype(float) - expected).max() < 4


def test_stored_jpeg_comes_back():
    rgb = picture()
    assert np.abs(image_io.decode_jpeg(image_io.encode_jpeg(rgb, 95)).astype(int) - rgb).mean() < 4


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_healthy_jpegs_are_accepted(options, mode):
    flat = np.full((128, 256, 3), 127, dtype=np.uint8)  # Optimised, its scan is a run of zeros.
    for rgb in (picture(), flat):
        buffer = io.BytesIO()
        Image.fromarray(rgb).convert(mode).save(buffer, "JPEG", **options)
        assert image_io.read_rgb(buffer.getvalue()).shape == rgb.shape


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.95])
def test_truncated_jpeg_is_noticed(kept):
    data = jpeg(picture())
    assert reason_of(data[: int(len(data) * kept)]) == "image_damaged"


@pytest.mark.parametrize("seed", range(12))
def test_hole_of_zeros_in_a_jpeg_is_noticed(seed):
    data = bytearray(jpeg(picture(seed=seed)))
    start = int(np.random.default_rng(seed).integers(len(data) // 4, len(data) // 2))
    data[start : start + 500] = bytes(500)
    assert reason_of(bytes(data)) == "image_damaged"


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_truncated_png_is_noticed(kept):
    data = png(picture())
    assert reason_of(data[: int(len(data) * kept)]) == "image_damaged"


def test_flipped_bit_in_a_png_is_noticed():
    data = bytearray(png(picture()))
    data[len(data) // 2] ^= 1
    assert reason_of(bytes(data)) == "image_damaged"


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"GIF89a..."])
def test_other_bytes_are_refused(data):
    assert reason_of(data) == "image_unreadable"


def test_header_that_is_cut_off_is_damage():
    assert reason_of(b"\x89PNG\r\n\x1a\n") == "image_damaged"


def test_decode_bomb_is_refused_before_decoding():
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
    data += struct.pack(">I", zlib.crc32(header))
    assert reason_of(data) == "image_unreadable"


def test_missing_file_and_folder_have_reasons(tmp_path):
    for path, reason in ((tmp_path / "no.jpg", "image_missing"), (tmp_path, "image_unreadable")):
        with pytest.raises(SampleError, match=path.name) as error:
            image_io.read_rgb(path)
        assert error.value.reason == reason


@pytest.mark.parametrize("size", [30, 64, 100, 224, 500])
@pytest.mark.parametrize(("height", "width"), [(256, 256), (240, 320), (333, 250), (1001, 777)])
def test_reduced_decoding_equals_full_decoding(size, height, width):
    rgb = picture(height, width)
    data = jpeg(cv2.GaussianBlur(rgb, (0, 0), 6.0))
    window = Window.padded(width, height)
    full = image_io.cut(image_io.decode_rgb(data, "x"), window, size)
    reduced = image_io.read_rgb(data, size=size)
    assert reduced.shape == (size, size, 3)
    difference = np.abs(full.astype(int) - reduced)
    inner_slice = slice(size // 5, -size // 5)
    inner = difference[inner_slice, inner_slice]
    assert inner.mean() < 3.5
    assert np.abs((full.astype(int) - reduced)[inner_slice].mean()) < 0.5


def test_whole_picture_is_not_touched_at_native_size():
    rgb = picture(64, 64)
    assert np.array_equal(image_io.cut(rgb, Window.padded(64, 64), None), rgb)


@pytest.mark.parametrize("size", [20, 50, 100, 130])
def test_window_beyond_the_frame_is_black_and_keeps_areas(size):
    white = np.full((60, 100), 255, dtype=np.uint8)
    out = image_io.cut(white, Window.padded(100, 60), size)
    assert out.shape == (size, size)
    assert np.isclose(out.mean() / 255, 0.6, atol=0.02)
    assert out[0].max() == 0


def test_id_mask_is_the_red_channel(tmp_path):
    rgba = np.zeros((8, 9, 4), dtype=np.uint8)
    rgba[2, 3] = (7, 1, 2, 255)
    Image.fromarray(rgba).save(tmp_path / "x_ID.png")
    ids = image_io.read_id_mask(tmp_path / "x_ID.png")
    assert ids.shape == (8, 9)
    assert ids[2, 3] == 7
    assert ids.sum() == 7


@pytest.mark.parametrize("data", [b"", b"no picture", jpeg(CARD), png(CARD)[:200]])
def test_unreadable_id_mask_has_its_reason(data):
    with pytest.raises(SampleError) as error:
        image_io.read_id_mask(data)
    assert error.value.reason == "mask_unreadable"


def test_grey_palette_and_transparent_pngs_are_read():
    for mode in ("L", "P", "RGBA", "1"):
        file = io.BytesIO()
        Image.fromarray(np.full((8, 8), 255, np.uint8)).convert(mode).save(file, "PNG")
        assert (image_io.read_rgb(file.getvalue()) == 255).all(), mode
        assert (image_io.read_id_mask(file.getvalue()) == 255).all(), mode
