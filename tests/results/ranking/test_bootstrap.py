"""Bootstrap intervals: right size, right sign, right coverage."""

import numpy as np
import pytest

from smil_ray.results.ranking.bootstrap import bootstrap_mean, paired_difference


def test_interval_holds_the_mean_and_is_about_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = bootstrap_mean(values)
    assert found is not None
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2.0 / 20, rel=0.15)


def test_interval_of_skewed_values_reaches_further_to_the_side_of_their_tail() -> None:
    values = np.random.default_rng(1).lognormal(0.0, 1.0, 60)
    found = bootstrap_mean(values)
    assert found is not None
    assert found.high - found.mean > 1.3 * (found.mean - found.low)


def test_groups_are_what_is_counted() -> None:
    values = np.repeat(np.random.default_rng(1).normal(0.0, 1.0, 20), 5)
    names = [f"g{number // 5}" for number in range(100)]
    alone, grouped = bootstrap_mean(values), bootstrap_mean(values, groups=names)
    assert alone is not None
    assert grouped is not None
    assert (alone.n, alone.groups, grouped.n, grouped.groups) == (100, 100, 100, 20)
    assert grouped.mean == pytest.approx(alone.mean)
    assert grouped.high - grouped.low > 2.0 * (alone.high - alone.low)
    assert bootstrap_mean(values[:5], groups=names[:5]) is None


def test_few_groups_get_students_interval() -> None:
    found = bootstrap_mean([1.0, 2.0, 3.0])
    assert found is not None
    # t(2 degrees of freedom, 97.5 %) = 4.303; standard error 1/sqrt(3).
    assert (found.low, found.high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), 1e-3)


def test_equal_values_have_no_spread() -> None:
    found = bootstrap_mean([2.5] * 40)
    assert found is not None
    assert (found.low, found.mean, found.high) == (2.5, 2.5, 2.5)


def test_pairing_finds_a_difference_that_single_intervals_hide() -> None:
    generator = np.random.default_rng(2)
    difficulty = generator.normal(10.0, 5.0, 80)
    ours = {f"s{i}": float(d + 0.3 + generator.normal(0, 0.2)) for i, d in enumerate(difficulty)}
    theirs = {f"s{i}": float(d + generator.normal(0, 0.2)) for i, d in enumerate(difficulty)}
    single, other = bootstrap_mean(list(ours.values())), bootstrap_mean(list(theirs.values()))
    paired = paired_difference(ours, theirs)
    assert single is not None
    assert other is not None
    assert paired is not None
    assert single.low < other.mean
    assert paired.excludes_zero
    assert paired.mean == pytest.approx(0.3, abs=0.1)


def test_equal_networks_cannot_be_told_apart() -> None:
    generator = np.random.default_rng(3)
    ours = {f"s{i}": float(generator.normal()) for i in range(50)}
    theirs = {name: value + float(generator.normal()) for name, value in ours.items()}
    found = paired_difference(ours, theirs)
    assert found is not None
    assert not found.excludes_zero


def test_only_samples_that_both_have_are_compared() -> None:
    found = paired_difference({"a": 1.0, "b": 2.0, "x": 99.0}, {"a": 0.0, "b": 1.0, "y": -99.0})
    assert found is not None
    assert (found.mean, found.n) == (1.0, 2)


@pytest.mark.parametrize("values", [[], [1.0], [float("nan"), 1.0]])
def test_fewer_than_two_numbers_give_no_interval(values: list[float]) -> None:
    assert bootstrap_mean(values) is None


def test_same_seed_gives_the_same_interval() -> None:
    values = [1.0, 2.0, 5.0, 3.0]
    assert bootstrap_mean(values, seed=4) == bootstrap_mean(values, seed=4)
