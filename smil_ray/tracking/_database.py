"""Where runs are tracked, and the sqlite database: there with all its tables, or not at all."""

import contextlib
import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from smil_ray.config import TrackingConfig


def resolve_uri(config: TrackingConfig, folder: Path | None = None) -> str:
    """Return the tracking address: the setting, MLFLOW_TRACKING_URI, or sqlite in `folder`.

    Args:
        config: `uri` wins over the environment variable.
        folder: Where `mlflow.db` lies when neither names an address; default: the current folder.
    """
    chosen = config.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if chosen:
        return chosen
    return f"sqlite:///{(folder or Path.cwd()).resolve() / 'mlflow.db'}"


def database_path(uri: str) -> Path | None:
    """Return the file of a sqlite address, None for another address."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


@contextlib.contextmanager
def database_lock(uri: str, make_tables: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time open the database, which has its tables within the block.

    Args:
        uri: The tracking address; nothing is done unless it is a sqlite file.
        make_tables: Makes the tables at a sqlite address.
    """
    database = database_path(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=120):
        if not database.is_file():
            _make(database, make_tables)
        yield
        # Write-ahead logging is a property of the file; it keeps readers (the UI) from
        # blocking the writer.
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=wal")


def _make(database: Path, make_tables: Callable[[str], None]) -> None:
    """Make a database beside its place first: tables are made in many steps.

    A process that dies between them would leave a file that is of no use to anybody any more.
    """
    place = database.absolute().with_name(f".{database.name}.{uuid.uuid4().hex}.new")
    whole = place.with_suffix(".whole.new")
    try:
        make_tables(f"sqlite:///{place}")
        # A copy, because the library keeps the file that it made open.
        shutil.copyfile(place, whole)
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        whole.rename(database)
    finally:
        # Those of processes that died as well: who is here has the lock.
        for path in place.parent.glob(f".{database.name}.*.new*"):
            path.unlink(missing_ok=True)
