"""Files without checksums over their metadata are tried in a child, which cannot hang us."""

import multiprocessing
import pickle
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from smil_ray.data.hdf5 import _trial, schema
from smil_ray.data.hdf5.merge import write_shard
from smil_ray.data.hdf5.reading import dataset_at
from smil_ray.data.hdf5.store import Hdf5Source, verify
from smil_ray.data.hdf5.table import SampleTable, encode_samples
from smil_ray.errors import DataError
from tests.data.hdf5.hdf5_samples import assert_same_labels, make_sample, store_info
from tests.data.hdf5.schema_one import make_hang, write_schema_one

SAMPLES = [make_sample(i) for i in range(3)]


@pytest.fixture(scope="module")
def table() -> SampleTable:
    return encode_samples(SAMPLES, store_info(), 95)


@pytest.fixture
def old_file(tmp_path: Path, table: SampleTable) -> Path:
    write_schema_one(tmp_path / "one.h5", table, store_info())
    return tmp_path / "one.h5"


@pytest.fixture
def hanging_file(old_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_hang(old_file)
    monkeypatch.setattr(_trial, "STEP_SECONDS", 0.1)
    return old_file


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    """The child processes that were started so far."""
    found: list[subprocess.Popen] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            found.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return found


def test_file_that_hangs_its_reader_is_one_sentence(hanging_file: Path) -> None:
    with pytest.raises(DataError, match=r"one\.h5; found reading it does not end .*copy it again"):
        Hdf5Source(hanging_file)


def test_file_of_schema_one_has_the_samples_and_hash_of_schema_two(
    old_file: Path, table: SampleTable, tmp_path: Path
) -> None:
    new_hash = write_shard(tmp_path / "two.h5", table, store_info())
    old, new = Hdf5Source(old_file), Hdf5Source(tmp_path / "two.h5")
    assert verify(old_file) == verify(tmp_path / "two.h5") == new_hash
    assert old.info == new.info
    for found, expected in zip(old.read(range(3)), SAMPLES, strict=True):
        assert_same_labels(found, expected)


def test_child_is_started_once_until_the_file_changes(
    old_file: Path, table: SampleTable, children: list[subprocess.Popen]
) -> None:
    for _ in range(2):
        Hdf5Source(old_file)
    assert len(children) == 1
    write_schema_one(old_file, table, store_info(settings={"jpeg_quality": 7}))
    assert Hdf5Source(old_file).info.settings == {"jpeg_quality": 7}
    assert len(children) == 2


def test_verdict_travels_with_the_pickle(
    old_file: Path, children: list[subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(Hdf5Source(old_file))
    monkeypatch.setattr(_trial, "_faults", {})
    assert len(pickle.loads(data)) == 3
    assert len(children) == 1


def test_file_of_schema_two_needs_no_child(
    tmp_path: Path, table: SampleTable, children: list[subprocess.Popen]
) -> None:
    write_shard(tmp_path / "two.h5", table, store_info())
    assert len(Hdf5Source(tmp_path / "two.h5")) == 3
    assert not children


def _length(path: Path) -> int:
    assert multiprocessing.current_process().daemon
    return len(Hdf5Source(path))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_daemonic_process_may_open_old_files(old_file: Path, method: str) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_length, (old_file,)) == 3


def test_interrupt_ends_the_child(
    hanging_file: Path, children: list[subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: subprocess.Popen) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_trial, "STEP_SECONDS", 60.0)
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Hdf5Source(hanging_file)
    assert children[0].returncode == -9


def test_child_that_crashes_is_one_sentence(
    old_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_trial, "_START", "import os; os.abort()")
    with pytest.raises(DataError, match="reading it ends with signal SIGABRT"):
        Hdf5Source(old_file)


def test_data_set_beyond_the_end_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.arange(5000.0)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(DataError, match=r"foreign\.h5"):
        Hdf5Source(path)


def test_new_file_has_checksums_and_no_text_of_variable_length(
    tmp_path: Path, table: SampleTable
) -> None:
    path = tmp_path / "two.h5"
    write_shard(path, table, store_info(notes={"über": 2}))
    data = path.read_bytes()
    assert data[8] == 3, "version of the superblock"
    assert b"GCOL" not in data, "a heap of texts"
    kinds: list[np.dtype] = []

    def visit(_: str, node: h5py.Group | h5py.Dataset) -> None:
        kinds.extend(node.attrs.get_id(name).dtype for name in node.attrs)
        if isinstance(node, h5py.Dataset):
            kinds.append(node.dtype)

    with h5py.File(path) as file:
        file.visititems(visit)
    assert len(kinds) > 40
    assert not [kind for kind in kinds if h5py.check_dtype(vlen=kind) is not None]


def test_mask_that_was_moved_is_an_error(tmp_path: Path, table: SampleTable) -> None:
    path = tmp_path / "two.h5"
    write_shard(path, table, store_info())
    with h5py.File(path, "r+") as file:
        blob = dataset_at(file, schema.MASK_BLOB)
        blob[0] = blob[0] ^ 1  # Lowest bit of the row where the first mask's box begins.
    with pytest.raises(DataError, match=r"sample 0 .*the checksum of the mask differs"):
        Hdf5Source(path).read([0])
