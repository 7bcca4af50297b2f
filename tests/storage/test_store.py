"""Objects of an S3 server: written, found, listed, read and deleted."""

from pathlib import Path

import pytest

from smil_ray.storage import store
from smil_ray.storage.store import NothingThereError, StorageError
from tests.object_store import ObjectStore


def test_object_is_written_found_read_and_deleted(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    address = f"{object_store.address}/objects/a/b.bin"
    source = tmp_path / "b.bin"
    source.write_bytes(b"0123456789")
    store.upload(source, address)
    stamp = store.find(address)
    assert stamp is not None
    assert stamp.size == 10
    assert stamp.etag
    assert list(store.listing(f"{object_store.address}/objects")) == ["a/b.bin"]
    assert store.read_start(address, 4) == b"0123"
    store.download(address, tmp_path / "copies" / "b.bin")
    assert (tmp_path / "copies" / "b.bin").read_bytes() == b"0123456789"
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["b.bin"]
    store.remove_all(f"{object_store.address}/objects")
    assert store.find(address) is None
    store.remove(address)


def test_missing_object_and_bucket_are_named(object_store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(NothingThereError, match=r"s3://lab/none\.h5: nothing is there"):
        store.download(f"{object_store.address}/none.h5", tmp_path / "x")
    assert store.listing(f"{object_store.address}/none") == {}
    with pytest.raises(StorageError, match=r"s3://no-such-bucket/x cannot be written.*--resume"):
        store.write_bytes("s3://no-such-bucket/x", b"1")
