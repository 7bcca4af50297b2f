"""Reads everything of an HDF5 file whose layout nothing vouches for; runs in a process of its own.

Damage to metadata without checksums can keep the HDF5 library busy for ever, deaf to signals that
Python handles. Here a timer of processor time whose signal ends the process is wound up
before each step, so that neither a busy machine nor a slow disk looks like damage.
"""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import h5py
from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue]

_SLICE_BYTES = 1 << 24
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)
"""h5py raises any of these on a damaged file, depending on where HDF5 notices the damage."""


def main(path: str, step_seconds: float) -> None:
    """Write `null` or what is wrong with the file at `path`, as JSON, to standard output.

    Args:
        path: The file.
        step_seconds: Processor time after which a step is taken to be endless.
    """
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    sys.stdout.write(json.dumps(_fault_of(path, step_seconds)))


def _fault_of(path: str, step_seconds: float) -> str | None:
    def wind_up() -> None:
        signal.setitimer(signal.ITIMER_PROF, step_seconds)

    try:
        wind_up()
        with h5py.File(path, "r", locking=False) as file:
            _Walk(wind_up, file.id.get_filesize()).read_group(file)
    except _DAMAGE as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


class _Walk:
    """Reads groups, attributes, chunks and heaps; each object once.

    Args:
        wind_up: Is called before every step.
        file_bytes: Length of the file.
    """

    def __init__(self, wind_up: Callable[[], None], file_bytes: int) -> None:
        self._wind_up, self._file_bytes = wind_up, file_bytes
        self._seen: set[int] = set()

    def read_group(self, group: h5py.Group) -> None:
        """Read a group with everything in it."""
        self._read_attributes(group)
        for name in group:
            self._wind_up()
            # By name, as readers do it, not by the order of iteration.
            node = group[name]
            place = h5o.get_info(node.id).addr
            if place in self._seen:
                continue
            self._seen.add(place)
            if isinstance(node, h5py.Group):
                self.read_group(node)
            elif isinstance(node, h5py.Dataset):
                self._read_attributes(node)
                self._read_dataset(node)

    def _read_attributes(self, node: h5py.Group | h5py.Dataset) -> None:
        self._wind_up()
        for name in node.attrs:
            self._wind_up()
            node.attrs[name]

    def _read_dataset(self, data: h5py.Dataset) -> None:
        """Read what lies in chunks or heaps; check that plain values lie within the file."""
        start = data.id.get_offset()
        if start is not None and data.chunks is None and h5py.check_vlen_dtype(data.dtype) is None:
            if not 0 <= start <= self._file_bytes - data.nbytes:
                raise ValueError(f"{data.name} lies beyond the end of the file")
            return
        for rows in _slices(data):
            self._wind_up()
            data[rows]


def _slices(data: h5py.Dataset) -> Iterator[Any]:
    if data.shape is None or not data.size:
        return
    if not data.shape:
        yield ()
        return
    step = data.chunks[0] if data.chunks else 1
    row_bytes = max(data.nbytes // data.shape[0], 1)
    rows = step * max(_SLICE_BYTES // (row_bytes * step), 1)
    for first in range(0, data.shape[0], rows):
        yield slice(first, first + rows)
