"""The tags of TIFF files, and of EXIF data, which have the same form."""

import struct
from dataclasses import dataclass

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_SUBFILE = 254
_NO_PICTURE = 0b101
"""Bits of the subfile type that mark a thumbnail and a transparency mask."""
_NUMBERS = {1: "B", 3: "H", 4: "I"}
"""Types of tags that hold whole numbers, and how `struct` reads them."""
_MAX_PAGES = 10_000


@dataclass(frozen=True)
class Page:
    """The tags of one picture in a TIFF file that matter here.

    Attributes:
        bits: Bits per channel.
        zero_is_white: Grey values are darkness.
        orientation: EXIF's number, 1 for upright.
        orientation_at: Where that number stands in the file, None where it does not.
        order: Byte order, `<` or `>`.
    """

    width: int
    height: int
    bits: int
    zero_is_white: bool
    orientation: int
    orientation_at: int | None
    order: str


def tiff_pages(data: bytes) -> list[Page]:
    """Return the pictures of a TIFF file, thumbnails and masks left out.

    Raises:
        ValueError, struct.error: The file is damaged.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or struct.unpack(f"{order}H", data[2:4]) != (42,):
        raise ValueError("no TIFF header")
    (place,) = struct.unpack(f"{order}I", data[4:8])
    pages, seen = [], set()
    while place and place not in seen and len(seen) < _MAX_PAGES:
        seen.add(place)
        tags, place = _directory(data, place, order)
        if tags.get(_SUBFILE, (0, 0))[0] & _NO_PICTURE:
            continue
        turned = tags.get(_ORIENTATION)
        pages.append(
            Page(
                width=tags.get(_WIDTH, (0, 0))[0],
                height=tags.get(_HEIGHT, (0, 0))[0],
                bits=tags.get(_BITS, (1, 0))[0],
                zero_is_white=tags.get(_PHOTOMETRIC, (1, 0))[0] == 0,
                orientation=1 if turned is None else turned[0],
                orientation_at=None if turned is None else turned[1],
                order=order,
            )
        )
    return pages


def first_orientation(exif: bytes) -> int:
    """Return the orientation that EXIF data give; 1 where they are damaged or give none."""
    try:
        pages = tiff_pages(exif)
    except (ValueError, struct.error):
        return 1
    return pages[0].orientation if pages else 1


def stored_as_is(data: bytes) -> bytes:
    """Return a TIFF file whose orientation says upright, so that no decoder turns its pixels."""
    changed = bytearray(data)
    for page in tiff_pages(data):
        if page.orientation_at is not None:
            struct.pack_into(f"{page.order}H", changed, page.orientation_at, 1)
    return bytes(changed)


def _directory(data: bytes, place: int, order: str) -> tuple[dict[int, tuple[int, int]], int]:
    """Return the first number of each tag and where it stands, and the place of the next page."""
    (count,) = struct.unpack(f"{order}H", data[place : place + 2])
    tags = {}
    for at in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack(f"{order}HHI", data[at : at + 8])
        letter = _NUMBERS.get(kind)
        if letter is None or length == 0:
            continue
        where, size = at + 8, struct.calcsize(letter)
        if length * size > 4:
            (where,) = struct.unpack(f"{order}I", data[at + 8 : at + 12])
        (tags[tag],) = (
            (number, where)
            for number in struct.unpack(f"{order}{letter}", data[where : where + size])
        )
    end = place + 2 + 12 * count
    following = data[end : end + 4]
    return tags, struct.unpack(f"{order}I", following)[0] if len(following) == 4 else 0
