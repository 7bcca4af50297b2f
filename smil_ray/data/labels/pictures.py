"""The picture of a labelled frame: a file, a frame of a video, or one inside the label file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from smil_ray.data import image_io
from smil_ray.data.filters import SampleError
from smil_ray.data.image_files.formats import MAX_PIXELS
from smil_ray.data.labels.records import LabelledFrame

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, RuntimeError, cv2.error)


@dataclass(frozen=True)
class FramePicture:
    """A frame's picture, decoded late where it is a file.

    Attributes:
        size_px: Width and height of the stored pixels.
        data: The encoded file; None where `rgb` is given.
        rgb: The decoded picture; None where `data` is given.
    """

    name: str
    size_px: tuple[int, int]
    data: bytes | None = None
    rgb: UInt8[np.ndarray, "h w 3"] | None = None

    def decode(self, reduction: int = 1) -> UInt8[np.ndarray, "h w 3"]:
        """Return the pixels; those of a JPEG file at 1/`reduction` of its size.

        Raises:
            SampleError: The file is truncated or damaged.
        """
        if self.rgb is not None:
            return self.rgb
        return image_io.decode_rgb(self.data or b"", self.name, reduction=reduction)


def read_picture(frame: LabelledFrame, folder: Path | None = None) -> FramePicture:
    """Return the picture of a frame.

    Args:
        frame: Where it should be.
        folder: Where pictures and videos are looked for that are not there.

    Raises:
        SampleError: It is missing, cannot be read, or its video has no such frame.
    """
    if frame.problem is not None:
        raise SampleError(*frame.problem)
    if frame.picture is not None:
        path = find_file(frame.picture, folder)
        data = image_io.read_bytes(path)
        return FramePicture(path.name, image_io.picture_size(data, path.name), data)
    rgb = _video_frame(frame, folder)
    return FramePicture(frame.name, (rgb.shape[1], rgb.shape[0]), rgb=rgb)


def find_file(path: Path, folder: Path | None) -> Path:
    """Return `path`, or where it is not there, as much of its end as lies below `folder`."""
    if folder is None or path.is_file():
        return path
    tails = (Path(*path.parts[start:]) for start in range(len(path.parts)))
    return next((folder / tail for tail in tails if (folder / tail).is_file()), path)


def _video_frame(frame: LabelledFrame, folder: Path | None) -> UInt8[np.ndarray, "h w 3"]:
    video = frame.video
    path = Path(str(video.filename))
    there = find_file(path, folder)
    if not there.is_file():
        raise SampleError(
            "video_missing", f"{frame.name}: no video {path}; give its folder with --pictures"
        )
    try:
        if there != path:
            video.replace_filename(str(there))
        if video.backend is None:
            video.open_backend = True
            video.open()
        picture = None if video.backend is None else _read(video, frame.index)
    except _UNREADABLE as error:
        raise SampleError(
            "video_unreadable",
            f"{there}: frame {frame.index}",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
        ) from error
    if picture is None:
        raise SampleError(
            "frame_missing",
            f"{there}: frame {frame.index}",
            expected="a frame of the video",
            found=f"a video of {_length(video)} frames",
        )
    return _rgb(picture)


def _read(video: Any, index: int) -> np.ndarray | None:
    """Return the frame, None where the video ends before it."""
    if not video.backend.has_frame(index):
        return None
    try:
        return np.asarray(video[index])
    except IndexError:
        return None


def _length(video: Any) -> str:
    shape = video.shape
    return "an unknown number of" if shape is None else str(shape[0])


def _rgb(picture: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    if picture.ndim != 3 or picture.shape[0] * picture.shape[1] > MAX_PIXELS:
        raise SampleError("image_unreadable", f"a video's frame of shape {picture.shape}")
    if picture.dtype != np.uint8:
        raise SampleError("image_unreadable", f"a video's frame of {picture.dtype} values")
    if picture.shape[2] == 1:
        return np.repeat(picture, 3, axis=2)
    return np.ascontiguousarray(picture[:, :, :3])
