"""Reading files of schemas 1 and 2: labels into memory, images one plain read at a time."""

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
from smil_ray.data.hdf5._blobs import REWRITE, BlobPlace
from smil_ray.data.hdf5._trial import FileState, trust
from smil_ray.data.hdf5.masks import decode_mask
from smil_ray.data.hdf5.reading import (
    array_at,
    attribute,
    check_crc32,
    dataset_at,
    fixed_texts,
    flat_texts,
    json_at,
    opened,
    texts_at,
)
from smil_ray.data.hdf5.schema import COLUMNS, Drop, StoreInfo
from smil_ray.data.hdf5.table import SampleTable, sample_digests
from smil_ray.data.image_io import decode_jpeg
from smil_ray.data.sample_source import rows_of_labels
from smil_ray.errors import DataError


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
            self._tried = FileState.of(self.path)
            self._descriptor = os.open(self.path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)
            self.info = read_info(file)
            n = attribute(file, "metadata", "total_samples", int)
            self.columns = _read_columns(file, self.info, n)
            self.names = _pop_texts(self.columns, schema.NAMES)
            self.groups = _pop_texts(self.columns, schema.SAMPLE_GROUPS)
            rgb, masks = (self.columns.pop(p) for p in (schema.RGB_OFFSETS, schema.MASK_OFFSETS))
            self._rgb = BlobPlace.of(file, schema.RGB_BLOB, rgb)
            self._masks = BlobPlace.of(file, schema.MASK_BLOB, masks)
        self.presence = self.columns[schema.PRESENCE]
        self._mask_crc = self.columns.pop(schema.MASK_CRC, None)
        self._fields = [(c.field, self.columns[c.path]) for c in schema.SAMPLE_COLUMNS]
        if os.fstat(self._descriptor).st_ino != self.path.stat().st_ino:
            raise DataError(f"{self.path}: the file was replaced while it was opened")

    def __getstate__(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "content_hash": self.info.content_hash,
            "tried": self._tried,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        trust(state["tried"])
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
            raise DataError(f"{place}: the checksum of the image differs", remedy=REWRITE)
        if self._mask_crc is not None and zlib.crc32(mask) != self._mask_crc[index]:
            raise DataError(f"{place}: the checksum of the mask differs", remedy=REWRITE)
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


def read_info(file: h5py.File) -> StoreInfo:
    """Return the description of a file.

    Raises:
        DataError: The file has another format or schema version.
    """
    version = _check_version(file)
    for group in schema.GROUPS:
        if not isinstance(file.get(group), h5py.Group):
            raise DataError(f"{file.filename}", expected=f"a group {group!r}", found="none")
    notes = texts_at(file, schema.NOTES)
    note_counts = array_at(file, schema.NOTE_COUNTS, (len(notes),), "int64")
    if version == 1:
        settings, drop_counts = (
            attribute(file, "metadata", name, dict) for name in ("settings", "drop_counts")
        )
    else:
        check_crc32(file, schema.NOTE_COUNTS, note_counts)
        settings, drop_counts = (
            json_at(file, path) for path in (schema.SETTINGS, schema.DROP_COUNTS)
        )
    joint_names = texts_at(file, schema.JOINT_NAMES)
    return StoreInfo(
        joint_names=joint_names,
        parents=tuple(array_at(file, schema.PARENTS, (len(joint_names),), "int32").tolist()),
        model_name=attribute(file, "metadata", "model_name", str),
        model_hash=attribute(file, "metadata", "model_hash", str),
        n_betas=attribute(file, "metadata", "n_betas", int),
        n_weights=attribute(file, "metadata", "n_weights", int),
        input_size=attribute(file, "metadata", "input_size", int),
        settings=settings,
        content_hash=attribute(file, "metadata", "content_hash", str),
        drop_counts=drop_counts,
        notes=dict(zip(notes, note_counts.tolist(), strict=True)),
    )


def schema_version(path: Path) -> int:
    """Return the schema version of a file.

    Raises:
        DataError: It has none, or one that cannot be read.
    """
    with opened(path) as file:
        return _check_version(file)


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
            remedy=REWRITE,
        )
    return source.info.content_hash


def _check_version(file: h5py.File) -> int:
    metadata = file.get("metadata")
    if not isinstance(metadata, h5py.Group) or "schema_version" not in metadata.attrs:
        raise DataError(
            f"{file.filename}: metadata.attrs['schema_version']",
            expected=schema.SCHEMA_VERSION,
            found="none",
            remedy=REWRITE,
        )
    version = attribute(file, "metadata", "schema_version", int)
    if version not in schema.READABLE:
        newer = "install a newer smil_ray or make the file again"
        raise DataError(
            f"{file.filename}: schema version",
            expected=" or ".join(map(str, schema.READABLE)),
            found=version,
            remedy=newer if version > schema.SCHEMA_VERSION else REWRITE,
        )
    return version


def _label_names(file: h5py.File, version: int) -> tuple[str, ...]:
    if version == 1:
        return tuple(json.loads(str(dataset_at(file, schema.PRESENCE).attrs.get("labels", "[]"))))
    return texts_at(file, schema.LABEL_NAMES)


def _read_columns(file: h5py.File, info: StoreInfo, n: int) -> dict[str, np.ndarray]:
    version = _check_version(file)
    labels = _label_names(file, version)
    if labels != LABELS:
        raise DataError(f"{file.filename}: {schema.PRESENCE}", expected=LABELS, found=labels)
    sizes = info.sizes(len(LABELS))
    columns = {
        column.path: array_at(file, column.path, (n, *column.shape(sizes)), column.dtype)
        for column in COLUMNS
    }
    for path in (schema.NAMES, schema.SAMPLE_GROUPS):
        shape, kind = ((n,), "S") if version == 1 else ((None,), "uint8")
        columns[path] = array_at(file, path, shape, kind)
    offsets = {schema.RGB_OFFSETS, schema.MASK_OFFSETS}
    if version > 1:
        columns[schema.MASK_CRC] = array_at(file, schema.MASK_CRC, (n,), "uint32")
        offsets |= {schema.offsets_path(path) for path in (schema.NAMES, schema.SAMPLE_GROUPS)}
    for path in offsets:
        columns[path] = array_at(file, path, (n + 1,), "int64")
    found = (
        schema.columns_hash(columns, version),
        info.content_hash_with(columns[schema.DIGESTS]),
    )
    if found != (attribute(file, "metadata", "columns_hash", str), info.content_hash):
        raise DataError(
            f"{file.filename}: labels were changed or damaged",
            expected=f"content hash {info.content_hash[:12]}",
            found=found[1][:12],
            remedy=REWRITE,
        )
    for values in columns.values():
        values.flags.writeable = False
    return columns


def _pop_texts(columns: dict[str, np.ndarray], path: str) -> tuple[str, ...]:
    values, offsets = columns.pop(path), columns.pop(schema.offsets_path(path), None)
    return fixed_texts(values) if offsets is None else flat_texts(values, offsets)


@lru_cache(maxsize=1024)
def _labels_of(row: bytes) -> frozenset[str]:
    """Return the labels whose flag is set; few combinations occur in a file."""
    return frozenset(label for label, here in zip(LABELS, row, strict=True) if here)
