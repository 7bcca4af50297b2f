"""Videos by OpenCV, which brings FFmpeg: frames in order, and overlays as a video."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from smil_ray.errors import ConfigError, DataError

_FEWEST_LOST = 2
_LOST_SHARE = 0.02
"""Containers without an index guess how many frames they hold; fewer than this are not missed."""


@dataclass(frozen=True)
class FrameRange:
    """Which frames of a video are meant: `start` up to, not including, `stop`, each `step`-th."""

    start: int = 0
    stop: int | None = None
    step: int = 1

    @classmethod
    def parse(cls, text: str) -> "FrameRange":
        """Return the range of START:STOP:STEP, any of which may be left out.

        Raises:
            ConfigError: It is none.
        """
        parts = text.split(":")
        try:
            numbers = [int(part) if part.strip() else None for part in parts]
        except ValueError:
            numbers = []
        start, stop, step = [*numbers, None, None, None][:3]
        found = cls(start or 0, stop, 1 if step is None else step)
        is_range = 2 <= len(numbers) <= 3 and found.start >= 0 and found.step >= 1
        if not is_range or (stop is not None and stop <= found.start):
            raise ConfigError(
                "--frames",
                expected="START:STOP:STEP with 0 <= START < STOP and STEP of at least 1",
                found=repr(text),
                remedy="0:1000:5 takes every fifth of the first 1000 frames",
            )
        return found

    def __contains__(self, frame: object) -> bool:
        """Return whether a frame, counted from 0, is meant."""
        if not isinstance(frame, int) or frame < self.start:
            return False
        is_before = self.stop is None or frame < self.stop
        return is_before and (frame - self.start) % self.step == 0

    def count(self, n_frames: int) -> int:
        """Return how many of a video's frames are meant."""
        stop = n_frames if self.stop is None else min(self.stop, n_frames)
        return len(range(self.start, stop, self.step))

    def __str__(self) -> str:
        """Return START:STOP:STEP."""
        return f"{self.start}:{'' if self.stop is None else self.stop}:{self.step}"


ALL_FRAMES = FrameRange()


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself.

    Attributes:
        n_frames: 0 where it is not known.
        fps: Frames a second, 0 where it is not known.
        size_px: Width and height, the way up that viewers show it.
    """

    n_frames: int
    fps: float
    size_px: tuple[int, int]

    def time_s(self, frame: int) -> float:
        """Return when a frame is shown, seconds from the first; NaN where the rate is unknown."""
        return frame / self.fps if self.fps > 0 else float("nan")


def video_info(path: Path) -> VideoInfo:
    """Return what a video says of itself.

    Raises:
        DataError: It cannot be opened.
    """
    capture = _open(path)
    try:
        return _info(capture)
    finally:
        capture.release()


def read_frames(
    path: Path, frames: FrameRange, skipped: Container[int] = ()
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Yield number and picture (RGB) of the wanted frames in order, but not of those `skipped`.

    Frames are decoded one after the other from the first: seeking is not exact in every format.

    Raises:
        DataError: The video cannot be opened, or ends before it should: it is damaged.
    """
    capture = _open(path)
    try:
        n_frames = _info(capture).n_frames
        number = 0
        while frames.stop is None or number < frames.stop:
            if not capture.grab():
                break
            if number in frames and number not in skipped:
                is_read, bgr = capture.retrieve()
                if not is_read:
                    break
                yield number, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            number += 1
    finally:
        capture.release()
    expected = n_frames if frames.stop is None else min(frames.stop, n_frames)
    if number < expected - max(_FEWEST_LOST, _LOST_SHARE * n_frames):
        raise DataError(
            f"{path}: damaged video",
            expected=f"{n_frames} frames, as it says of itself",
            found=f"no frame after {number}",
            remedy="copy or export it again",
        )


class VideoWriter:
    """Writes frames of one size as MPEG-4; `close` puts the whole file in its place.

    Raises:
        DataError: The file cannot be written.
    """

    def __init__(self, path: Path, fps: float, size_px: tuple[int, int]) -> None:
        self.path = path
        self._partial = path.with_name(f".{path.stem}.partial{path.suffix}")
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._partial), code, fps, size_px)
        if not self._writer.isOpened():
            raise DataError(f"{path}: cannot be written as a video", remedy="free space")

    def add(self, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Append a frame."""
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()
        self._partial.replace(self.path)


def _open(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture.release()
        raise DataError(
            f"{path}: cannot be opened as a video",
            found="a file that is missing, damaged or of another kind",
            remedy="export it as MP4 (H.264)",
        )
    return capture


def _info(capture: cv2.VideoCapture) -> VideoInfo:
    n_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    fps = capture.get(cv2.CAP_PROP_FPS)
    size = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    usable = 0.0 < fps < 1e5 and np.isfinite(fps)
    return VideoInfo(
        max(int(n_frames), 0), float(fps) if usable else 0.0, (int(size[0]), int(size[1]))
    )
