"""Soft silhouettes as bytes, without loss: the bounding box and its deflated 8-bit values.

Decision 0003 says why masks are not packed bits: their edges are soft.
"""

import struct
import zlib

import numpy as np
from jaxtyping import UInt8

from smil_ray.errors import DataError

_BOX = struct.Struct("<4H")  # Top, left, height, width of the box, pixels.


def encode_mask(mask: UInt8[np.ndarray, "h w"]) -> bytes:
    """Return a mask as bytes (`docs/data_format.md` section 4.2)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return _BOX.pack(0, 0, 0, 0)
    top, left = int(rows[0]), int(columns[0])
    box = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    header = _BOX.pack(top, left, box.shape[0], box.shape[1])
    return header + zlib.compress(box.tobytes(), 6)


def decode_mask(data: bytes | memoryview, size: int) -> UInt8[np.ndarray, "h w"]:
    """Return the mask (size, size) that `encode_mask` was given.

    Raises:
        DataError: The bytes are not a mask of this size.
    """
    mask = np.zeros((size, size), dtype=np.uint8)
    try:
        top, left, height, width = _BOX.unpack_from(data)
        if not height * width:
            return mask
        inflater = zlib.decompressobj()
        values = inflater.decompress(data[_BOX.size :], height * width + 1)
        box = np.frombuffer(values, dtype=np.uint8).reshape(height, width)
        mask[top : top + height, left : left + width] = box
    except (struct.error, zlib.error, ValueError) as error:
        raise DataError("mask", expected=f"a mask of {size} px", found=str(error)) from error
    if not inflater.eof:
        raise DataError("mask", expected=f"a mask of {size} px", found="damaged bytes")
    return mask
