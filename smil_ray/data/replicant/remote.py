"""replicAnt folders in an object store: entries by one listing, files when they are read."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from smil_ray.config.addresses import remote_address
from smil_ray.data.replicant.annotations import MARKER
from smil_ray.data.replicant.files import Entry, entries_of_tree
from smil_ray.errors import DataError
from smil_ray.storage.node_cache import cache_root
from smil_ray.storage.store import NothingThereError, download, listing, read_bytes

_AT_ONCE = 8


def find_remote_entries(address: str) -> list[Entry]:
    """Return the annotated pictures below an address, sorted by name; see `files.find_entries`.

    Their paths are made of addresses, which `local_entries` can read.

    Raises:
        DataError: Nothing is there, or no annotated picture.
        StorageError: The store does not answer.
    """
    root = Path(address)
    tree: dict[Path, list[str]] = {}
    for name in listing(address):
        path = root / name
        tree.setdefault(path.parent, []).append(path.name)
    if not tree:
        raise DataError(
            f"{address}: no such folder", expected="a replicAnt data set", found="nothing"
        )
    return entries_of_tree(root, ((here, [], tree[here]) for here in sorted(tree)), _is_annotation)


def remote_stamps(address: str) -> dict[Path, list[int]]:
    """Return size (bytes) and time (ns since 1970) of the files below an address, by path.

    Raises:
        StorageError: The store does not answer.
    """
    root = Path(address)
    return {root / name: [stamp.size, stamp.time_ns] for name, stamp in listing(address).items()}


@contextmanager
def local_entries(
    entries: Sequence[Entry],
) -> Iterator[tuple[list[Entry], Callable[[str], str]]]:
    """Yield entries whose files lie on this machine while the block runs.

    The function beside them puts addresses into messages again.

    Raises:
        StorageError: The store does not answer. A file that has gone is left out.
    """
    place = cache_root() / "work"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures_", dir=place) as name:
        folder = Path(name)
        wanted = {
            path: folder / address.partition("://")[2]
            for entry in entries
            for path in entry.files
            if path is not None and (address := remote_address(path)) is not None
        }
        schemes = {str(remote_address(path)).partition("://")[0] for path in wanted}

        def told(message: str) -> str:
            return message.replace(f"{folder}/", f"{min(schemes, default='s3')}://")

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(_fetch, wanted, wanted.values()))
        yield [_on_this_machine(entry, wanted) for entry in entries], told


def _fetch(path: Path, target: Path) -> None:
    try:
        download(str(remote_address(path)), target)
    except NothingThereError:
        return  # Whoever reads the entry says which file is missing.


def _on_this_machine(entry: Entry, places: dict[Path, Path]) -> Entry:
    def of(path: Path | None) -> Path | None:
        return None if path is None else places[path]

    return replace(
        entry,
        json_path=places[entry.json_path],
        image_path=of(entry.image_path),
        mask_path=of(entry.mask_path),
    )


def _is_annotation(path: Path) -> bool:
    return MARKER in read_bytes(str(remote_address(path)))
