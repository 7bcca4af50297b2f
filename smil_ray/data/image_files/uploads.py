"""Limits for pictures that somebody sends, told by the header before anything is decoded.

Beside the number of pixels the longer side is limited, because pictures are padded to squares: one
of 10,000,000 x 1 px would need as much memory as a square of that side.
"""

from smil_ray.data.filters import SampleError
from smil_ray.data.image_files.formats import Header, read_header

MAX_UPLOAD_BYTES = 64 * 2**20
MAX_UPLOAD_PIXELS = 64_000_000
"""Of 8 bits a channel; of 16 bits half as many."""
MAX_UPLOAD_SIDE = 10_000


def check_upload(data: bytes, name: str) -> Header:
    """Return the header of an encoded picture that may be decoded in a bounded memory.

    Args:
        data: The encoded picture, as it was sent.
        name: What it is called in errors.

    Raises:
        SampleError: Too many bytes or pixels, or no format that is read.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise SampleError(
            "image_unreadable",
            f"{name}: picture",
            expected=f"at most {MAX_UPLOAD_BYTES // 2**20} MiB",
            found=f"{len(data) / 2**20:.0f} MiB",
        )
    header = read_header(data, name)
    most = MAX_UPLOAD_PIXELS * 8 // max(header.bits, 8)
    width, height = header.width, header.height
    if width * height > most or max(width, height) > MAX_UPLOAD_SIDE:
        raise SampleError(
            "image_unreadable",
            f"{name}: picture of {header.bits} bits",
            expected=f"at most {most:,} pixels, and {MAX_UPLOAD_SIDE:,} on the longer side",
            found=f"{width} x {height}",
        )
    return header
