"""Writing, merging and reading files of schema version 2 (data_format sections 2 to 7)."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smil_ray.core.batch import LABELS, Sample
from smil_ray.data.hdf5 import schema
from smil_ray.data.hdf5.merge import StoreSize, merge, write_shard
from smil_ray.data.hdf5.reading import dataset_at
from smil_ray.data.hdf5.schema import Drop
from smil_ray.data.hdf5.store import Hdf5Source, read_drops, verify
from smil_ray.data.hdf5.table import encode_samples
from smil_ray.errors import DataError
from tests.data.hdf5.hdf5_samples import (
    EVERY_LABEL,
    SIZE,
    assert_same_labels,
    make_sample,
    store_info,
)


def write(path: Path, samples: list[Sample], **info: object) -> str:
    described = store_info(**info)
    return write_shard(path, encode_samples(samples, described, 95), described)


@given(
    seeds=st.lists(st.integers(0, 2**31), min_size=1, max_size=6, unique=True),
    absent=st.sets(st.sampled_from(sorted(EVERY_LABEL))),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=8, deadline=None)
def test_samples_come_back_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], absent: set[str], order: object
) -> None:
    path = tmp_path_factory.mktemp("store") / "a.h5"
    samples = [
        make_sample(seed, present=EVERY_LABEL - absent if i % 2 else EVERY_LABEL)
        for i, seed in enumerate(seeds)
    ]
    write(path, samples)
    source = Hdf5Source(path)
    wanted = [*range(len(samples)), 0]
    order.shuffle(wanted)  # type: ignore[attr-defined]
    for index, found in zip(wanted, source.read(wanted), strict=True):
        assert_same_labels(found, samples[index])
        assert np.abs(found.image.astype(int) - samples[index].image).mean() < 12
    assert verify(path) == source.info.content_hash


def test_file_has_exactly_the_five_groups_and_every_column(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", [make_sample(0)])
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file) == set(schema.GROUPS)
        for column in schema.COLUMNS:
            data = file[column.path]
            assert isinstance(data, h5py.Dataset)
            assert data.dtype == np.dtype(column.dtype), column.path
        assert file["metadata"].attrs["schema_version"] == 2


@pytest.mark.parametrize("cuts", [[1], [3, 4], [0, 2, 5]])
def test_merged_shards_equal_one_shard(tmp_path: Path, cuts: list[int]) -> None:
    samples = [make_sample(i) for i in range(6)]
    info = store_info()
    whole = write(tmp_path / "whole.h5", samples)
    bounds = [0, *cuts, 6]
    tables = [encode_samples(samples[a:b], info, 95) for a, b in pairwise(bounds)]
    size = sum((StoreSize.of(table) for table in tables), StoreSize())
    drops = [Drop("gone", "few_keypoints", "3 of 5", is_error=False)]
    merged = merge(tables, size, tmp_path / "merged.h5", info, drops)
    assert merged == whole == verify(tmp_path / "merged.h5")
    assert Hdf5Source(tmp_path / "merged.h5").info.drop_counts == {"few_keypoints": 1}
    assert [drop.detail for drop in read_drops(tmp_path / "merged.h5")] == ["3 of 5"]
    for found, expected in zip(
        Hdf5Source(tmp_path / "merged.h5").read(range(6)), samples, strict=True
    ):
        assert_same_labels(found, expected)


def test_content_hash_ignores_settings_and_notes(tmp_path: Path) -> None:
    samples = [make_sample(0)]
    one = write(tmp_path / "a.h5", samples, settings={"num_workers": 1}, notes={"x": 1})
    assert one == write(tmp_path / "b.h5", samples, settings={"num_workers": 4})


@pytest.mark.parametrize(
    "change", [{"model_hash": "1" * 64}, {"joint_names": ("b_t", "b_a_1", "l_1_r", "l_1_l")}]
)
def test_content_hash_covers_what_labels_mean(tmp_path: Path, change: dict) -> None:
    samples = [make_sample(0)]
    assert write(tmp_path / "a.h5", samples) != write(tmp_path / "b.h5", samples, **change)


def test_content_hash_covers_every_sample_and_their_order(tmp_path: Path) -> None:
    one, two = make_sample(0), make_sample(1)
    hashes = {write(tmp_path / "a.h5", s) for s in ([one], [two], [one, two], [two, one])}
    assert len(hashes) == 4


def test_empty_table_and_zero_width_labels_can_be_stored(tmp_path: Path) -> None:
    write(tmp_path / "none.h5", [])
    assert len(Hdf5Source(tmp_path / "none.h5")) == 0


def test_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'set/s_00001' occurs twice"):
        write(tmp_path / "a.h5", [make_sample(1), make_sample(1)])


def test_sample_of_other_shape_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s_00001.*image or mask"):
        write(tmp_path / "a.h5", [make_sample(1, size=SIZE + 2)])
    with pytest.raises(DataError, match=r"s_00001.*betas.*expected \(4,\).*found \(3,\)"):
        write(tmp_path / "a.h5", [make_sample(1)], n_betas=4)


def _delete(path: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]

    return change


def _attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["metadata"].attrs[name] = value

    return change


def _replace(path: str, values: np.ndarray) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file[path] = values

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        *((_delete(group), group) for group in schema.GROUPS if group != "metadata"),
        (_delete("metadata"), "schema_version"),
        *((_delete(column.path), column.path) for column in schema.COLUMNS),
        (_delete(schema.RGB_BLOB), schema.RGB_BLOB),
        (_delete(schema.JOINT_NAMES), schema.JOINT_NAMES),
        (_attribute("schema_version", 99), "expected 1 or 2; found 99; install a newer"),
        (_attribute("schema_version", 0), "preprocess"),
        (_attribute("total_samples", 7), r"expected float32 \(7, 3\)"),
        (_attribute("content_hash", "f" * 64), "changed or damaged"),
        (_replace(schema.SETTINGS, np.zeros(5, "uint8")), schema.SETTINGS),
        (_replace("parameters/betas", np.zeros((4, 3), "float64")), "parameters/betas"),
        (_replace("parameters/trans", np.zeros((4, 2), "float32")), "parameters/trans"),
        (_replace(schema.RGB_OFFSETS, np.arange(5)[::-1]), "labels were changed"),
        (_replace(schema.DIGESTS, np.zeros((4, 32), "uint8")), "changed or damaged"),
    ],
)
def test_file_that_is_not_as_documented_is_refused_by_name(
    tmp_path: Path, change: Callable[[h5py.File], None], sentence: str
) -> None:
    path = tmp_path / "a.h5"
    write(path, [make_sample(i) for i in range(4)])
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError, match=rf"a\.h5.*{sentence}"):
        Hdf5Source(path)


def test_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(DataError, match=r"data\.h5: a Git LFS pointer.*git lfs pull"):
        Hdf5Source(path)


def test_file_that_is_not_hdf5_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("hello")
    (tmp_path / "empty.h5").touch()
    for name in ("a.h5", "empty.h5", "none.h5"):
        with pytest.raises(DataError, match=name):
            Hdf5Source(tmp_path / name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.h5"
    write(path, [make_sample(i) for i in range(4)])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"a\.h5"):
        Hdf5Source(path)


def test_damaged_picture_is_an_error_that_names_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, [make_sample(i) for i in range(4)])
    with h5py.File(path, "r+") as file:
        offsets = dataset_at(file, schema.RGB_OFFSETS)[...]
        place, blob = int(offsets[2] + offsets[3]) // 2, dataset_at(file, schema.RGB_BLOB)
        blob[place] = blob[place] ^ 0xFF
    source = Hdf5Source(path)
    source.read([0, 1, 3])
    with pytest.raises(DataError, match=r"sample 2 .*s_00002.*checksum"):
        source.read([1, 2])
    with pytest.raises(DataError, match="s_00002"):
        verify(path)


def test_flipped_bytes_anywhere_never_change_a_label_silently(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    samples = [make_sample(i) for i in range(3)]
    write(path, samples)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 30):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = Hdf5Source(path).read(range(3))
        except DataError:
            continue
        for sample, expected in zip(found, samples, strict=True):
            for name in ("keypoints_2d", "joint_rot", "mask", "keypoint_visibility"):
                np.testing.assert_array_equal(getattr(sample, name), getattr(expected, name))


def test_presence_columns_are_the_labels_in_their_order(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", [make_sample(0, present=frozenset({"camera", "mask"}))])
    row = Hdf5Source(tmp_path / "a.h5").presence[0]
    assert {label for label, here in zip(LABELS, row, strict=True) if here} == {"camera", "mask"}
