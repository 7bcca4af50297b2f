"""Checked reading of HDF5 files: whatever is wrong becomes one sentence that names the place."""

import contextlib
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from smil_ray.core.git_lfs import refuse_lfs_pointer
from smil_ray.data.hdf5 import schema
from smil_ray.data.hdf5._trial import DAMAGED, check_readable
from smil_ray.data.hdf5.schema import FIRST_CHECKED_VERSION
from smil_ray.data.hdf5.table import crc32_of
from smil_ray.errors import DataError

_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError)
"""h5py raises any of these on a damaged file, depending on where HDF5 notices the damage."""
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FIRST_WITH_CHECKSUMS = 2
"""Version of HDF5's superblock from which on a file can have checksums over all its metadata."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Give the file, opened read-only and without a lock, so that a read-only folder will do.

    A file of schema 2 or later has checksums over its metadata and is opened at once. Any other
    was first read in a child process, see `_trial`, since damage to it can hang a reader.

    Raises:
        DataError: There is no such file, it is not HDF5, or HDF5 fails on it.
    """
    if not path.is_file():
        raise DataError(f"{path}", expected="an HDF5 file", found="no such file")
    refuse_lfs_pointer(path, DataError)
    try:
        if not _is_checked(path):
            check_readable(path)
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except _DAMAGE as error:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}", found=found, remedy=DAMAGED) from error


def _is_checked(path: Path) -> bool:
    """Return whether a file is of a schema whose metadata all have checksums.

    What is looked at for this has checksums itself, or the first bytes tell that it has none.
    """
    with path.open("rb") as file:
        start = file.read(len(_SIGNATURE) + 1)
    if not start.startswith(_SIGNATURE):
        raise DataError(f"{path}", expected="an HDF5 file", found="other content")
    if start[-1] < _FIRST_WITH_CHECKSUMS:
        return False
    with h5py.File(path, "r", locking=False) as file:
        metadata = file.get("metadata")
        if not isinstance(metadata, h5py.Group) or "schema_version" not in metadata.attrs:
            return False
        stored = metadata.attrs.get_id("schema_version")
        is_number = stored.shape == () and np.dtype(stored.dtype).kind in "iu"
        if not is_number:
            return False
        return attribute(file, "metadata", "schema_version", int) >= FIRST_CHECKED_VERSION


def list_arrays(path: Path) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return path, type and shape of every data set of any HDF5 file, by path.

    Raises:
        DataError: It is not an HDF5 file.
    """
    found: list[tuple[str, str, tuple[int, ...]]] = []

    def visit(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            found.append((name, str(node.dtype), node.shape))

    with opened(path) as file:
        file.visititems(visit)
    return sorted(found)


def dataset_at(file: h5py.File, path: str) -> h5py.Dataset:
    """Return a data set.

    Raises:
        DataError: It is missing, is something else, or claims more bytes than the file has.
    """
    found = file.get(path)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{file.filename}: {path}", expected="a data set", found="nothing")
    stored = found.id.get_storage_size()
    if found.size and stored == 0:
        raise DataError(f"{file.filename}: {path}", expected="values", found="nothing written")
    start = found.id.get_offset()
    if start is not None and start + stored > file.id.get_filesize():
        raise DataError(
            f"{file.filename}: {path}", expected="values within the file", found="beyond its end"
        )
    return found


def array_at(file: h5py.File, path: str, shape: tuple[int | None, ...], dtype: str) -> np.ndarray:
    """Return all values of a data set; `None` in `shape` stands for any length.

    Raises:
        DataError: The data set is missing or its shape or type differs.
    """
    data = dataset_at(file, path)
    fits = len(data.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, data.shape, strict=True)
    )
    same_kind = data.dtype.kind == "S" if dtype == "S" else data.dtype == np.dtype(dtype)
    if not fits or not same_kind:
        raise DataError(
            f"{file.filename}: {path}",
            expected=f"{dtype} {shape}",
            found=f"{data.dtype} {data.shape}",
        )
    return np.asarray(data[...])


def texts_at(file: h5py.File, path: str, length: int | None = None) -> tuple[str, ...]:
    """Return the strings of a data set: flat bytes with offsets, or fixed-length ones.

    Raises:
        DataError: Strings or their checksum are not as documented.
    """
    data = dataset_at(file, path)
    if data.dtype.kind == "S":
        return fixed_texts(array_at(file, path, (length,), "S"))
    values = array_at(file, path, (None,), "uint8")
    rows = None if length is None else length + 1
    offsets = array_at(file, schema.offsets_path(path), (rows,), "int64")
    check_crc32(file, path, values, offsets)
    return flat_texts(values, offsets)


def fixed_texts(values: np.ndarray) -> tuple[str, ...]:
    """Return fixed-length UTF-8 bytes as strings."""
    return tuple(value.decode("utf-8", errors="replace") for value in values.tolist())


def flat_texts(values: np.ndarray, offsets: np.ndarray) -> tuple[str, ...]:
    """Return UTF-8 bytes one after the other as strings."""
    data, places = values.tobytes(), offsets.tolist()
    return tuple(data[a:b].decode("utf-8", errors="replace") for a, b in pairwise(places))


def check_crc32(file: h5py.File, path: str, *arrays: np.ndarray) -> None:
    """Compare arrays with the checksum that the data set at `path` has as an attribute.

    Raises:
        DataError: It differs, or there is none.
    """
    stored = dataset_at(file, path).attrs.get("crc32")
    if not isinstance(stored, np.integer) or int(stored) != int(crc32_of(*arrays)):
        raise DataError(f"{file.filename}: {path}", found="another checksum", remedy=DAMAGED)


def json_at(file: h5py.File, path: str) -> Any:
    """Return what the one string of a data set says as JSON.

    Raises:
        DataError: It is missing, damaged or not JSON.
    """
    (text,) = texts_at(file, path, 1)
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{file.filename}: {path}", expected="JSON", found=text[:80]) from error


def attributes(file: h5py.File, group: str) -> dict[str, Any]:
    """Return the attributes of a group of any kind of file, none if the group is missing."""
    node = file.get(group)
    return dict(node.attrs) if isinstance(node, h5py.Group) else {}


def attribute(file: h5py.File, group: str, name: str, kind: type) -> Any:
    """Return an attribute as `kind` (str or int), or parsed from JSON for dict.

    Raises:
        DataError: It is missing or of another type.
    """
    place = f"{file.filename}: {group}.attrs[{name!r}]"
    node = file.get(group)
    found = node.attrs.get(name) if isinstance(node, h5py.Group) else None
    if found is None:
        raise DataError(place, expected=kind.__name__, found="nothing")
    if isinstance(found, bytes):
        found = found.decode("utf-8", errors="replace")
    try:
        value = json.loads(found) if kind is dict else kind(found)
    except (TypeError, ValueError) as error:
        raise DataError(place, expected=kind.__name__, found=repr(found)) from error
    if not isinstance(value, kind):
        raise DataError(place, expected=kind.__name__, found=repr(value))
    return value
