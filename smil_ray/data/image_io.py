"""Pictures in and out: strict decoding, ID masks, square windows. Always RGB.

JPEG, PNG, TIFF, WebP and BMP are read (`image_files`), with more than 8 bits by their own range; a
size beyond MAX_PIXELS is refused before anything is decoded. Data sets use pixels as they are
stored, because labels refer to those; predictions use pictures as a viewer shows them
(`read_upright`).
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Shaped, UInt8

from smil_ray.data.filters import SampleError
from smil_ray.data.image_files.decoding import decode, decode_red
from smil_ray.data.image_files.formats import LOSSLESS, Header, read_header
from smil_ray.data.image_files.uploads import check_upload
from smil_ray.data.replicant.coordinates import Window
from smil_ray.errors import DataError

_MAX_JPEG_REDUCTION = 8
_TURNS = {
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.swapaxes(0, 1),
    6: lambda rgb: np.rot90(rgb, -1),
    7: lambda rgb: rgb[::-1, ::-1].swapaxes(0, 1),
    8: lambda rgb: np.rot90(rgb),
}
"""EXIF orientation -> what brings the stored pixels upright; 1 is upright."""
TURNED = "turned upright"
"""How the note begins that a picture was turned."""


@dataclass(frozen=True)
class UprightPicture:
    """A picture as a viewer shows it.

    Attributes:
        rgb: Turned as EXIF says.
        notes: What was done to the stored pixels, in words.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    notes: tuple[str, ...] = ()


def read_upright(path: Path) -> UprightPicture:
    """Return a picture file the way up that viewers show it, which EXIF says.

    Raises:
        SampleError: Missing, no picture that is read, too large, truncated or damaged.
    """
    data = read_bytes(path)
    return _upright(data, path.name, read_header(data, path.name))


def read_upload(data: bytes, name: str) -> UprightPicture:
    """Return an encoded picture that somebody sent, the way up that viewers show it.

    Raises:
        SampleError: Beyond the limits of `image_files.uploads`, which its header tells before
            anything is decoded; no picture that is read, truncated or damaged.
    """
    return _upright(data, name, check_upload(data, name))


def _upright(data: bytes, name: str, header: Header) -> UprightPicture:
    decoded = decode(data, name, header)
    rgb, notes = decoded.rgb, []
    if decoded.levels is not None:
        low, high = decoded.levels
        notes.append(f"{header.bits} bits: {low:g} to {high:g} became 0 to 255")
    if header.orientation in _TURNS:
        rgb = np.ascontiguousarray(_TURNS[header.orientation](rgb))
        notes.append(f"{TURNED} (EXIF orientation {header.orientation})")
    return UprightPicture(rgb, tuple(notes))


def read_rgb(source: Path | bytes, *, size: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture's stored pixels, native size, or padded to a square of `size` pixels.

    Raises:
        SampleError: Missing, no picture that is read, too large, truncated or damaged.
    """
    data, name = _with_name(source)
    if size is None:
        return decode_rgb(data, name)
    width, height = picture_size(data, name)
    window = Window.padded(width, height)
    picture = decode_rgb(data, name, reduction=reduction_for(window, size))
    return cut(picture, window, size, scale=picture_scale(picture, width))


def decode_rgb(data: bytes, name: str, *, reduction: int = 1) -> UInt8[np.ndarray, "h w 3"]:
    """Return the stored pixels of encoded bytes; a JPEG at 1/`reduction` (1, 2, 4, 8) of its size.

    Raises:
        SampleError: No picture that is read, too large, truncated or damaged; `name` is named.
    """
    return decode(data, name, read_header(data, name), reduction).rgb


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
        SampleError: Missing, not a lossless format of 8 bits, too large, truncated or damaged
            (`mask_unreadable`).
    """
    try:
        data, name = _with_name(source)
        header = read_header(data, name)
        if header.format not in LOSSLESS or header.bits > 8:
            raise SampleError(
                "mask_unreadable",
                f"{name}: ID mask",
                expected=f"{' or '.join(LOSSLESS)} of 8 bits",
                found=f"{header.format} of {header.bits} bits",
            )
        return decode_red(data, name, header)
    except SampleError as error:
        raise SampleError("mask_unreadable", str(error)) from None


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
    """Return (width, height) of the stored pixels, without decoding.

    Raises:
        SampleError: No picture that is read, or more than `image_files.formats.MAX_PIXELS`.
    """
    header = read_header(data, name)
    return header.width, header.height


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
    if height % factor or width % factor:
        picture = cv2.copyMakeBorder(
            picture, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE
        )
    target = (picture.shape[1] // factor, picture.shape[0] // factor)
    return cv2.resize(picture, target, interpolation=cv2.INTER_AREA)


def _with_name(source: Path | bytes) -> tuple[bytes, str]:
    return (source, "picture") if isinstance(source, bytes) else (read_bytes(source), source.name)
