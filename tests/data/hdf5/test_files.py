"""Files are complete or absent."""

import errno
from pathlib import Path

import pytest

from smil_ray.data.hdf5.files import (
    check_replaceable,
    remove_leftovers,
    replacing,
    write_bytes,
    write_error,
)
from smil_ray.errors import DataError


def test_write_replaces_the_file_and_leaves_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"a\.h5: cannot be written.*No space.*--resume"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_nothing_an_empty_file_or_an_hdf5_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    check_replaceable(path)
    for content in (b"", b"\x89HDF\r\n\x1a\n and more"):
        path.write_bytes(content)
        check_replaceable(path)
    path.write_bytes(b"\xff\xd8 a photo")
    with pytest.raises(DataError, match=r"a\.h5; expected a new file.*a file of another kind"):
        check_replaceable(path)
    with pytest.raises(DataError, match="found a folder"):
        check_replaceable(tmp_path)


def test_folder_that_is_missing_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_bytes(tmp_path / "none" / "a.h5", b"")


def test_full_disk_that_hdf5_reports_is_named() -> None:
    error = RuntimeError("Can't write data (file write failed: errno = 28, error message = 'x')")
    assert "No space left" in str(write_error(Path("a.h5"), error))


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.h5.writing-1-ff", "a.h5", "b.h5.writing-2-ee"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "a.h5")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5.writing-2-ee"]
