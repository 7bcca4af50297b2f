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
from smil_ray.data.hdf5.table import Blob, SampleTable
from smil_ray.errors import DataError

_LONGEST_TEXT = 512


@dataclass(frozen=True)
class StoreSize:
    """Room that samples need: bytes of the blobs, bytes of the longest name and group."""

    samples: int = 0
    rgb_bytes: int = 0
    mask_bytes: int = 0
    name_bytes: int = 1
    group_bytes: int = 1

    @classmethod
    def of(cls, table: SampleTable) -> "StoreSize":
        """Return the room that a table needs."""
        return cls(
            samples=len(table),
            rgb_bytes=len(table.rgb.data),
            mask_bytes=len(table.masks.data),
            name_bytes=max((len(name.encode()) for name in table.names), default=1),
            group_bytes=max((len(group.encode()) for group in table.groups), default=1),
        )

    def __add__(self, other: "StoreSize") -> "StoreSize":
        return StoreSize(
            self.samples + other.samples,
            self.rgb_bytes + other.rgb_bytes,
            self.mask_bytes + other.mask_bytes,
            max(self.name_bytes, other.name_bytes),
            max(self.group_bytes, other.group_bytes),
        )


def write_shard(path: Path, table: SampleTable, info: StoreInfo) -> str:
    """Write a table as a complete file, atomically; return its content hash.

    The file is built in memory, so that a full disk shows up as one failed write.

    Raises:
        DataError: The file cannot be written.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
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
    with replacing(output) as temporary, h5py.File(temporary, "w") as file:
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
    if first.samples != size.samples:
        raise DataError("merge", expected=f"{size.samples} samples", found=first.samples)
    columns = {path: _dataset(file, path)[...] for path in schema.HASHED}
    digests = columns[schema.DIGESTS]
    drop_counts = schema.count(drop.reason for drop in drops) or info.drop_counts
    info = replace(info, content_hash=info.content_hash_with(digests), drop_counts=drop_counts)
    _write_metadata(file, info, size.samples, schema.columns_hash(columns))
    for path, name in zip(schema.DROPS, ("name", "reason", "detail"), strict=True):
        file[path] = _strings([getattr(drop, name) for drop in drops])
    return info.content_hash


def _make_datasets(file: h5py.File, size: StoreSize, info: StoreInfo) -> None:
    for group in schema.GROUPS:
        file.create_group(group)
    sizes = info.sizes(len(LABELS))
    n = size.samples
    text = ((schema.NAMES, size.name_bytes), (schema.SAMPLE_GROUPS, size.group_bytes))
    columns = [
        *schema.COLUMNS,
        *(Column(path, f"S{width}") for path, width in text),
    ]
    # Contiguous and unfiltered, so that any sample's bytes are one plain read of the file.
    for column in columns:
        file.create_dataset(column.path, (n, *column.shape(sizes)), column.dtype)
    _dataset(file, schema.PRESENCE).attrs["labels"] = json.dumps(LABELS)
    for blob, offsets, length in (
        (schema.RGB_BLOB, schema.RGB_OFFSETS, size.rgb_bytes),
        (schema.MASK_BLOB, schema.MASK_OFFSETS, size.mask_bytes),
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
    _dataset(file, schema.NAMES)[rows] = [name.encode() for name in table.names]
    _dataset(file, schema.SAMPLE_GROUPS)[rows] = [group.encode() for group in table.groups]
    _append_blob(file, (schema.RGB_BLOB, schema.RGB_OFFSETS), table.rgb, first, first.rgb_bytes)
    _append_blob(
        file, (schema.MASK_BLOB, schema.MASK_OFFSETS), table.masks, first, first.mask_bytes
    )


def _append_blob(
    file: h5py.File, paths: tuple[str, str], blob: Blob, first: StoreSize, start: int
) -> None:
    data, offsets = (_dataset(file, path) for path in paths)
    if len(blob.data):
        data[start : start + len(blob.data)] = blob.data
    rows = slice(first.samples, first.samples + len(blob.offsets))
    offsets[rows] = start + blob.offsets - blob.offsets[0]


def _write_metadata(file: h5py.File, info: StoreInfo, n_samples: int, columns_hash: str) -> None:
    file[schema.JOINT_NAMES] = _strings(info.joint_names)
    file[schema.PARENTS] = np.array(info.parents, dtype=np.int32)
    file[schema.NOTES] = _strings(list(info.notes))
    file[schema.NOTE_COUNTS] = np.array(list(info.notes.values()), dtype=np.int64)
    attributes: Mapping[str, object] = {
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
        "settings": json.dumps(info.settings, sort_keys=True),
        "drop_counts": json.dumps(info.drop_counts),
    }
    for name, value in attributes.items():
        file["metadata"].attrs[name] = value


def _strings(texts: Sequence[str]) -> np.ndarray:
    encoded = [text.encode()[:_LONGEST_TEXT] for text in texts]
    return np.array(encoded, dtype=f"S{max([1, *map(len, encoded)])}")


def _dataset(file: h5py.File, path: str) -> h5py.Dataset:
    found = file[path]
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path} is not a data set")
    return found


def _twice(names: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    return {name for name in names if name in seen or seen.add(name)}
