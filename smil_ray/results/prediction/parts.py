"""Results on the disk while they are made: numbered files of rows, each whole or absent.

A row is an animal in a picture or a frame. A run that is killed loses at most the rows that were
not written yet, and goes on with those that are missing.
"""

import os
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from smil_ray.errors import DataError

Rows = dict[str, np.ndarray]
"""Name of a quantity -> its values, animals along the first axis."""
Key = tuple[str, str, int, int]
"""Source, stamp of its file, frame, animal."""
KEYS = ("source", "stamp", "frame", "animal")
_OPEN_PARTS = 3
CHUNK = 1024
"""How many rows are in memory at once."""


@runtime_checkable
class RowSink(Protocol):
    """Where rows go."""

    def add(self, rows: Rows) -> None:
        """Take rows."""


class PartStore:
    """A folder of numbered .npz files with the same quantities.

    Args:
        folder: Made when the first rows are added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = sorted(folder.glob("[0-9]*.npz"))
        for partial in folder.glob(".*.partial"):
            partial.unlink(missing_ok=True)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files in the order in which they were written."""
        return tuple(self._paths)

    def add(self, rows: Rows) -> None:
        """Write rows to a file of their own.

        Raises:
            DataError: The disk is full or the folder cannot be written.
        """
        number = int(self._paths[-1].stem) + 1 if self._paths else 0
        path = self.folder / f"{number:06d}.npz"
        partial = self.folder / f".{path.name}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **rows)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise DataError(
                f"{path}: results cannot be written",
                found=error.strerror,
                remedy="free space, then give the same command again: it goes on",
            ) from error
        self._paths.append(path)

    def clear(self) -> None:
        """Delete everything."""
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._paths = []

    def entries(self) -> Iterator[tuple[Key, str]]:
        """Yield the key of every row, and the name of its source, as they were written."""
        for path in self._paths:
            yield from _rows_of_keys(path, "source_name")


def _rows_of_keys(path: Path, beside: str) -> Iterator[tuple[Key, str]]:
    part = read_part(path, (*KEYS, beside))
    columns = [part[name].tolist() for name in KEYS]
    yield from zip(zip(*columns, strict=True), part[beside].tolist(), strict=True)


def read_part(path: Path, names: Sequence[str] | None = None) -> Rows:
    """Return the rows of a file, or some of their quantities.

    Raises:
        DataError: It is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in (names or arrays.files)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: damaged part of results",
            found=str(error),
            remedy="delete it and give the same command again",
        ) from error


@dataclass(frozen=True)
class Results:
    """All rows of a store that count, each once, in any order that is asked for.

    Attributes:
        store: Where the rows are.
        keys: Of the rows.
        names: Of the results.
        places: File and row in it of each.
    """

    store: PartStore
    keys: tuple[Key, ...]
    names: tuple[str, ...]
    places: Int[np.ndarray, "n 2"]

    @classmethod
    def of(cls, store: PartStore, stamps: Mapping[str, str]) -> "Results":
        """Return the rows of those sources whose file is as it was.

        Args:
            store: The rows.
            stamps: Source -> stamp of its file now; rows of other sources do not count.
        """
        found: dict[Key, tuple[str, int, int]] = {}
        for part, path in enumerate(store.paths):
            for row, (key, name) in enumerate(_rows_of_keys(path, "name")):
                if stamps.get(key[0]) == key[1]:
                    found[key] = (name, part, row)
        places = np.array([place[1:] for place in found.values()], dtype=np.int64)
        names = tuple(place[0] for place in found.values())
        return cls(store, tuple(found), names, places.reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.keys)

    def ordered(self, sources: Sequence[str]) -> "Results":
        """Return the rows by source in this order, by frame, by animal."""
        rank = {source: number for number, source in enumerate(sources)}
        order = sorted(
            range(len(self.keys)),
            key=lambda i: (rank[self.keys[i][0]], self.keys[i][2], self.keys[i][3]),
        )
        return self.chosen(order)

    def sequences(self) -> "dict[tuple[str, int], Results]":
        """Return the frames of each animal of each source, in order."""
        found: dict[tuple[str, int], list[int]] = {}
        for row, (source, _, _, animal) in enumerate(self.keys):
            found.setdefault((source, animal), []).append(row)
        return {
            which: self.chosen(sorted(rows, key=lambda row: self.keys[row][2]))
            for which, rows in found.items()
        }

    def chosen(self, rows: Sequence[int]) -> "Results":
        """Return some rows in this order."""
        return Results(
            self.store,
            tuple(self.keys[row] for row in rows),
            tuple(self.names[row] for row in rows),
            self.places[list(rows)].reshape(-1, 2),
        )

    def chunks(self, size: int = CHUNK, names: Sequence[str] | None = None) -> Iterator[Rows]:
        """Yield the rows in order, at most `size` at once, all quantities or some."""
        open_parts: OrderedDict[int, Rows] = OrderedDict()
        for start in range(0, len(self), size):
            yield self._take(self.places[start : start + size], open_parts, names)

    def rows(self, names: Sequence[str]) -> Rows:
        """Return some quantities of all rows."""
        return stacked(list(self.chunks(names=names)))

    def written_ns(self) -> int:
        """Return when the newest of the rows was written, nanoseconds since 1970."""
        parts = np.unique(self.places[:, 0]).tolist()
        return max(self.store.paths[part].stat().st_mtime_ns for part in parts)

    def quantities(self) -> tuple[str, ...]:
        """Return the names of what a row holds; none where there are no rows."""
        return tuple(next(self.chunks(1), {}))

    def _take(
        self,
        places: np.ndarray,
        open_parts: "OrderedDict[int, Rows]",
        names: Sequence[str] | None,
    ) -> Rows:
        pieces: list[Rows] = []
        starts = np.flatnonzero(np.diff(places[:, 0], prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
            part = int(places[start, 0])
            if part not in open_parts:
                open_parts[part] = read_part(self.store.paths[part], names)
                while len(open_parts) > _OPEN_PARTS:
                    open_parts.popitem(last=False)
            open_parts.move_to_end(part)
            within = places[start:end, 1]
            pieces.append({name: rows[within] for name, rows in open_parts[part].items()})
        return stacked(pieces)


def stacked(pieces: Sequence[Rows]) -> Rows:
    """Return the rows of several pieces one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
