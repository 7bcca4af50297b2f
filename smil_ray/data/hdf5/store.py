"""Reading files of schema version 1: labels into memory, images one plain read at a time."""

import json
import os
import weakref
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import Tensor

from smil_ray.core.batch import LABELS, Sample
from smil_ray.data.hdf5 import schema
from smil_ray.data.hdf5.masks import decode_mask
from smil_ray.data.hdf5.reading import (
    array_at,
    attribute,
    attributes,
    dataset_at,
    opened,
    texts,
    texts_at,
)
from smil_ray.data.hdf5.schema import COLUMNS, Drop, StoreInfo
from smil_ray.data.hdf5.table import Blob, SampleTable, sample_digests
from smil_ray.data.image_io import decode_jpeg
from smil_ray.data.sample_source import rows_of_labels
from smil_ray.errors import DataError

_REWRITE = "make the file again with `smil-ray preprocess`"


class Hdf5Source:
    """Samples of one file; see `sample_source.SampleSource`.

    HDF5 itself is used only while opening. Labels stay in memory; image bytes are read with
    `pread` from the two contiguous blobs, which is safe in threads and across fork. Pickles
    hold the path and the content hash, and open the file anew.

    Raises:
        DataError: The file is not what `docs/data_format.md` says.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()
        with opened(self.path) as file:
            self._descriptor = os.open(self.path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)
            self.info = read_info(file)
            n = attribute(file, "metadata", "total_samples", int)
            self.columns = _read_columns(file, self.info, n)
            self.names = texts(self.columns.pop(schema.NAMES))
            self.groups = texts(self.columns.pop(schema.SAMPLE_GROUPS))
            rgb, masks = (self.columns.pop(p) for p in (schema.RGB_OFFSETS, schema.MASK_OFFSETS))
            self._rgb = _BlobPlace.of(file, schema.RGB_BLOB, rgb)
            self._masks = _BlobPlace.of(file, schema.MASK_BLOB, masks)
        self.presence = self.columns[schema.PRESENCE]
        self._fields = [(c.field, self.columns[c.path]) for c in schema.SAMPLE_COLUMNS]
        if os.fstat(self._descriptor).st_ino != self.path.stat().st_ino:
            raise DataError(f"{self.path}: the file was replaced while it was opened")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "content_hash": self.info.content_hash}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])
        if self.info.content_hash != state["content_hash"]:
            raise DataError(
                f"{self.path}: the file changed while it was in use",
                expected=f"content hash {state['content_hash'][:12]}",
                found=self.info.content_hash[:12],
                remedy="start again",
            )

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples in the order of `indices`; neighbours in the file share one read.

        Raises:
            DataError: Image bytes are missing or damaged.
        """
        wanted = sorted(set(indices))
        rgb = self._rgb.read(self._descriptor, wanted, self.path)
        masks = self._masks.read(self._descriptor, wanted, self.path)
        found = {i: self._sample(i, rgb[i], masks[i]) for i in wanted}
        return [found[i] for i in indices]

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the labels of samples without reading their images."""
        return rows_of_labels(dict(self._fields), self.presence, indices)

    def table(self) -> SampleTable:
        """Return everything as it is stored, for merging and verifying."""
        rgb = self._rgb.whole(self._descriptor, self.path)
        masks = self._masks.whole(self._descriptor, self.path)
        return SampleTable(self.names, self.groups, self.columns, rgb, masks)

    def _sample(self, index: int, jpeg: memoryview, mask: memoryview) -> Sample:
        place = f"{self.path}: sample {index} ({self.names[index]!r})"
        if zlib.crc32(jpeg) != self.columns[schema.RGB_CRC][index]:
            raise DataError(f"{place}: the checksum of the image differs", remedy=_REWRITE)
        size = self.info.input_size
        try:
            image = decode_jpeg(np.frombuffer(jpeg, dtype=np.uint8))
            soft_mask = decode_mask(mask, size) if len(mask) else None
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        row = {field: values[index] for field, values in self._fields}
        row["fov"], row["body_length"] = float(row["fov"]), float(row["body_length"])
        return Sample(
            name=self.names[index],
            group=self.groups[index],
            image=image,
            mask=soft_mask,
            present=_labels_of(self.presence[index].tobytes()),
            **row,
        )


class _BlobPlace:
    """Where the bytes of each sample lie in the file."""

    def __init__(self, start: int, offsets: np.ndarray) -> None:
        self.start, self.offsets = start, offsets

    @classmethod
    def of(cls, file: h5py.File, blob: str, offsets: np.ndarray) -> "_BlobPlace":
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
                raise DataError(f"{path}: the file ends within an image", remedy=_REWRITE)
            parts.append(part)
            position += len(part)
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))


def read_info(file: h5py.File) -> StoreInfo:
    """Return the description of a file.

    Raises:
        DataError: The file has another format or schema version.
    """
    _check_version(file)
    for group in schema.GROUPS:
        if not isinstance(file.get(group), h5py.Group):
            raise DataError(f"{file.filename}", expected=f"a group {group!r}", found="none")
    notes = texts_at(file, schema.NOTES)
    note_counts = array_at(file, schema.NOTE_COUNTS, (len(notes),), "int64")
    joint_names = texts_at(file, schema.JOINT_NAMES)
    return StoreInfo(
        joint_names=joint_names,
        parents=tuple(array_at(file, schema.PARENTS, (len(joint_names),), "int32").tolist()),
        model_name=attribute(file, "metadata", "model_name", str),
        model_hash=attribute(file, "metadata", "model_hash", str),
        n_betas=attribute(file, "metadata", "n_betas", int),
        n_weights=attribute(file, "metadata", "n_weights", int),
        input_size=attribute(file, "metadata", "input_size", int),
        settings=attribute(file, "metadata", "settings", dict),
        content_hash=attribute(file, "metadata", "content_hash", str),
        drop_counts=attribute(file, "metadata", "drop_counts", dict),
        notes=dict(zip(notes, note_counts.tolist(), strict=True)),
    )


def read_drops(path: Path) -> list[Drop]:
    """Return the samples that were left out when the file was made, with their reasons."""
    with opened(path) as file:
        _check_version(file)
        names, reasons, details = (texts_at(file, place) for place in schema.DROPS)
    return [Drop(*row) for row in zip(names, reasons, details, strict=True)]


def verify(path: Path) -> str:
    """Return the content hash after computing every sample's digest anew.

    Raises:
        DataError: Any stored byte of a sample is not what was written.
    """
    source = Hdf5Source(path)
    table = source.table()
    wrong = (sample_digests(table) != table.columns[schema.DIGESTS]).any(axis=1)
    if wrong.any():
        name = table.names[int(np.flatnonzero(wrong)[0])]
        raise DataError(
            f"{path}: sample {name!r} was changed or damaged",
            found=f"{int(wrong.sum())} such samples",
            remedy=_REWRITE,
        )
    return source.info.content_hash


def _check_version(file: h5py.File) -> None:
    if "schema_version" not in attributes(file, "metadata"):
        raise DataError(
            f"{file.filename}: metadata.attrs['schema_version']",
            expected=schema.SCHEMA_VERSION,
            found="none",
            remedy=_REWRITE,
        )
    version = attribute(file, "metadata", "schema_version", int)
    if version != schema.SCHEMA_VERSION:
        newer = "install a newer smil_ray or make the file again"
        raise DataError(
            f"{file.filename}: schema version",
            expected=schema.SCHEMA_VERSION,
            found=version,
            remedy=newer if version > schema.SCHEMA_VERSION else _REWRITE,
        )


def _read_columns(file: h5py.File, info: StoreInfo, n: int) -> dict[str, np.ndarray]:
    labels = json.loads(str(dataset_at(file, schema.PRESENCE).attrs.get("labels", "[]")))
    if tuple(labels) != LABELS:
        raise DataError(f"{file.filename}: {schema.PRESENCE}", expected=LABELS, found=labels)
    sizes = info.sizes(len(LABELS))
    columns = {
        column.path: array_at(file, column.path, (n, *column.shape(sizes)), column.dtype)
        for column in COLUMNS
    }
    for path in (schema.NAMES, schema.SAMPLE_GROUPS):
        columns[path] = array_at(file, path, (n,), "S")
    for path in (schema.RGB_OFFSETS, schema.MASK_OFFSETS):
        columns[path] = array_at(file, path, (n + 1,), "int64")
    found = (schema.columns_hash(columns), info.content_hash_with(columns[schema.DIGESTS]))
    if found != (attribute(file, "metadata", "columns_hash", str), info.content_hash):
        raise DataError(
            f"{file.filename}: labels were changed or damaged",
            expected=f"content hash {info.content_hash[:12]}",
            found=found[1][:12],
            remedy=_REWRITE,
        )
    for values in columns.values():
        values.flags.writeable = False
    return columns


@lru_cache(maxsize=1024)
def _labels_of(row: bytes) -> frozenset[str]:
    """Return the labels whose flag is set; few combinations occur in a file."""
    return frozenset(label for label, here in zip(LABELS, row, strict=True) if here)


def _runs(wanted: list[int]) -> list[list[int]]:
    """Return ascending indices as runs of neighbours."""
    runs: list[list[int]] = []
    for index in wanted:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
