"""The quick way to ID masks agrees with the general decoder and refuses what that refuses."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from smil_ray.data.filters import SampleError
from smil_ray.data.image_files.decoding import decode, decode_red
from smil_ray.data.image_files.formats import read_header

IDS = np.random.default_rng(0).integers(0, 4, (37, 29, 4), dtype=np.uint8)


def encoded(mode: str, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(IDS, "RGBA").convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def with_stream(data: bytes, change: int) -> bytes:
    """Return a PNG of one IDAT whose stream has a changed byte and a checksum that fits."""
    place = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[place - 4 : place])
    body = bytearray(data[place : place + 4 + length])
    body[change] ^= 0xFF
    crc = struct.pack(">I", zlib.crc32(body))
    return data[:place] + bytes(body) + crc + data[place + 8 + length :]


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("mode", "form", "options"),
    [
        *((mode, "PNG", {}) for mode in ("RGBA", "RGB", "L", "LA", "P", "1")),
        ("RGB", "PNG", {"transparency": (0, 0, 0)}),
        ("RGBA", "PNG", {"compress_level": 0}),
        ("RGB", "BMP", {}),
        ("RGB", "TIFF", {}),
    ],
)
def test_red_channel_equals_that_of_the_general_decoder(
    mode: str, form: str, options: dict
) -> None:
    data = encoded(mode, form, **options)
    header = read_header(data, "x")
    found = decode_red(data, "x", header)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, decode(data, "x", header).rgb[..., 0])


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
@pytest.mark.parametrize("mode", ["RGBA", "RGB"])
@pytest.mark.parametrize("place", [4, 20, 60])
def test_damaged_stream_with_a_fitting_checksum_is_refused(mode: str, place: int) -> None:
    data = with_stream(encoded(mode), place)
    with pytest.raises(SampleError, match="x: damaged PNG"):
        decode_red(data, "x", read_header(data, "x"))


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
def test_truncated_mask_is_refused() -> None:
    data = encoded("RGBA")
    with pytest.raises(SampleError, match="x: truncated PNG"):
        decode_red(data[:-20], "x", read_header(data, "x"))
