"""A folder of this machine whose content is kept in an object store.

One process writes such a folder at a time, here or elsewhere; what the store has is the truth.
`push` sends what has changed here, `pull` fetches what has changed there. Names that begin with
a dot stay on the machine, and folders below with a mirror of their own are left to it.
"""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from smil_ray.config.addresses import joined, remote_address
from smil_ray.storage.node_cache import folder_of
from smil_ray.storage.store import NothingThereError, Stamp, download, listing, remove, upload

HOME_FILE = ".home.json"
"""Where a folder's content is kept, and which versions of its files are here and there."""
LIVE_FILES = ("run.json", "status.json", "metrics.jsonl")
"""What the process of a run writes while it goes on, and others look at."""
_AT_ONCE = 8
_CHECKPOINTS = "checkpoints/"
_LAST_OF_A_CHECKPOINT = "meta.json"
_LAST = "status.json"

Local = tuple[int, int]
"""Size and time of a file of this machine, bytes and nanoseconds."""


class Mirror:
    """A folder and its place in an object store.

    Attributes:
        folder: The folder of this machine.
        address: Where its content is kept.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self._known: dict[str, tuple[Local, Stamp]] = {}

    @classmethod
    def begin(cls, folder: Path, address: str) -> "Mirror":
        """Return the mirror of a folder, made if it is not there."""
        found = cls.of(folder)
        if found is not None and found.address == address:
            return found
        folder.mkdir(parents=True, exist_ok=True)
        mirror = cls(folder, address)
        mirror._save()
        return mirror

    @classmethod
    def of(cls, folder: Path) -> "Mirror | None":
        """Return the mirror that a folder is, None if it is an ordinary one."""
        try:
            values = json.loads((folder / HOME_FILE).read_bytes())
        except FileNotFoundError:
            return None
        mirror = cls(folder, values["address"])
        mirror._known = {
            name: ((size, time), Stamp(*stamp))
            for name, (size, time, stamp) in values["files"].items()
        }
        return mirror

    def push(self, *names: str) -> None:
        """Send what has changed here, all or only the files of these names.

        Checkpoints are sent after metrics, each with its description last, so that one that is
        found in the store is whole; `status.json` follows, then what is gone here goes there.

        Raises:
            StorageError: The store does not take it.
        """
        here = {name: _local(self.folder / name) for name in self._names()}
        changed = [
            name
            for name, local in here.items()
            if (not names or name in names) and not self._is_sent(name, local)
        ]
        gone = [] if names else [name for name in self._known if name not in here]
        if not changed and not gone:
            return
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for stage in _stages(changed):
                list(pool.map(self._send, stage))
            list(pool.map(lambda name: remove(joined(self.address, name)), gone))
        there = listing(self.address)
        for name in gone:
            del self._known[name]
        for name in changed:
            local = here[name]
            if local is not None and name in there:
                self._known[name] = (local, there[name])
        self._save()

    def pull(self, *names: str, exact: bool = False, skip: tuple[str, ...] = ()) -> None:
        """Fetch what has changed there, all or only the files of these names.

        Args:
            names: Files; none stands for all.
            exact: Afterwards the folder holds what the store does and nothing else.
            skip: Beginnings of names that are left out.

        Raises:
            StorageError: The store does not answer.
        """
        there = {
            name: stamp
            for name, stamp in listing(self.address).items()
            if (not names or name in names) and not name.startswith(skip) and not _is_hidden(name)
        }
        wanted = [name for name, stamp in there.items() if self._is_wanted(name, stamp, exact)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for name, found in zip(wanted, pool.map(self._fetch, wanted), strict=True):
                if found is not None:
                    self._known[name] = (found, there[name])
        if exact:
            for name in list(self._names()):
                if name not in there:
                    (self.folder / name).unlink(missing_ok=True)
            self._known = {name: known for name, known in self._known.items() if name in there}
            _remove_empty(self.folder)
        if wanted or exact:
            self._save()

    def _is_sent(self, name: str, local: Local | None) -> bool:
        return local is None or (name in self._known and self._known[name][0] == local)

    def _is_wanted(self, name: str, stamp: Stamp, exact: bool) -> bool:
        if name not in self._known or self._known[name][1] != stamp:
            return True
        local = _local(self.folder / name)
        return local is None or (exact and local != self._known[name][0])

    def _send(self, name: str) -> None:
        try:
            upload(self.folder / name, joined(self.address, name))
        except FileNotFoundError:
            return  # It was replaced by a newer one meanwhile, which the next push sends.

    def _fetch(self, name: str) -> Local | None:
        try:
            download(joined(self.address, name), self.folder / name)
        except NothingThereError:
            return None  # It went between listing and reading.
        return _local(self.folder / name)

    def _names(self) -> Iterator[str]:
        for place, folders, files in os.walk(self.folder):
            here = Path(place)
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".") and not (here / name / HOME_FILE).exists()
            ]
            prefix = here.relative_to(self.folder).as_posix()
            for name in files:
                if not name.startswith("."):
                    yield name if prefix == "." else f"{prefix}/{name}"

    def _save(self) -> None:
        files = {
            name: [*local, [stamp.size, stamp.time_ns, stamp.etag]]
            for name, (local, stamp) in self._known.items()
        }
        partial = self.folder / f"{HOME_FILE}.{os.getpid()}.tmp"
        partial.write_text(json.dumps({"address": self.address, "files": files}))
        partial.replace(self.folder / HOME_FILE)


def work_copy(address: str, kind: str = "work") -> Path:
    """Return this node's copy of a folder of the store, for the one process that writes it next.

    Args:
        address: The folder.
        kind: Folders of the cache that are told apart.

    Raises:
        StorageError: The store does not answer.
    """
    folder = folder_of(kind, address)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        Mirror.begin(folder, address).pull(exact=True)
    return folder


def local_run(place: str | Path) -> Path:
    """Return a path as it is, and of a run or a checkpoint in a store this node's copy of it.

    Raises:
        NothingThereError: There is no such folder.
        StorageError: The store does not answer.
    """
    address = remote_address(place)
    if address is None:
        return Path(place)
    run, below, name = address.partition(f"/{_CHECKPOINTS}")
    folder = folder_of("runs", run)
    Mirror.begin(folder, run).pull()
    if not any(path.name != HOME_FILE for path in folder.iterdir()):
        raise NothingThereError(f"{address}: no such run", remedy="check the address")
    return folder / (_CHECKPOINTS + name) if below else folder


def push(folder: Path, *names: str) -> None:
    """Send what has changed in a folder, if it is a mirror; see `Mirror.push`."""
    mirror = Mirror.of(folder)
    if mirror is not None:
        mirror.push(*names)


def pull(folder: Path, *names: str) -> None:
    """Fetch what has changed in a folder's store, if it is a mirror; see `Mirror.pull`."""
    mirror = Mirror.of(folder)
    if mirror is not None:
        mirror.pull(*names)


def address_of(folder: Path) -> str | None:
    """Return where a folder's content is kept; None for an ordinary folder."""
    mirror = Mirror.of(folder)
    return None if mirror is None else mirror.address


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or "/." in name


def _local(path: Path) -> Local | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


def _stages(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield names in groups, each of which is sent when the one before is there."""
    left = sorted(names)
    saved = [name for name in left if name.startswith(_CHECKPOINTS)]
    yield [name for name in left if name not in saved and name != _LAST]
    yield [name for name in saved if not name.endswith(_LAST_OF_A_CHECKPOINT)]
    yield [name for name in saved if name.endswith(_LAST_OF_A_CHECKPOINT)]
    yield [name for name in left if name == _LAST]


def _remove_empty(folder: Path) -> None:
    """Remove folders of checkpoints that are empty now, which would look like damaged ones."""
    for path in sorted(folder.glob(f"{_CHECKPOINTS}*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
