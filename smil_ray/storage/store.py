"""Files in an object store: `s3://BUCKET/NAME` and `gs://BUCKET/NAME`, by pyarrow's file systems.

Keys and server are found as everywhere: AWS_ACCESS_KEY_ID, a profile or the machine's role, and
AWS_ENDPOINT_URL for a server that is not Amazon's; GOOGLE_APPLICATION_CREDENTIALS for Google's.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from smil_ray.errors import SmilRayError

_BLOCK = 8 << 20
_REMEDY = (
    "check the address, the keys (AWS_ACCESS_KEY_ID or a profile; "
    "GOOGLE_APPLICATION_CREDENTIALS), the server (AWS_ENDPOINT_URL) and its disk; then start the "
    "same command again with --resume"
)


class StorageError(SmilRayError):
    """An object store does not answer, refuses, or lacks what is asked for."""


class NothingThereError(StorageError):
    """There is no such object."""


@dataclass(frozen=True)
class Stamp:
    """What tells one version of an object from others.

    Attributes:
        size: Bytes.
        time_ns: When it was written, nanoseconds since 1970, by the store's clock.
        etag: The store's hash of the content; empty in listings, and where there is none.
    """

    size: int
    time_ns: int
    etag: str = ""


def find(address: str) -> Stamp | None:
    """Return the stamp of an object, with its ETag; None where there is no such object.

    Raises:
        StorageError: The store cannot be asked.
    """
    system, path = _open(address)
    with _told(address, "asked for"):
        info = system.get_file_info(path)
        if not info.is_file:
            return None
        # Opening asks for the object's description only.
        with system.open_input_stream(path) as stream:
            known = {name.lower(): value for name, value in (stream.metadata() or {}).items()}
    etag = known.get(b"etag", known.get("etag", b""))
    return Stamp(info.size, info.mtime_ns or 0, _text(etag).strip('"'))


def listing(address: str) -> dict[str, Stamp]:
    """Return the objects below an address by their name below it; empty where there are none.

    Raises:
        StorageError: The store cannot be asked.
    """
    from pyarrow import fs

    system, path = _open(address)
    with _told(address, "listed"):
        found = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    start = len(path) + 1
    return {
        info.path[start:]: Stamp(info.size, info.mtime_ns or 0) for info in found if info.is_file
    }


def read_start(address: str, count: int) -> bytes:
    """Return the first bytes of an object.

    Raises:
        StorageError: It cannot be read.
    """
    system, path = _open(address)
    with _told(address, "read"), system.open_input_file(path) as stream:
        return stream.read_at(min(count, stream.size()), 0)


def read_bytes(address: str) -> bytes:
    """Return the content of an object.

    Raises:
        NothingThereError: There is no such object.
        StorageError: It cannot be read.
    """
    system, path = _open(address)
    with _told(address, "read"), system.open_input_stream(path) as stream:
        return stream.read()


def write_bytes(address: str, data: bytes) -> None:
    """Write an object, completely or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    system, path = _open(address)
    with _told(address, "written"), system.open_output_stream(path) as stream:
        stream.write(data)


def download(address: str, path: Path) -> None:
    """Write an object's content to `path`, completely or not at all.

    Raises:
        NothingThereError: There is no such object.
        StorageError: It cannot be read, or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.partial")
    system, source = _open(address)
    try:
        with (
            _told(address, f"copied to {path}"),
            system.open_input_stream(source) as stream,
            partial.open("wb") as file,
        ):
            shutil.copyfileobj(stream, file, _BLOCK)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def upload(path: Path, address: str) -> None:
    """Write a file to an object, which appears when the last byte is there.

    Raises:
        FileNotFoundError: There is no such file.
        StorageError: It cannot be written.
    """
    system, target = _open(address)
    with (
        path.open("rb") as file,  # First, so that a missing file is told from a missing object.
        _told(address, "written"),
        system.open_output_stream(target) as stream,
    ):
        shutil.copyfileobj(file, stream, _BLOCK)


def remove(address: str) -> None:
    """Delete an object, if it is there.

    Raises:
        StorageError: The store refuses.
    """
    system, path = _open(address)
    try:
        with _told(address, "deleted"):
            system.delete_file(path)
    except NothingThereError:
        return


def remove_all(address: str) -> None:
    """Delete all objects below an address.

    Raises:
        StorageError: The store refuses.
    """
    for name in listing(address):
        remove(f"{address}/{name}")


def _open(address: str) -> tuple[Any, str]:
    scheme, _, path = address.partition("://")
    with _told(address, "opened"):
        return _file_system(scheme, path.partition("/")[0]), path


@lru_cache(maxsize=16)
def _file_system(scheme: str, bucket: str) -> Any:
    from pyarrow import fs  # Takes a second, and most programs work with files only.

    # Of the bucket, because the region follows from it.
    return fs.FileSystem.from_uri(f"{scheme}://{bucket}")[0]


@contextmanager
def _told(address: str, what: str) -> Iterator[None]:
    """Turn the errors of a file system into sentences."""
    try:
        yield
    except FileNotFoundError as error:
        raise NothingThereError(f"{address}: nothing is there", remedy=_REMEDY) from error
    except OSError as error:
        text = str(error).strip().partition("\n")[0][:300]
        raise StorageError(f"{address} cannot be {what}: {text}", remedy=_REMEDY) from error


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
