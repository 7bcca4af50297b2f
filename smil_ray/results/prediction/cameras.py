"""Known cameras: a field of view or calibrated intrinsics become fx, fy, cx, cy in pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from jaxtyping import Float

from smil_ray.errors import ConfigError, DataError
from smil_ray.results.prediction.boxes import table_rows
from smil_ray.results.prediction.images import match_names

SQUARE_PIXELS = 0.02
"""Largest relative difference of fx and fy: networks are trained on square pixels."""
_NAMES = ("fx", "fy", "cx", "cy")
Intrinsics = Float[np.ndarray, "4"]


@dataclass(frozen=True)
class KnownCamera:
    """The camera of all pictures, or of each by its name; pixels of the whole picture.

    Attributes:
        fov_deg: Full vertical field of view, the principal point in the middle.
        intrinsics_px: fx, fy, cx, cy.
        by_name: The same for each name of an image.
        where: What said so, for messages.
    """

    fov_deg: float | None = None
    intrinsics_px: Intrinsics | None = None
    by_name: Mapping[str, Intrinsics] = field(default_factory=dict)
    where: str = "camera"

    @classmethod
    def from_fov(cls, fov_deg: float, where: str = "--fov-deg") -> "KnownCamera":
        """Return the camera with a full vertical field of view of the whole picture.

        Raises:
            ConfigError: It is not between 0 and 180 degrees.
        """
        if not 0.0 < fov_deg < 180.0:
            raise ConfigError(where, expected="degrees between 0 and 180", found=fov_deg)
        return cls(fov_deg=float(fov_deg), where=where)

    @classmethod
    def from_pixels(cls, values: Sequence[Any], where: str = "--intrinsics") -> "KnownCamera":
        """Return the camera with fx, fy, cx, cy in pixels.

        Raises:
            ConfigError: They are not four numbers, or not those of a camera with square pixels.
        """
        return cls(intrinsics_px=_checked(values, where), where=where)

    @classmethod
    def read(cls, path: Path) -> "KnownCamera":
        """Return the cameras of a file.

        JSON: `fx`, `fy`, `cx`, `cy`, or a 3 x 3 `camera_matrix`, of all pictures. CSV: one line
        `file,fx,fy,cx,cy` for each picture.

        Raises:
            DataError: The file cannot be read or is neither.
            ConfigError: Its numbers are not those of a camera with square pixels.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read as a camera", found=error.strerror) from error
        if path.suffix.lower() == ".json" or data.lstrip()[:1] == b"{":
            return cls.from_pixels(_of_json(path, data), str(path))
        rows = table_rows(path, data, _NAMES)
        known = {r["file"]: _checked([r[name] for name in _NAMES], r["where"]) for r in rows}
        return cls(by_name=known, where=str(path))

    def of_images(self, paths: Sequence[Path]) -> "dict[Path, KnownCamera]":
        """Return the camera of each of the images; those that the file does not name have none.

        Raises:
            DataError: The file names none of them, or several by one name.
        """
        if self.fov_deg is not None or self.intrinsics_px is not None:
            return dict.fromkeys(paths, self)
        names = match_names(self.by_name, paths, self.where)
        return {
            path: KnownCamera(intrinsics_px=self.by_name[name], where=self.where)
            for path, name in names.items()
        }

    def pixels(self, size_px: tuple[int, int]) -> Intrinsics:
        """Return fx, fy, cx, cy (px) of a picture of this width and height."""
        width, height = size_px
        if self.fov_deg is not None:
            focal = 0.5 * height / np.tan(np.radians(self.fov_deg) / 2.0)
            return np.array([focal, focal, width / 2.0, height / 2.0])
        if self.intrinsics_px is None:
            raise ValueError("KnownCamera.pixels: of_images chooses the camera of a picture first")
        return self.intrinsics_px


def unknown_camera(size_px: tuple[int, int]) -> Intrinsics:
    """Return the middle of a picture as its principal point and NaN as focal lengths (px)."""
    return np.array([np.nan, np.nan, size_px[0] / 2.0, size_px[1] / 2.0])


def _of_json(path: Path, data: bytes) -> list[Any]:
    try:
        document = orjson.loads(data)
        if "camera_matrix" in document:
            matrix = document["camera_matrix"]
            return [matrix[0][0], matrix[1][1], matrix[0][2], matrix[1][2]]
        return [document[name] for name in _NAMES]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{path}: not a camera",
            expected="fx, fy, cx, cy or camera_matrix (3 x 3), in pixels",
            found=f"{type(error).__name__}: {error}",
        ) from error


def _checked(values: Sequence[Any], where: str) -> Intrinsics:
    try:
        found = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        found = np.full(0, np.nan)
    if found.shape != (4,) or not np.isfinite(found).all() or (found[:2] <= 0.0).any():
        raise ConfigError(
            where, expected="fx, fy, cx, cy in pixels, fx and fy above 0", found=list(values)
        )
    if abs(found[0] / found[1] - 1.0) > SQUARE_PIXELS:
        raise ConfigError(
            f"{where}: fx and fy",
            expected=f"square pixels, within {SQUARE_PIXELS:.0%}",
            found=f"{found[0]:g} and {found[1]:g}",
            remedy="resize the images so that their pixels are square",
        )
    return found
