"""A picture and the square of it that the network sees."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from smil_ray.data.image_io import read_upright
from smil_ray.data.replicant.coordinates import Window

_LARGEST_SIDE = 16_384
"""Of a square in pixels; a larger one (3 bytes each) is made of a smaller picture."""


@dataclass(frozen=True)
class Picture:
    """One picture as a viewer shows it.

    Attributes:
        path: Where it comes from.
        rgb: Native resolution.
        notes: What was done to the stored pixels, in words.
    """

    path: Path
    rgb: UInt8[np.ndarray, "h w 3"]
    notes: tuple[str, ...] = ()

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.rgb.shape[1], self.rgb.shape[0]

    @property
    def whole(self) -> Window:
        """The smallest square around the whole picture."""
        return Window.padded(*self.size_px)

    def without_pixels(self) -> "Picture":
        """Return the picture's name, size and notes: every pixel is black and takes no memory."""
        return replace(self, rgb=np.broadcast_to(np.uint8(0), self.rgb.shape))

    def cut(self, window: Window, size: int) -> UInt8[np.ndarray, "size size 3"]:
        """Return a square of the picture at `size` x `size` px, black outside the picture.

        Squares of more than 16,384 px, which long and narrow pictures have, are cut from the
        picture at a whole fraction of its size, so that their memory is bounded; places then
        are right to one pixel of that smaller picture.
        """
        if window.side > _LARGEST_SIDE:
            return self._shrunk(-(-window.side // _LARGEST_SIDE), window, size)
        height, width = self.rgb.shape[:2]
        right, bottom = window.left + window.side, window.top + window.side
        part = self.rgb[max(window.top, 0) : max(bottom, 0), max(window.left, 0) : max(right, 0)]
        if part.size == 0:
            return np.zeros((size, size, 3), dtype=np.uint8)
        padded = cv2.copyMakeBorder(
            part,
            max(-window.top, 0),
            max(bottom - height, 0),
            max(-window.left, 0),
            max(right - width, 0),
            cv2.BORDER_CONSTANT,
        )
        method = cv2.INTER_AREA if size < window.side else cv2.INTER_LINEAR
        return cv2.resize(padded, (size, size), interpolation=method)

    def _shrunk(self, factor: int, window: Window, size: int) -> UInt8[np.ndarray, "size size 3"]:
        width, height = (max(1, round(side / factor)) for side in self.size_px)
        smaller = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        left, top, side = (
            round(place / factor) for place in (window.left, window.top, window.side)
        )
        return Picture(self.path, smaller).cut(Window(left, top, side), size)


def open_picture(path: Path) -> Picture:
    """Return a picture, the right way up where EXIF says that it is stored otherwise.

    Raises:
        DataError: It cannot be read.
    """
    read = read_upright(path)
    return Picture(path, read.rgb, read.notes)
