"""Files that are either complete or absent: temporary name, flush, fsync, rename."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from smil_ray.config.addresses import remote_address
from smil_ray.errors import DataError
from smil_ray.storage.store import NothingThereError, read_start

TEMP_MARK = ".writing-"
_HDF5_START = b"\x89HDF"
_REMEDIES = {
    errno.ENOSPC: "free some space and start again with --resume",
    errno.EDQUOT: "free some of your quota and start again with --resume",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that can be written",
    errno.EPERM: "choose a folder that can be written",
}


def check_replaceable(place: Path | str) -> None:
    """Make sure that writing an HDF5 file to a place destroys nothing of another kind.

    Raises:
        DataError: A folder is there, or a file that is neither HDF5 nor empty.
        StorageError: The place is in an object store, which does not answer.
    """
    path, address = Path(place), remote_address(place)
    if address is not None:
        with contextlib.suppress(NothingThereError):
            _check_start(address, read_start(address, len(_HDF5_START)))
        return
    if path.is_dir():
        raise DataError(
            f"{path}", expected="a file to write", found="a folder", remedy="name OUTPUT.h5 last"
        )
    if not path.is_file():
        return
    with path.open("rb") as file:
        _check_start(str(path), file.read(len(_HDF5_START)))


def _check_start(place: str, start: bytes) -> None:
    if start not in (b"", _HDF5_START):
        raise DataError(
            place,
            expected="a new file, or an HDF5 file to replace",
            found="a file of another kind",
            remedy="name OUTPUT.h5 last",
        )


@contextlib.contextmanager
def replacing(path: Path, *, sync_folder: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success sync it and put it in `path`'s place.

    With `sync_folder` the new name, too, survives a power failure.

    Raises:
        DataError: The file cannot be written, for instance because the disk is full. What was
            at `path` before is still there, and no temporary file is left.
    """
    temporary = path.with_name(f"{path.name}{TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        if sync_folder:
            sync(path.parent)
    except (OSError, RuntimeError) as error:
        # h5py reports a full disk as OSError while writing and RuntimeError while closing.
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, completely or not at all; for files that can be made again.

    Raises:
        DataError: See `replacing`.
    """
    with replacing(path, sync_folder=False) as temporary:
        temporary.write_bytes(data)


def sync(path: Path) -> None:
    """Force a file's content, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove temporary files that a killed run left in `folder` (of the file `name`)."""
    for path in folder.glob(f"{name}*{TEMP_MARK}*"):
        with contextlib.suppress(OSError):
            path.unlink()


def write_error(path: Path, error: Exception) -> DataError:
    """Return the error a person can act on for a failed write to `path`."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        known = (n for n in _REMEDIES if f"errno = {n}" in str(error))
        number = next(known, None)
    found = os.strerror(number) if number is not None else str(error).splitlines()[0]
    return DataError(
        f"{path}: cannot be written",
        found=found,
        remedy=_REMEDIES.get(number or 0, "check the folder and start again with --resume"),
    )
