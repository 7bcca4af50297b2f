"""Silhouettes of animals: a picture each, named as the result."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.data.filters import SampleError
from smil_ray.data.image_io import read_id_mask
from smil_ray.data.replicant.coordinates import Window
from smil_ray.errors import DataError
from smil_ray.results.prediction.parts import Rows
from smil_ray.results.prediction.views import Picture

SIDE = 64
"""Masks are compared at so many pixels a side."""
ENDINGS = (".png", "_ID.png", "_mask.png")
"""What a mask's name has after the name of its result."""


@dataclass(frozen=True)
class Masks:
    """A folder of masks; whatever is not black is the animal.

    Attributes:
        folder: Where they are.
        files: Name of a result -> its mask.
    """

    folder: Path
    files: dict[str, Path]

    @classmethod
    def find(cls, folder: Path, names: Iterable[str]) -> "Masks":
        """Return the masks that there are of the results with these names.

        Raises:
            DataError: There is none.
        """
        files: dict[str, Path] = {}
        for name in names:
            places = (folder / f"{name}{ending}" for ending in ENDINGS)
            found = next((place for place in places if place.is_file()), None)
            if found is not None:
                files[name] = found
        if not files:
            raise DataError(
                f"{folder}: no masks",
                expected="PNG files named as the column name of animals.csv, e.g. photo.png",
                remedy="name them so, or leave --masks out",
            )
        return cls(folder, files)

    def rows(self, rows: Rows) -> Float[Tensor, "n side side"]:
        """Return the masks of rows within the squares seen, 0-1; black where there is none.

        Raises:
            DataError: A mask cannot be read or has another size than its picture.
        """
        names, sizes = rows["name"].tolist(), rows["size_px"].tolist()
        windows = [Window(*window) for window in rows["window"].tolist()]
        each = [
            self._mask(str(name), (int(size[0]), int(size[1])), window)
            for name, size, window in zip(names, sizes, windows, strict=True)
        ]
        return torch.from_numpy(np.stack(each))

    def _mask(self, name: str, size: tuple[int, int], window: Window) -> np.ndarray:
        path = self.files.get(name)
        if path is None:
            return np.zeros((SIDE, SIDE), dtype=np.float32)
        try:
            ids = read_id_mask(path)
        except SampleError as error:
            raise DataError(f"{path}: mask cannot be read", found=str(error)) from error
        if (ids.shape[1], ids.shape[0]) != size:
            raise DataError(
                f"{path}: size of the mask",
                expected=f"{size[0]} x {size[1]} px, as its picture",
                found=f"{ids.shape[1]} x {ids.shape[0]}",
            )
        covered = np.where(ids > 0, np.uint8(255), np.uint8(0))
        cut = Picture(path, cv2.merge([covered] * 3)).cut(window, SIDE)
        return cut[..., 0].astype(np.float32) / 255.0
