"""What the header of a picture file says: format, size, bits, and which way up it is.

JPEG, PNG, TIFF, WebP and BMP are read; other formats are told by name, so that the message about
a phone's HEIC says so. Nothing is decoded here, and every number is checked before it is used.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import simplejpeg

from smil_ray.core.git_lfs import REMEDY, is_lfs_pointer
from smil_ray.data.filters import SampleError
from smil_ray.data.image_files._tiff_tags import first_orientation, tiff_pages

MAX_PIXELS = 100_000_000
LOSSLESS = ("PNG", "TIFF", "BMP")
"""Formats that keep numbers such as subject ids as they are."""
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "WebP": (".webp",),
    "BMP": (".bmp",),
}
"""Formats that are read, and how their files' names end."""
IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
HEAD_BYTES = 16
"""How many bytes of a file tell its format."""
_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "BigTIFF",
    b"MM\x00+": "BigTIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"v/1\x01": "OpenEXR",
    b"\xff\x0a": "JPEG XL",
}
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"avif": "AVIF"}
_ORIENTATIONS = range(1, 9)
_BMP_CORE_HEADER = 12


class _SeveralPicturesError(Exception):
    """The file holds more than one picture."""


@dataclass(frozen=True)
class Header:
    """What is known of a picture before it is decoded.

    Attributes:
        format: A key of SUFFIXES.
        width, height: Of the stored pixels.
        bits: Bits per channel, as stored.
        orientation: EXIF's number: 1 if the stored pixels are upright, 2 to 8 if a viewer has to
            mirror or turn them first (6: a quarter turn clockwise).
        zero_is_white: Grey values are darkness.
    """

    format: str
    width: int
    height: int
    bits: int = 8
    orientation: int = 1
    zero_is_white: bool = False


def format_of(data: bytes) -> str | None:
    """Return the format of a file by its first HEAD_BYTES, None if it is no known picture."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    if data.startswith(b"BM") and len(data) >= 14 and data[6:10] != bytes(4):
        return None  # Text may begin with these two letters; reserved fields of a BMP are zero.
    return next((name for start, name in _BEGINNINGS.items() if data.startswith(start)), None)


def read_header(data: bytes, name: str) -> Header:
    """Return what the header of encoded bytes says; `name` is named in errors.

    Raises:
        SampleError: Not a format that is read, a damaged header, or more than MAX_PIXELS.
    """
    kind = format_of(data)
    if kind not in SUFFIXES:
        raise _unknown(data, kind, name)
    try:
        header = _READERS[kind](data)
    except _SeveralPicturesError as error:
        raise SampleError(
            "image_unreadable", f"{name}: {kind}", expected="one picture", found=error
        ) from None
    except (ValueError, struct.error, IndexError) as error:
        raise SampleError("image_damaged", f"{name}: damaged {kind} header ({error})") from None
    width, height = header.width, header.height
    if not 0 < width * height <= MAX_PIXELS or min(width, height) <= 0:
        raise SampleError(
            "image_unreadable",
            f"{name}: picture",
            expected=f"1 to {MAX_PIXELS} pixels",
            found=f"{width} x {height}",
        )
    return header


def _unknown(data: bytes, kind: str | None, name: str) -> SampleError:
    if is_lfs_pointer(data):
        text = f"{name}: a Git LFS pointer stands in place of the picture; {REMEDY}"
        return SampleError("image_unreadable", text)
    expected = ", ".join(SUFFIXES)
    found = "an empty file" if not data else f"bytes {data[:4].hex(' ')}"
    if kind is not None:
        found = f"{kind}; export it as one of these"
    return SampleError("image_unreadable", f"{name}: picture", expected=expected, found=found)


def _jpeg(data: bytes) -> Header:
    height, width = simplejpeg.decode_jpeg_header(data, strict=True)[:2]
    return Header("JPEG", int(width), int(height), 8, _jpeg_orientation(data))


def _jpeg_orientation(data: bytes) -> int:
    position = 2
    while data[position : position + 1] == b"\xff" and position + 4 <= len(data):
        kind, length = struct.unpack(">xBH", data[position : position + 4])
        body = data[position + 4 : position + 2 + length]
        if kind == 0xE1 and body.startswith(b"Exif\x00\x00"):
            return _upright_unless_valid(first_orientation(body[6:]))
        if kind == 0xDA or length < 2:
            break
        position += 2 + length
    return 1


def _png(data: bytes) -> Header:
    width, height, depth = struct.unpack(">IIB", data[16:25])
    orientation = 1
    for kind, start, end in _png_chunks(data):
        if kind == b"eXIf":
            orientation = first_orientation(data[start:end])
    return Header("PNG", width, height, depth, _upright_unless_valid(orientation))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk and where its content begins and ends, copying none."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        yield kind, position + 8, position + 8 + length
        position += 12 + length


def _tiff(data: bytes) -> Header:
    pages = tiff_pages(data)
    if not pages:
        raise ValueError("no page")
    if len(pages) > 1:
        raise _SeveralPicturesError(f"{len(pages)} pages; save each as a file of its own")
    first = pages[0]
    return Header(
        *("TIFF", first.width, first.height, first.bits),
        _upright_unless_valid(first.orientation),
        first.zero_is_white,
    )


def _webp(data: bytes) -> Header:
    kind, width, height = data[12:16], 0, 0
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        if data[20] & 2:
            raise _SeveralPicturesError("an animation; save one of its pictures")
    elif kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        width, height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
    orientation = 1
    for name, start, end in _riff_chunks(data):
        if name == b"EXIF":
            orientation = first_orientation(data[start:end].removeprefix(b"Exif\x00\x00"))
    return Header("WebP", width, height, 8, _upright_unless_valid(orientation))


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[position : position + 8])
        yield kind, position + 8, position + 8 + length
        position += 8 + length + length % 2


def _bmp(data: bytes) -> Header:
    (size,) = struct.unpack("<I", data[14:18])
    if size == _BMP_CORE_HEADER:
        width, height = struct.unpack("<HH", data[18:22])
    else:
        width, height = struct.unpack("<ii", data[18:26])
    return Header("BMP", width, abs(height))


def _upright_unless_valid(orientation: int) -> int:
    return orientation if orientation in _ORIENTATIONS else 1


_READERS = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "WebP": _webp, "BMP": _bmp}
