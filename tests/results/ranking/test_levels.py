"""Rank correlation against scipy, and what is said about levels."""

import numpy as np
import pytest
from scipy import stats

from smil_ray.results.ranking.levels import level_agreements, spearman, top_level
from smil_ray.results.ranking.records import TrialRecord


def record(index: int, level: int, metric: float | None, status: str = "finished") -> TrialRecord:
    return TrialRecord(
        name=f"trial_{index:03d}_l{level}",
        index=index,
        level=level,
        metric=metric,
        status="failed" if status == "failed" else "finished",
    )


@pytest.mark.parametrize("seed", range(5))
def test_spearman_equals_scipy_with_equal_values_among_them(seed: int) -> None:
    first, second = np.random.default_rng(seed).integers(0, 7, size=(2, 20)).astype(float)
    expected, _ = stats.spearmanr(first, second)
    assert spearman(first.tolist(), second.tolist()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("first", "second"), [([1.0, 2.0], [2.0, 1.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([], [])]
)
def test_spearman_of_too_little_is_unknown(first: list[float], second: list[float]) -> None:
    assert spearman(first, second) is None


def test_agreement_counts_trials_that_ended_at_both_levels() -> None:
    trials = [record(index, 0, float(index)) for index in range(6)]
    trials += [record(0, 1, 3.0), record(1, 1, 2.0), record(2, 1, 1.0)]
    trials += [record(3, 1, None, "failed"), record(0, 2, 1.0)]
    first, second = level_agreements(trials)
    assert (first.level, first.pairs, first.correlation) == (0, 3, pytest.approx(-1.0))
    assert (second.level, second.pairs, second.correlation) == (1, 1, None)
    assert str(first) == "Rank correlation of levels 0 and 1 (3 in both): -1.00 (Spearman)."
    assert "too few to say" in str(second)


def test_sweep_without_levels_has_no_agreement() -> None:
    trials = [record(0, 0, 1.0), record(1, 0, 2.0)]
    assert level_agreements(trials) == []
    assert top_level(trials) == trials


def test_top_level_is_the_highest_at_which_a_trial_succeeded() -> None:
    lower = [record(0, 0, 1.0), record(1, 0, 2.0)]
    assert top_level([*lower, record(0, 1, None, "failed")]) == lower
