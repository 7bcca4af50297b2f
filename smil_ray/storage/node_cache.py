"""The node's cache: what lies in an object store is copied to this machine once.

CACHE/objects/KEY/NAME    a copy; KEY is a hash of the object's ETag and size, which follow from
                          its content (without an ETag: of address, size and time)
CACHE/runs  CACHE/work    this machine's copies of run folders: the driver's, and the trials'

CACHE is SMIL_RAY_CACHE, or `smil_ray` in the user's cache folder. A copy is used again as long as
the store says that the object is the same, which costs a request for its description.
"""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

from filelock import FileLock

from smil_ray.config.addresses import remote_address
from smil_ray.storage.store import NothingThereError, Stamp, StorageError, download, find

ENVIRONMENT = "SMIL_RAY_CACHE"
SPARE_BYTES = 1e9
"""Free space that a copy must leave on its disk."""
_DIGITS = 16


def cache_root(folder: str | Path | None = None) -> Path:
    """Return the folder of all caches: as given, SMIL_RAY_CACHE, or the user's cache folder."""
    if folder is not None:
        return Path(folder).expanduser().absolute()
    if os.environ.get(ENVIRONMENT):
        return Path(os.environ[ENVIRONMENT]).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "smil_ray"


def local_place(place: str | Path) -> Path:
    """Return a path as it is, and of an object in a store the path of this node's copy.

    Raises:
        StorageError: See `local_copy`.
    """
    address = remote_address(place)
    return Path(place) if address is None else local_copy(address)


def local_copy(address: str) -> Path:
    """Return this node's copy of an object, made now if there is none of this version.

    Processes that ask at the same time wait for the one that copies.

    Raises:
        NothingThereError: There is no such object.
        StorageError: It cannot be read, or the disk is too full.
    """
    stamp = find(address)
    if stamp is None:
        raise NothingThereError(
            f"{address}: no such object",
            remedy="check the address; of a replicAnt folder, make a file first: "
            "smil-ray preprocess",
        )
    path = _place(address, stamp)
    if not _is_copy(path, stamp):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent.with_suffix(".lock")):
            if not _is_copy(path, stamp):
                _check_room(address, path, stamp.size)
                download(address, path)
    with contextlib.suppress(OSError):  # Somebody else's cache may be read-only.
        os.utime(path.parent)
    return path


def keep_copy(path: Path, address: str) -> Path:
    """Put a file that was just written to `address` into the cache, as if it had been copied.

    Raises:
        NothingThereError: There is no such object.
        StorageError: The store cannot be asked.
    """
    stamp = find(address)
    if stamp is None:
        raise NothingThereError(f"{address}: no such object")
    target = _place(address, stamp)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    return target


def folder_of(kind: str, address: str) -> Path:
    """Return where this node's own folder for an address lies: CACHE/KIND/HASH/NAME."""
    place, _, name = address.rpartition("/")
    digest = hashlib.sha256(place.encode()).hexdigest()[:_DIGITS]
    return cache_root() / kind / digest / name


def _place(address: str, stamp: Stamp) -> Path:
    version = [stamp.etag] if stamp.etag else [address, stamp.time_ns]
    text = json.dumps([stamp.size, *version])
    key = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return cache_root() / "objects" / key / address.rpartition("/")[2]


def _is_copy(path: Path, stamp: Stamp) -> bool:
    return path.is_file() and path.stat().st_size == stamp.size


def _check_room(address: str, path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size + SPARE_BYTES > free:
        raise StorageError(
            f"{address}: the disk of the node's cache {cache_root()} is too full for a copy",
            expected=f"{(size + SPARE_BYTES) / 1e9:.2f} GB free",
            found=f"{free / 1e9:.2f} GB",
            remedy=f"free space, or set {ENVIRONMENT} to a folder on another disk",
        )
