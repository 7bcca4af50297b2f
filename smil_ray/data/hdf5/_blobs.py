"""Encoded pictures and masks in a file: where each sample's bytes lie, read without HDF5."""

import os
from pathlib import Path

import h5py
import numpy as np

from smil_ray.data.hdf5.reading import dataset_at
from smil_ray.data.hdf5.table import Blob
from smil_ray.errors import DataError

REWRITE = "make the file again with `smil-ray preprocess`"


class BlobPlace:
    """Where the bytes of each sample lie in the file."""

    def __init__(self, start: int, offsets: np.ndarray) -> None:
        self.start, self.offsets = start, offsets

    @classmethod
    def of(cls, file: h5py.File, blob: str, offsets: np.ndarray) -> "BlobPlace":
        data = dataset_at(file, blob)
        if data.dtype != np.uint8 or data.ndim != 1 or data.chunks is not None:
            raise DataError(
                f"{file.filename}: {blob}", expected="contiguous uint8 bytes", found=str(data)
            )
        if offsets[0] != 0 or offsets[-1] != data.size or (np.diff(offsets) < 0).any():
            raise DataError(
                f"{file.filename}: offsets of {blob}",
                expected=f"0 to {data.size}, ascending",
                found=f"{offsets[0]} to {offsets[-1]}",
            )
        return cls(data.id.get_offset() or 0, offsets)

    def read(self, descriptor: int, wanted: list[int], path: Path) -> dict[int, memoryview]:
        """Return the bytes of samples, given in ascending order, by index."""
        found: dict[int, memoryview] = {}
        for run in _runs(wanted):
            first = int(self.offsets[run[0]])
            data = self._pread(descriptor, first, int(self.offsets[run[-1] + 1]), path)
            for i in run:
                found[i] = data[self.offsets[i] - first : self.offsets[i + 1] - first]
        return found

    def whole(self, descriptor: int, path: Path) -> Blob:
        """Return all bytes."""
        data = self._pread(descriptor, 0, int(self.offsets[-1]), path)
        return Blob(np.frombuffer(data, dtype=np.uint8), self.offsets)

    def _pread(self, descriptor: int, first: int, last: int, path: Path) -> memoryview:
        parts, position = [], first
        while position < last:
            part = os.pread(descriptor, last - position, self.start + position)
            if not part:
                raise DataError(f"{path}: the file ends within an image", remedy=REWRITE)
            parts.append(part)
            position += len(part)
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))


def _runs(wanted: list[int]) -> list[list[int]]:
    """Return ascending indices as runs of neighbours."""
    runs: list[list[int]] = []
    for index in wanted:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
