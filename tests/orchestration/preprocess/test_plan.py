"""The plan: sorted names, shards keyed by their input, settings that matter."""

import os
from pathlib import Path

import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.errors import DataError
from smil_ray.orchestration.preprocess.plan import find_all_entries, make_plan, shard_size
from tests.orchestration.preprocess.preprocess_data import options


def write_entries(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.json").write_text('{"iterationData": {}}')
        (folder / f"{name}.JPG").write_bytes(b"x")
    return folder


def test_shards_hold_consecutive_sorted_entries(tmp_path: Path) -> None:
    folder = write_entries(tmp_path / "set", ["b_1", "a_2", "a_10", "c.d_0", "a_1"])
    shards = make_plan([folder], options(chunk_size=2)).shards
    names = [[entry.name for entry in shard.entries] for shard in shards]
    assert names == [["a_1", "a_10"], ["a_2", "b_1"], ["c.d_0"]]
    assert [shard.index for shard in shards] == [0, 1, 2]


@pytest.mark.parametrize(
    ("entries", "side", "size"),
    [
        (10, 224, 64),  # One short task.
        (1_600, 224, 100),  # Sixteen of them.
        (1_000_000, 224, 256),  # About a second each.
        (1_000_000, 1024, 16),  # 64 MiB of pictures and masks.
        (10, 4096, 1),
    ],
)
def test_shards_are_neither_short_nor_large(entries: int, side: int, size: int) -> None:
    assert shard_size(entries, side) == size


def test_limit_takes_the_first_entries(tmp_path: Path) -> None:
    folder = write_entries(tmp_path / "set", ["a", "b", "c"])
    (shard,) = make_plan([folder], options(limit=2)).shards
    assert [entry.name for entry in shard.entries] == ["a", "b"]


def test_names_of_several_inputs_carry_the_folder_and_stay_unique(tmp_path: Path) -> None:
    inputs = [write_entries(tmp_path / place / "set", ["a"]) for place in ("x", "y")]
    entries = find_all_entries(inputs)
    assert [entry.name for entry in entries] == ["set/a", "set~2/a"]
    assert [entry.group for entry in entries] == ["set/a", "set~2/a"]


def test_order_of_inputs_with_different_names_does_not_matter(tmp_path: Path) -> None:
    inputs = [write_entries(tmp_path / place, ["a", "b"]) for place in ("x", "y")]
    assert find_all_entries(inputs) == find_all_entries(inputs[::-1])


def test_same_input_twice_or_none_is_refused(tmp_path: Path) -> None:
    folder = write_entries(tmp_path / "set", ["a"])
    with pytest.raises(DataError, match="given twice"):
        find_all_entries([folder, folder])
    with pytest.raises(DataError, match="at least one input"):
        find_all_entries([])


def test_changed_file_gives_its_shard_another_key(tmp_path: Path) -> None:
    folder = write_entries(tmp_path / "set", ["a", "b"])
    before = make_plan([folder], options(chunk_size=1))
    os.utime(folder / "b.JPG", ns=(0, 0))
    after = make_plan([folder], options(chunk_size=1))
    assert before.shards[0] == after.shards[0]
    assert before.shards[1].key != after.shards[1].key
    assert before.key({}) != after.key({})


def test_settings_that_only_say_how_do_not_count_as_content() -> None:
    model = SmilModel.builtin()
    how = {"num_workers": 7, "resume": True, "chunk_size": 99, "max_error_fraction": 1.0}
    assert options(**how).content_settings(model) == options().content_settings(model)
    assert options(jpeg_quality=50).content_settings(model) != options().content_settings(model)
