"""What a server says of requests that are too large, and how it gets to say it."""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from smil_ray.errors import DataError

if TYPE_CHECKING:
    from starlette.types import Receive

SECONDS_TO_FINISH, SILENT_SECONDS = 30.0, 1.0
"""How long what is refused may go on coming, and how long a pause in it may be."""


class RefusedError(DataError):
    """Something that was sent is too large (HTTP status 413)."""


def too_large(name: str, most: int, found: str, remedy: str | None = None) -> RefusedError:
    """Return the error of something that has more than `most` bytes."""
    expected = f"at most {most / 2**20:,.4g} MiB"
    return RefusedError(f"{name}: too large", expected=expected, found=found, remedy=remedy)


def check_announced(length: str | None, most: int, name: str, remedy: str | None = None) -> None:
    """Refuse a Content-Length beyond `most` bytes before anything is read.

    Raises:
        RefusedError: It is.
    """
    if length is not None and length.isdigit() and int(length) > most:
        raise too_large(name, most, f"{int(length) / 2**20:,.0f} MiB announced", remedy)


async def let_finish(receive: "Receive") -> None:
    """Throw away what still comes of a request: who is cut off while sending sees no answer."""
    ends = time.monotonic() + SECONDS_TO_FINISH
    with contextlib.suppress(asyncio.TimeoutError):
        while time.monotonic() < ends:
            message = await asyncio.wait_for(receive(), SILENT_SECONDS)
            if not message.get("more_body", False):
                break
