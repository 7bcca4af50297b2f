"""Writing HDF5 files: one shard, or many shards copied into one file."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from smil_ray.core.batch import LABELS
from smil_ray.data.hdf5 import schema
from smil_ray.data.hdf5.files import replacing, write_bytes
from smil_ray.data.hdf5.schema import Column, Drop, StoreInfo
from smil_ray.data.hdf5.table import Blob, SampleTable, checksums, crc32_of
from smil_ray.errors import DataError

FILE_VERSION = ("v110", "v110")
"""Bounds of HDF5's file format: checksums over all metadata (superblock 3), read by every HDF5
since 1.10, and the same bytes whatever later libraries write by themselves."""


@dataclass(frozen=True)
class StoreSize:
    """Room that samples need: their number, and bytes of pictures, masks, names and groups."""

    samples: int = 0
    rgb_bytes: int = 0
    mask_bytes: int = 0
    names_bytes: int = 0
    groups_bytes: int = 0

    @classmethod
    def of(cls, table: SampleTable) -> "StoreSize":
        """Return the room that a table needs."""
        return cls(
            samples=len(table),
            rgb_bytes=len(table.rgb.data),
            mask_bytes=len(table.masks.data),
            names_bytes=sum(len(name.encode()) for name in table.names),
            groups_bytes=sum(len(group.encode()) for group in table.groups),
        )

    def __add__(self, other: "StoreSize") -> "StoreSize":
        return StoreSize(
            self.samples + other.samples,
            self.rgb_bytes + other.rgb_bytes,
            self.mask_bytes + other.mask_bytes,
            self.names_bytes + other.names_bytes,
            self.groups_bytes + other.groups_bytes,
        )


def write_shard(path: Path, table: SampleTable, info: StoreInfo) -> str:
    """Write a table as a complete file, atomically; return its content hash.

    The file is built in memory, so that a full disk shows up as one failed write.

    Raises:
        DataError: The file cannot be written.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=FILE_VERSION) as file:
        content_hash = _fill(file, [table], StoreSize.of(table), info)
    write_bytes(path, memory.getvalue())
    return content_hash


def merge(
    tables: Iterable[SampleTable],
    size: StoreSize,
    output: Path,
    info: StoreInfo,
    drops: Sequence[Drop] = (),
) -> str:
    """Write tables one after the other into one file, atomically; return its content hash.

    Args:
        tables: Read one at a time, in the order of the file.
        size: The room that all tables need together.
        output: The final file; what is there before stays until the new one is complete.
        info: Description of the samples.
        drops: Samples that were left out, for `metadata/`.

    Raises:
        DataError: A name occurs twice, or the file cannot be written.
    """
    with (
        replacing(output) as temporary,
        h5py.File(temporary, "w", libver=FILE_VERSION) as file,
    ):
        content_hash = _fill(file, tables, size, info, drops)
        file.flush()
    return content_hash


def _fill(
    file: h5py.File,
    tables: Iterable[SampleTable],
    size: StoreSize,
    info: StoreInfo,
    drops: Sequence[Drop] = (),
) -> str:
    """Write everything into an empty file and return the content hash."""
    _make_datasets(file, size, info)
    first = StoreSize()
    names: set[str] = set()
    for table in tables:
        twice = names.intersection(table.names) or _twice(table.names)
        if twice:
            raise DataError(f"sample name {min(twice)!r} occurs twice")
        names.update(table.names)
        _append(file, table, first)
        first = first + StoreSize.of(table)
    if first != size:
        raise DataError("merge", expected=size, found=first)
    columns = {path: _dataset(file, path)[...] for path in schema.HASHED[schema.SCHEMA_VERSION]}
    digests = columns[schema.DIGESTS]
    drop_counts = schema.count(drop.reason for drop in drops) or info.drop_counts
    info = replace(info, content_hash=info.content_hash_with(digests), drop_counts=drop_counts)
    _write_metadata(file, info, size.samples, schema.columns_hash(columns))
    for path, name in zip(schema.DROPS, ("name", "reason", "detail"), strict=True):
        write_texts(file, path, [getattr(drop, name) for drop in drops])
    return info.content_hash


def _make_datasets(file: h5py.File, size: StoreSize, info: StoreInfo) -> None:
    for group in schema.GROUPS:
        file.create_group(group)
    sizes = info.sizes(len(LABELS))
    n = size.samples
    # Contiguous and unfiltered, so that any sample's bytes are one plain read of the file.
    for column in (*schema.COLUMNS, Column(schema.MASK_CRC, "uint32")):
        file.create_dataset(column.path, (n, *column.shape(sizes)), column.dtype)
    write_texts(file, schema.LABEL_NAMES, LABELS)
    for blob, offsets, length in (
        (schema.RGB_BLOB, schema.RGB_OFFSETS, size.rgb_bytes),
        (schema.MASK_BLOB, schema.MASK_OFFSETS, size.mask_bytes),
        (schema.NAMES, schema.offsets_path(schema.NAMES), size.names_bytes),
        (schema.SAMPLE_GROUPS, schema.offsets_path(schema.SAMPLE_GROUPS), size.groups_bytes),
    ):
        file.create_dataset(blob, (length,), "uint8")
        file.create_dataset(offsets, data=np.zeros(n + 1, dtype=np.int64))


def _append(file: h5py.File, table: SampleTable, first: StoreSize) -> None:
    """Write a table behind what `first` says is there."""
    if not len(table):
        return
    rows = slice(first.samples, first.samples + len(table))
    for column in schema.COLUMNS:
        dataset = _dataset(file, column.path)
        if dataset.size:
            dataset[rows] = table.columns[column.path]
    _dataset(file, schema.MASK_CRC)[rows] = checksums(table.masks)
    blobs = (
        (schema.RGB_BLOB, schema.RGB_OFFSETS, table.rgb, first.rgb_bytes),
        (schema.MASK_BLOB, schema.MASK_OFFSETS, table.masks, first.mask_bytes),
        *(
            (path, schema.offsets_path(path), Blob.of([t.encode() for t in texts]), start)
            for path, texts, start in (
                (schema.NAMES, table.names, first.names_bytes),
                (schema.SAMPLE_GROUPS, table.groups, first.groups_bytes),
            )
        ),
    )
    for path, offsets, blob, start in blobs:
        _append_blob(file, (path, offsets), blob, first.samples, start)


def _append_blob(
    file: h5py.File, paths: tuple[str, str], blob: Blob, first: int, start: int
) -> None:
    data, offsets = (_dataset(file, path) for path in paths)
    if len(blob.data):
        data[start : start + len(blob.data)] = blob.data
    rows = slice(first, first + len(blob.offsets))
    offsets[rows] = start + blob.offsets - blob.offsets[0]


def _write_metadata(file: h5py.File, info: StoreInfo, n_samples: int, columns_hash: str) -> None:
    write_texts(file, schema.JOINT_NAMES, info.joint_names)
    file[schema.PARENTS] = np.array(info.parents, dtype=np.int32)
    write_texts(file, schema.NOTES, list(info.notes))
    counts = np.array(list(info.notes.values()), dtype=np.int64)
    file[schema.NOTE_COUNTS] = counts
    _dataset(file, schema.NOTE_COUNTS).attrs["crc32"] = crc32_of(counts)
    write_texts(file, schema.SETTINGS, [json.dumps(info.settings, sort_keys=True)])
    write_texts(file, schema.DROP_COUNTS, [json.dumps(info.drop_counts)])
    attributes: Mapping[str, str | int] = {
        "format": schema.FORMAT,
        "schema_version": schema.SCHEMA_VERSION,
        "content_hash": info.content_hash,
        "columns_hash": columns_hash,
        "total_samples": n_samples,
        "input_size": info.input_size,
        "n_betas": info.n_betas,
        "n_weights": info.n_weights,
        "model_name": info.model_name,
        "model_hash": info.model_hash,
    }
    for name, value in attributes.items():
        # Fixed-length: texts of variable length lie in a heap that has no checksum.
        stored = np.bytes_(value.encode()) if isinstance(value, str) else value
        file["metadata"].attrs[name] = stored


def write_texts(file: h5py.File, path: str, texts: Sequence[str]) -> None:
    """Write strings as flat bytes, their offsets, and the checksum of both."""
    blob = Blob.of([text.encode() for text in texts])
    file[path], file[schema.offsets_path(path)] = blob.data, blob.offsets
    _dataset(file, path).attrs["crc32"] = crc32_of(blob.data, blob.offsets)


def _dataset(file: h5py.File, path: str) -> h5py.Dataset:
    found = file[path]
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path} is not a data set")
    return found


def _twice(names: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    return {name for name in names if name in seen or seen.add(name)}
