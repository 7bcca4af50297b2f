"""Files that somebody sends: streamed to the disk, bounded, and told by their content."""

from collections.abc import AsyncIterator
from pathlib import Path

from smil_ray.data.image_files.uploads import (
    MAX_UPLOAD_BYTES,
    MAX_UPLOAD_PIXELS,
    MAX_UPLOAD_SIDE,
)
from smil_ray.data.image_io import read_bytes, read_upload
from smil_ray.errors import DataError
from smil_ray.results.prediction.images import is_video
from smil_ray.results.prediction.video import FrameRange, VideoInfo, read_frames, video_info
from smil_ray.serve.refusals import too_large

MAX_VIDEO_BYTES = 2**30
MAX_FILES = 500
MAX_TOTAL_BYTES = 4 * 2**30
_CONTAINERS = (
    *((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"RIFF"), (0, b"\x1aE\xdf\xa3")),
    *(
        (0, b"\x00\x00\x01\xba"),
        (0, b"OggS"),
        (0, b"\x30\x26\xb2\x75"),
        (0, b"\x00\x00\x01\xb3"),
        (0, b"G"),
        (4, b"G"),
    ),
)
"""Where in a file what says that it is a video. Playlists, which name other files, are none."""


def most_bytes(name: str) -> int:
    """Return how large a file of this name may be."""
    return MAX_VIDEO_BYTES if is_video(Path(name)) else MAX_UPLOAD_BYTES


async def save(chunks: AsyncIterator[bytes], path: Path, most: int, name: str) -> None:
    """Write what is sent to a file, as it comes.

    Raises:
        RefusedError: It is more than `most` bytes.
    """
    size = 0
    with path.open("wb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise too_large(name, most, "more")
            file.write(chunk)


def check_file(path: Path, name: str) -> tuple[VideoInfo | None, tuple[int, int]]:
    """Return what a video says of itself (None: a picture), and width and height.

    A picture is decoded once, of a video the first frame, so that damaged ones are refused here.

    Raises:
        DataError: Empty, neither a picture nor a video that is read, too large, or damaged.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{name}: an empty file", expected="a picture or a video")
    if not is_video(Path(name)):
        rgb = read_upload(read_bytes(path), name).rgb
        return None, (rgb.shape[1], rgb.shape[0])
    with path.open("rb") as file:
        head = file.read(16)
    if not any(head[at:].startswith(mark) for at, mark in _CONTAINERS):
        raise DataError(f"{name}: not a video", expected="MP4, MOV, AVI, MKV, WebM or MPEG")
    try:
        info = video_info(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), name)) from None
    width, height = info.size_px
    if width * height > MAX_UPLOAD_PIXELS or max(width, height) > MAX_UPLOAD_SIDE:
        raise DataError(
            f"{name}: video",
            expected=f"at most {MAX_UPLOAD_PIXELS:,} pixels a frame",
            found=f"{width} x {height}",
        )
    if info.n_frames < 1 or next(read_frames(path, FrameRange(0, 1)), None) is None:
        raise DataError(f"{name}: no frame can be read", remedy="export it as MP4 (H.264)")
    return info, info.size_px
