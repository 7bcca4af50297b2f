"""Splits are disjoint, complete, grouped, and do not move when samples are added."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from smil_ray.data.splits import Splits, position, share_of_groups, split_indices
from smil_ray.errors import ConfigError, DataError

names_of_groups = st.lists(st.integers(0, 60), min_size=30, max_size=120)
fractions = st.tuples(st.floats(0.0, 0.45), st.floats(0.0, 0.45))


def split(groups: list[str], val: float, test: float, seed: int = 13) -> Splits:
    return split_indices([f"s{i}" for i in range(len(groups))], groups, val, test, seed)


@given(numbers=names_of_groups, parts=fractions, seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_every_sample_is_in_one_split_and_groups_stay_together(
    numbers: list[int], parts: tuple[float, float], seed: int
) -> None:
    groups = [f"g{number}" for number in numbers]
    assume(len(set(groups)) > 1)
    found = split(groups, *parts, seed)
    everything = np.concatenate(list(vars(found).values()))
    assert sorted(everything.tolist()) == list(range(len(groups)))
    homes = [{groups[i] for i in indices} for indices in vars(found).values()]
    assert not homes[0] & homes[1] | homes[0] & homes[2] | homes[1] & homes[2]


@given(numbers=names_of_groups, added=st.lists(st.integers(0, 99), max_size=20))
@settings(max_examples=30, deadline=None)
def test_added_samples_move_none_of_the_others(numbers: list[int], added: list[int]) -> None:
    groups = [f"g{number}" for number in numbers]
    more = [*groups, *(f"g{number}" for number in added)]
    # With very few groups chance can leave a split empty, and a group moves to fill it.
    assume({int(position(group, 13) / 0.3) for group in groups} >= {0, 1, 2})
    before, after = split(groups, 0.3, 0.3), split(more, 0.3, 0.3)
    for name, indices in vars(before).items():
        assert set(indices.tolist()) <= set(getattr(after, name).tolist())


def test_fractions_hold_on_many_groups_and_seeds_differ() -> None:
    groups = [f"g{i}" for i in range(4000)]
    one, other = split(groups, 0.15, 0.10), split(groups, 0.15, 0.10, seed=14)
    assert len(one.val) / 4000 == pytest.approx(0.15, abs=0.02)
    assert len(one.test) / 4000 == pytest.approx(0.10, abs=0.02)
    assert set(one.val.tolist()) != set(other.val.tolist())


def test_places_are_pinned_so_that_old_runs_keep_their_splits() -> None:
    found = split([f"frame_{i:02d}" for i in range(12)], 0.3, 0.2)
    assert {name: indices.tolist() for name, indices in vars(found).items()} == PINNED


PINNED = {"train": [0, 1, 2, 3, 7, 11], "val": [9, 10], "test": [4, 5, 6, 8]}


def test_names_of_each_split_are_given_for_the_record() -> None:
    found = split([f"g{i}" for i in range(20)], 0.3, 0.2)
    names = found.names([f"s{i}" for i in range(20)])
    assert sorted(name for split in names.values() for name in split) == sorted(
        f"s{i}" for i in range(20)
    )


@pytest.mark.parametrize(("val", "test"), [(0.6, 0.4), (-0.1, 0.1), (1.0, 0.0)])
def test_impossible_fractions_are_refused(val: float, test: float) -> None:
    with pytest.raises(ConfigError, match="val_fraction"):
        split(["a", "b"], val, test)


def test_too_few_groups_for_a_validation_split_are_refused() -> None:
    with pytest.raises(DataError, match=r"validation split is empty.*10 samples in 1 groups"):
        split(["a"] * 10, 0.3, 0.3)


@given(groups=st.sets(st.text(max_size=3), min_size=2, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_few_groups_fill_every_wanted_split_by_rank_of_place(groups: set[str], seed: int) -> None:
    found = split(list(groups), 0.15, 0.10, seed)
    sizes = {name: len(indices) for name, indices in vars(found).items()}
    assert sum(sizes.values()) == len(groups)
    assert min(sizes["train"], sizes["val"]) >= 1
    assert sizes["test"] >= (len(groups) > 2)
    places = [[position(list(groups)[i], seed) for i in part] for part in vars(found).values()]
    train, val, test = places
    assert max([*test, -1.0]) < min(val) <= max(val) < min(train)


@given(numbers=names_of_groups, parts=st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)))
@settings(max_examples=40, deadline=None)
def test_smaller_share_is_a_part_of_the_larger_one_and_groups_stay_whole(
    numbers: list[int], parts: tuple[float, float]
) -> None:
    groups = [f"g{number}" for number in numbers]
    indices = np.arange(0, len(groups), 2, dtype=np.int64)
    present = {groups[i] for i in indices}
    small, large = (share_of_groups(indices, groups, part, 13) for part in sorted(parts))
    assert set(small.tolist()) <= set(large.tolist())
    kept = {groups[i] for i in small}
    assert [i for i in indices.tolist() if groups[i] in kept] == small.tolist()
    assert len(kept) == max(1, int(np.ceil(min(parts) * len(present) - 1e-9)))


def test_whole_share_is_everything_and_the_seed_moves_a_part() -> None:
    groups = [f"g{number}" for number in range(40)]
    indices = np.arange(40, dtype=np.int64)
    assert share_of_groups(indices, groups, 1.0, 13).tolist() == list(range(40))
    first, second = (share_of_groups(indices, groups, 0.25, seed).tolist() for seed in (1, 2))
    assert len(first) == len(second) == 10
    assert first != second
