"""Copies of objects on a node: made once, used again, made anew when the object changes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smil_ray.storage import node_cache
from smil_ray.storage.node_cache import keep_copy, local_copy, local_place
from smil_ray.storage.store import NothingThereError, StorageError, write_bytes
from tests.object_store import ObjectStore


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("SMIL_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_object_is_downloaded_once_for_all_who_ask(object_store: ObjectStore, cache: Path) -> None:
    address = f"{object_store.address}/once.h5"
    write_bytes(address, b"x" * 5000)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(local_copy, [address] * 4))
    again = local_place(Path(address))
    assert found == {again}
    assert again.read_bytes() == b"x" * 5000
    assert again.is_relative_to(cache / "objects")
    assert object_store.requests("GET", "/once.h5") == 1


def test_changed_object_is_downloaded_again(object_store: ObjectStore) -> None:
    address = f"{object_store.address}/changing.h5"
    write_bytes(address, b"before")
    assert local_copy(address).read_bytes() == b"before"
    write_bytes(address, b"after!")
    assert local_copy(address).read_bytes() == b"after!"
    # The same content under another time or in another place of the store is the same copy.
    write_bytes(address, b"before")
    assert local_copy(address).read_bytes() == b"before"
    assert object_store.requests("GET", "/changing.h5") == 2


def test_file_that_was_just_written_is_not_downloaded(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    address = f"{object_store.address}/made.h5"
    made = tmp_path / "made.h5"
    made.write_bytes(b"made here")
    write_bytes(address, made.read_bytes())
    kept = keep_copy(made, address)
    assert local_copy(address) == kept
    assert object_store.requests("GET", "/made.h5") == 0


def test_absent_object_and_full_disk_are_told(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NothingThereError, match=r"s3://lab/ants: no such object"):
        local_copy(f"{object_store.address}/ants")
    write_bytes(f"{object_store.address}/large.h5", b"x")
    monkeypatch.setattr(node_cache, "SPARE_BYTES", 1e18)
    with pytest.raises(StorageError, match=r"too full for a copy.*SMIL_RAY_CACHE"):
        local_copy(f"{object_store.address}/large.h5")
