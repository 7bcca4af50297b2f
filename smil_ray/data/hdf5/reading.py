"""Checked reading of HDF5 files: whatever is wrong becomes one sentence that names the place."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from smil_ray.errors import DataError

_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Give the file, opened read-only and without a lock, so that a read-only folder will do.

    Raises:
        DataError: There is no such file, it is not HDF5, or HDF5 fails on it.
    """
    if not path.is_file():
        raise DataError(f"{path}", expected="an HDF5 file", found="no such file")
    try:
        if not h5py.is_hdf5(path):
            raise DataError(f"{path}", expected="an HDF5 file", found="other content")
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except _DAMAGE as error:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "the file is damaged or incomplete: copy it again or write it anew"
        raise DataError(f"{path}", found=found, remedy=remedy) from error


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
    """Return the strings of a data set of fixed-length UTF-8 bytes."""
    return texts(array_at(file, path, (length,), "S"))


def texts(values: np.ndarray) -> tuple[str, ...]:
    """Return fixed-length UTF-8 bytes as strings."""
    return tuple(value.decode("utf-8", errors="replace") for value in values.tolist())


def attributes(file: h5py.File, group: str) -> dict[str, Any]:
    """Return the attributes of a group, none if the group is missing."""
    node = file.get(group)
    return dict(node.attrs) if isinstance(node, h5py.Group) else {}


def attribute(file: h5py.File, group: str, name: str, kind: type) -> Any:
    """Return an attribute as `kind` (str or int), or parsed from JSON for dict.

    Raises:
        DataError: It is missing or of another type.
    """
    found = attributes(file, group).get(name)
    place = f"{file.filename}: {group}.attrs[{name!r}]"
    if found is None:
        raise DataError(place, expected=kind.__name__, found="nothing")
    try:
        value = json.loads(found) if kind is dict else kind(found)
    except (TypeError, ValueError) as error:
        raise DataError(place, expected=kind.__name__, found=repr(found)) from error
    if not isinstance(value, kind):
        raise DataError(place, expected=kind.__name__, found=repr(value))
    return value
