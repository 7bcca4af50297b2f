"""Pictures in and out: strict JPEG and PNG decoding, ID masks, square windows. Always RGB.

Decoders usually forgive: OpenCV, Pillow and torchvision return a picture without a word when
bytes in the middle of a JPEG are damaged. Here libjpeg-turbo's warnings are errors, PNG
checksums are verified, and a size beyond MAX_PIXELS is refused before anything is decoded.
"""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Shaped, UInt8

from smil_ray.data.filters import SampleError
from smil_ray.data.replicant.coordinates import Window
from smil_ray.errors import DataError

MAX_PIXELS = 100_000_000
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH = 24  # Place of the bits per channel in the header.
_MAX_JPEG_REDUCTION = 8
_ZERO_RUN = 64
"""Zero bytes in a row that no healthy scan of a JPEG contains, see `_check_zero_run`."""


def read_rgb(source: Path | bytes, *, size: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Return a JPEG or PNG as RGB, native size, or padded to a square of `size` pixels.

    Raises:
        SampleError: Missing, not a JPEG or PNG, too large, truncated or damaged.
    """
    data, name = _with_name(source)
    if size is None:
        return decode_rgb(data, name)
    width, height = picture_size(data, name)
    window = Window.padded(width, height)
    picture = decode_rgb(data, name, reduction=reduction_for(window, size))
    return cut(picture, window, size, scale=picture_scale(picture, width))


def decode_rgb(data: bytes, name: str, *, reduction: int = 1) -> UInt8[np.ndarray, "h w 3"]:
    """Return encoded bytes as RGB; a JPEG at 1/`reduction` (1, 2, 4, 8) of its size.

    Raises:
        SampleError: Not a JPEG or PNG, too large, truncated or damaged; `name` is named.
    """
    picture_size(data, name)
    if data.startswith(_PNG):
        return _decode_png(data, name)
    try:
        _check_zero_run(data, name)
        height, width = 0, 0
        if reduction > 1:
            width, height = (-(-side // reduction) for side in picture_size(data, name))
        return simplejpeg.decode_jpeg(
            data, colorspace="RGB", min_height=height, min_width=width, strict=True
        )
    except ValueError as error:
        raise SampleError("image_damaged", f"{name}: damaged JPEG ({error})") from None


def encode_jpeg(rgb: UInt8[np.ndarray, "h w 3"], quality: int = 95) -> bytes:
    """Return RGB as JPEG bytes, quality 1 to 100."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(rgb), quality=quality, colorspace="RGB", colorsubsampling="420"
    )


def write_png(path: Path, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write a picture for people; missing folders are made.

    Raises:
        DataError: The file cannot be written.
    """
    data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise DataError(f"{path}: cannot be written", found=error.strerror) from error


def decode_jpeg(buffer: bytes | UInt8[np.ndarray, " n"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return JPEG bytes of `encode_jpeg` as RGB; for stored pictures, whose bytes are trusted.

    Raises:
        SampleError: The bytes are damaged.
    """
    try:
        return simplejpeg.decode_jpeg(buffer, colorspace="RGB", strict=True)
    except ValueError as error:
        raise SampleError("image_damaged", f"stored JPEG is damaged ({error})") from None


def read_id_mask(source: Path | bytes) -> UInt8[np.ndarray, "h w"]:
    """Return replicAnt's subject ids, 0 = background: the red channel, or a grey picture.

    Raises:
        SampleError: Missing, not a PNG, too large, truncated or damaged (`mask_unreadable`).
    """
    try:
        data, name = _with_name(source)
        picture_size(data, name)
        if not data.startswith(_PNG):
            raise SampleError("mask_unreadable", f"{name}: ID mask", expected="a PNG file")
        pixels = _decode_png(data, name)
    except SampleError as error:
        raise SampleError("mask_unreadable", str(error)) from None
    return cv2.extractChannel(pixels, 0)


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        SampleError: Missing (`image_missing`) or not readable (`image_unreadable`).
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SampleError("image_missing", f"{path}: no such file") from None
    except OSError as error:
        raise SampleError("image_unreadable", f"{path}: {error.strerror}") from None


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """Return (width, height) out of the header, without decoding.

    Raises:
        SampleError: Not a JPEG or PNG, or more than MAX_PIXELS.
    """
    if data.startswith(_PNG) and len(data) >= 33:
        width, height = struct.unpack(">II", data[16:24])
    elif data.startswith(_JPEG):
        try:
            header = simplejpeg.decode_jpeg_header(data, strict=True)
        except ValueError as error:
            raise SampleError("image_damaged", f"{name}: damaged JPEG header ({error})") from None
        height, width = int(header[0]), int(header[1])
    else:
        found = "an empty file" if not data else f"bytes {data[:4].hex(' ')}"
        raise SampleError(
            "image_unreadable", f"{name}: picture", expected="JPEG or PNG", found=found
        )
    if not 0 < width * height <= MAX_PIXELS:
        raise SampleError(
            "image_unreadable",
            f"{name}: picture",
            expected=f"1 to {MAX_PIXELS} pixels",
            found=f"{width} x {height}",
        )
    return width, height


def reduction_for(window: Window, size: int | None) -> int:
    """Return the largest of 1, 2, 4, 8 by which `window` can shrink and still have `size` px."""
    reduction = 1
    while size is not None and reduction < _MAX_JPEG_REDUCTION:
        if window.side < 2 * reduction * size:
            break
        reduction *= 2
    return reduction


def picture_scale(picture: Shaped[np.ndarray, "h w *channels"], native_width: int) -> float:
    """Return decoded pixels per native pixel (1, 1/2, 1/4 or 1/8) of a reduced picture."""
    # A reduced side is rounded up, the content's scale is the exact power of two.
    return 1.0 / max(1, 2 ** round(np.log2(native_width / picture.shape[1])))


def cut(
    picture: UInt8[np.ndarray, "h w *channels"],
    window: Window,
    size: int | None,
    *,
    scale: float = 1.0,
) -> UInt8[np.ndarray, "side side *channels"]:
    """Return `window` (native px) of a picture as a square of `size` px, black outside.

    `scale` is the picture's decoded pixels per native pixel. Shrinking averages areas.
    """
    left, top, side = window.left * scale, window.top * scale, window.side * scale
    size = size or window.side
    height, width = picture.shape[:2]
    if (left, top) == (0.0, 0.0) and (height, width) == (side, side):
        if size == side:
            return picture
        factor = 1 << max(0, int(np.log2(side / size)))
        if factor > 1 and height % factor == 0:  # Quicker than one step of an odd size.
            picture = _shrink(picture, factor)
        method = cv2.INTER_AREA if size < side else cv2.INTER_LINEAR
        return cv2.resize(picture, (size, size), interpolation=method)
    if side >= 2 * size:
        factor = 1 << int(np.log2(side / size))
        picture = _shrink(picture, factor)
        left, top, side = left / factor, top / factor, side / factor
    step = side / size
    # Pixel centres: the centre of target pixel i lies at (i + 0.5) step + left of the source.
    shift = 0.5 * step - 0.5
    matrix = np.array([[step, 0.0, left + shift], [0.0, step, top + shift]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (size, size), flags=flags)


def _shrink(picture: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of factor x factor pixels; the picture is padded to whole blocks."""
    height, width = picture.shape[:2]
    picture = cv2.copyMakeBorder(
        picture, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE
    )
    target = (picture.shape[1] // factor, picture.shape[0] // factor)
    return cv2.resize(picture, target, interpolation=cv2.INTER_AREA)


def _with_name(source: Path | bytes) -> tuple[bytes, str]:
    return (source, "picture") if isinstance(source, bytes) else (read_bytes(source), source.name)


def _decode_png(data: bytes, name: str) -> np.ndarray:
    """Decode 8 bits per channel to RGB, after every chunk's checksum was verified."""
    depth = data[_PNG_DEPTH]
    if depth > 8:
        raise SampleError("image_unreadable", f"{name}: PNG", expected="8 bits", found=depth)
    position, kind = len(_PNG), b""
    while kind != b"IEND":
        header = data[position : position + 8]
        length, kind = struct.unpack(">I4s", header) if len(header) == 8 else (0, b"")
        body = data[position + 4 : position + 8 + length]
        checksum = data[position + 8 + length : position + 12 + length]
        if len(checksum) < 4:
            raise SampleError("image_damaged", f"{name}: truncated PNG")
        if zlib.crc32(body) != int.from_bytes(checksum, "big"):
            raise SampleError("image_damaged", f"{name}: damaged PNG (checksum of {kind!r})")
        position += 12 + length
    try:
        # To RGB takes half the time of IMREAD_UNCHANGED, which does not turn pictures either.
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise SampleError("image_damaged", f"{name}: PNG cannot be decoded")
    return pixels


def _check_zero_run(data: bytes, name: str) -> None:
    """Refuse a long run of zero bytes in a scan whose Huffman codes cannot produce one.

    libjpeg reads a hole of zeros as blocks, and sees nothing wrong when as many blocks were lost.
    But the all-zero code belongs to a table's first symbol: unless that is `end of block` in
    every AC table (flat areas, optimised tables), each block of zeros has 63 equal coefficients,
    which no encoder writes. Progressive and non-interleaved files are left to libjpeg.
    """
    start = data.find(b"\xff\xda")
    if data.find(bytes(_ZERO_RUN), max(start, 0)) >= 0 and not _may_hold_zeros(data, start):
        raise SampleError("image_damaged", f"{name}: damaged JPEG (a hole of zero bytes)")


def _may_hold_zeros(data: bytes, scan: int) -> bool:
    position, first_symbols, components = 2, [], 0
    while position + 4 <= scan:
        marker, length = struct.unpack(">HH", data[position : position + 4])
        body = data[position + 4 : position + 2 + length]
        if marker in (0xFFC0, 0xFFC1) and len(body) > 5:
            components = body[5]
        elif marker == 0xFFC4:
            while len(body) > 17:
                if body[0] >> 4 == 1:
                    first_symbols.append(body[17])
                body = body[17 + sum(body[1:17]) :]
        position += 2 + length
    interleaved = components > 0 and data[scan + 4 : scan + 5] == bytes([components])
    return not interleaved or all(symbol == 0 for symbol in first_symbols)
