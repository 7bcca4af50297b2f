"""Build a feature cache, alone or with other processes; resumable after any of them died.

CACHE/key.json             what the cache is of
CACHE/features-00012.safetensors   rows of features, labels and masks
CACHE/features-00012.lock  held by the process that computes this file; gone when complete
CACHE/manifest.json        written last: the cache is complete
CACHE/cache.lock           held while key or manifest are written

A builder takes files that nobody holds; at the end it waits for the others', and does what they
left undone if they died. The operating system frees a dead process's lock.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from smil_ray.config.addresses import joined
from smil_ray.data.features.key import FeatureKey
from smil_ray.data.features.shard import Tensors, sync_folder, write_shard
from smil_ray.errors import DataError
from smil_ray.storage.store import NothingThereError, download, upload

KEY, MANIFEST, LOCK = "key.json", "manifest.json", "cache.lock"
FORMAT = 1
POLL_S = 0.2

MakeShard = Callable[[range, Callable[[], None]], Tensors]
Progress = Callable[[int, int], None]


class BuildStoppedError(Exception):
    """The builder was asked to stop; what is finished stays."""


def _ignore(done: int, total: int) -> None:
    """Do nothing."""


def _say_nothing(text: str) -> None:
    """Do nothing."""


def _never() -> bool:
    """Say no."""
    return False


@dataclass(frozen=True)
class BuildHooks:
    """Callables of a builder.

    Attributes:
        progress: Called with (finished, all) rows, other builders' included.
        stop: Asked several times a second or every few pictures whether to stop.
        start: Number of the file to begin with, so that builders do not ask for the same.
        announce: Called with one line for people before features are computed.
    """

    progress: Progress = _ignore
    stop: Callable[[], bool] = _never
    start: int = 0
    announce: Callable[[str], None] = _say_nothing


def shard_path(folder: Path, number: int) -> Path:
    """Return the file of a shard."""
    return folder / f"features-{number:05d}.safetensors"


def is_complete(folder: Path) -> bool:
    """Return whether a cache is complete."""
    return (folder / MANIFEST).is_file()


def build(
    folder: Path,
    key: FeatureKey,
    make: MakeShard,
    hooks: BuildHooks | None = None,
    shared: str | None = None,
) -> None:
    """Return when the cache of `key` in `folder` is complete, having done what was missing.

    Args:
        folder: The cache's folder on this node.
        key: What it is of.
        make: Computes the rows of a file.
        hooks: Progress, and whether to stop.
        shared: Address in an object store where nodes leave files for one another: a file that
            is there is not computed again. Two nodes that work at the same time may both compute
            one, with the same result.

    Raises:
        BuildStoppedError: `hooks.stop` said so.
        DataError: The folder cannot be written or belongs to another key, or `make` failed.
        StorageError: The object store does not answer.
    """
    if is_complete(folder):
        return
    hooks = hooks or BuildHooks()
    begin(folder, key)
    work = _Work(folder, key, make, hooks, shared)
    numbers = list(range(len(key.shards)))
    turn = hooks.start % len(numbers)
    for number in numbers[turn:] + numbers[:turn]:
        work.attempt(number)
    for number in numbers:
        while not work.is_done(number):
            work.attempt(number, wait_s=POLL_S)
    with FileLock(folder / LOCK):
        if not is_complete(folder):
            _finish(folder, key)
    # Every builder tidies up: one that waited may have made a lock after another had removed it.
    for number in numbers:
        shard_path(folder, number).with_suffix(".lock").unlink(missing_ok=True)


def begin(folder: Path, key: FeatureKey) -> None:
    """Make the folder of a cache and say in it whose it is.

    Raises:
        DataError: It cannot be written, or holds another cache.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK):
            if not (folder / KEY).is_file():
                _write_json(folder / KEY, {"format": FORMAT, "key": key.as_dict()})
    except OSError as error:
        raise DataError(
            f"feature cache {folder} cannot be written: {error.strerror}",
            remedy="free space, or set data.feature_cache_dir",
        ) from error
    check_key(folder, key)


def read_key(folder: Path) -> FeatureKey:
    """Return the key of the cache in `folder`.

    Raises:
        DataError: There is none, or another version of this package made it.
    """
    path = folder / KEY
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}")
        return FeatureKey(**values["key"])
    except FileNotFoundError as error:
        raise DataError(f"{folder} is not a feature cache: {KEY} is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"feature cache {path} cannot be read: {error}", remedy="remove it: smil-ray cache rm"
        ) from error


def check_key(folder: Path, expected: FeatureKey) -> None:
    """Refuse a cache that was built of anything else.

    Raises:
        DataError: It was; the message names the first difference.
    """
    found = read_key(folder)
    different = found.differences(expected)
    if different:
        name = different[0]
        more = f" (and {', '.join(different[1:])})" if different[1:] else ""
        raise DataError(
            f"feature cache {folder} belongs to another {name}{more}",
            expected=getattr(expected, name),
            found=getattr(found, name),
            remedy="remove it (smil-ray cache rm) or set another data.feature_cache_dir",
        )


class _Work:
    """One builder's part."""

    def __init__(
        self,
        folder: Path,
        key: FeatureKey,
        make: MakeShard,
        hooks: BuildHooks,
        shared: str | None,
    ) -> None:
        self._shared = None if shared is None else joined(shared, key.folder_name)
        self._folder = folder
        self._key = key
        self._make = make
        self._hooks = hooks
        self._reported_at = 0.0

    def is_done(self, number: int) -> bool:
        return shard_path(self._folder, number).is_file()

    def attempt(self, number: int, wait_s: float = 0.0) -> None:
        """Make a file if it is missing and nobody else is at it."""
        self._between()
        if self.is_done(number):
            return
        path = shard_path(self._folder, number)
        try:
            with FileLock(path.with_suffix(".lock"), timeout=wait_s):
                if not self.is_done(number) and not self._found_in_store(path):
                    write_shard(path, self._make(self._key.shards[number], self._between))
                    if self._shared is not None:
                        upload(path, joined(self._shared, path.name))
        except Timeout:
            return
        self._report_progress()

    def _found_in_store(self, path: Path) -> bool:
        """Fetch a file that another node has computed; false if there is none."""
        if self._shared is None:
            return False
        try:
            download(joined(self._shared, path.name), path)
        except NothingThereError:
            return False
        return True

    def _between(self) -> None:
        if self._hooks.stop():
            raise BuildStoppedError
        if time.monotonic() - self._reported_at >= 1.0:
            self._report_progress()

    def _report_progress(self) -> None:
        self._reported_at = time.monotonic()
        shards = self._key.shards
        done = sum(len(rows) for number, rows in enumerate(shards) if self.is_done(number))
        self._hooks.progress(done, self._key.rows)


def _finish(folder: Path, key: FeatureKey) -> None:
    """Write the manifest."""
    files = [shard_path(folder, number) for number in range(len(key.shards))]
    sizes = {path.name: path.stat().st_size for path in files}
    facts = {"format": FORMAT, "key": key.as_dict(), "digest": key.digest, "files": sizes}
    _write_json(folder / MANIFEST, {**facts, "built": time.time()})


def _write_json(path: Path, values: dict) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(values, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)
