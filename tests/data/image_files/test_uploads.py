"""Pictures that somebody sends are refused by their header, before memory is taken."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from smil_ray.data.filters import SampleError
from smil_ray.data.image_files import uploads
from smil_ray.data.image_io import read_rgb, read_upload
from tests.data.test_image_io import jpeg, picture, png


def png_header(width: int, height: int, bits: int = 8) -> bytes:
    """Return a PNG whose header announces a size that its few bytes of data do not have."""
    found = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(999))), (b"IEND", b"")):
        found += struct.pack(">I", len(body)) + kind + body
        found += struct.pack(">I", zlib.crc32(kind + body))
    return found


def huge_tiff() -> bytes:
    """Return a real TIFF of 30,000 x 30,000 black pixels of 1 bit."""
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "TIFF", compression="packbits")
    return buffer.getvalue()


def huge_jpeg() -> bytes:
    data = jpeg(picture(64, 64))
    place = data.index(b"\xff\xc0")
    return data[: place + 5] + struct.pack(">HH", 30_000, 30_000) + data[place + 9 :]


def renamed_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", jpeg(picture(64, 64)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "an empty file"),
        (b"BM is how this text begins, and it is no picture", "found bytes"),
        (renamed_zip(), "found bytes 50 4b 03 04"),
        (jpeg(picture())[:3000], "damaged JPEG"),
        (png(picture())[:3000], "truncated PNG"),
        (png_header(30_000, 30_000), "found 30000 x 30000"),
        (huge_jpeg(), "found 30000 x 30000"),
        (huge_tiff(), "found 30000 x 30000"),
        (png_header(10_000_000, 1), "10,000 on the longer side; found 10000000 x 1"),
        (png_header(8_000, 8_000, bits=16), "at most 32,000,000 pixels"),
        (jpeg(picture()) + bytes(uploads.MAX_UPLOAD_BYTES), "at most 64 MiB; found 64 MiB"),
    ],
)
def test_bad_upload_is_refused_in_one_sentence_and_little_memory(data: bytes, sentence: str):
    tracemalloc.start()
    try:
        with pytest.raises(SampleError, match=r"^sent\.jpg: .*\.$") as error:
            read_upload(data, "sent.jpg")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sentence in str(error.value)
    assert peak < 2e6


def test_good_upload_is_shown_upright():
    buffer = io.BytesIO()
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(picture(90, 120)).save(buffer, "PNG", exif=tag)
    upright = read_upload(buffer.getvalue(), "sent.png")
    np.testing.assert_array_equal(upright.rgb, np.rot90(read_rgb(buffer.getvalue()), -1))


def test_deep_picture_is_scaled_in_little_more_memory_than_it_has():
    pixels = np.random.default_rng(0).integers(0, 4096, (1500, 2000, 3), dtype=np.uint16)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    tracemalloc.start()
    try:
        upright = read_upload(data, "sent.png")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    expected = np.round((pixels[..., ::-1] / 1.0 - pixels.min()) * 255.0 / np.ptp(pixels))
    np.testing.assert_array_equal(upright.rgb, expected.astype(np.uint8))
    assert peak < 3.5 * pixels.nbytes
