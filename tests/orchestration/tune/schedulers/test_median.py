"""The median rule: who may go on, what is not a number, and the same after a restart."""

import math
from pathlib import Path

import numpy as np
import pytest

from smil_ray.orchestration.tune.journal import Journal
from smil_ray.orchestration.tune.schedulers.asha import AshaScheduler
from smil_ray.orchestration.tune.schedulers.early_stopping import EarlyStoppingScheduler
from smil_ray.orchestration.tune.schedulers.median import MedianScheduler


def feed(rule: MedianScheduler, trial: str, *values: float) -> bool:
    """Record epochs from the first one on; return the last decision."""
    return [rule.record(trial, epoch, value) for epoch, value in enumerate(values, start=1)][-1]


def test_asha_and_median_are_early_stopping_schedulers() -> None:
    assert isinstance(MedianScheduler(1, 1, 9), EarlyStoppingScheduler)
    assert isinstance(AshaScheduler(1, 3, 9), EarlyStoppingScheduler)


def test_trial_worse_than_the_median_is_stopped() -> None:
    rule = MedianScheduler(grace=2, min_trials=3, epochs=9)
    for trial, best in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        assert feed(rule, trial, 9.0, best)
    assert feed(rule, "as good", 9.0, 2.0)
    assert not feed(rule, "worse", 9.0, 2.5)


def test_best_value_so_far_counts_and_not_the_last_one() -> None:
    rule = MedianScheduler(grace=3, min_trials=2, epochs=9)
    feed(rule, "a", 5.0, 2.0, 4.0)
    feed(rule, "b", 5.0, 2.0, 4.0)
    assert feed(rule, "went up again", 5.0, 1.5, 8.0)
    assert not feed(rule, "never as low", 5.0, 3.0, 3.0)


def test_nothing_is_stopped_before_grace_without_company_or_at_the_end() -> None:
    rule = MedianScheduler(grace=3, min_trials=2, epochs=4)
    feed(rule, "a", 1.0, 1.0, 1.0, 1.0)
    assert feed(rule, "bad", 9.0, 9.0, 9.0)
    feed(rule, "b", 1.0, 1.0, 1.0, 1.0)
    assert rule.record("bad", 4, 9.0)
    assert feed(rule, "worse", 9.0, 9.0)
    assert not rule.record("worse", 3, 9.0)


def test_larger_is_better_in_mode_max() -> None:
    rule = MedianScheduler(1, 2, 9, "max")
    feed(rule, "a", 0.5)
    feed(rule, "b", 0.7)
    assert feed(rule, "high", 0.65)
    assert not feed(rule, "low", 0.4)
    assert rule.recorded(1) == {"a": 0.5, "b": 0.7, "high": 0.65, "low": 0.4}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_not_a_number_never_goes_on_and_is_the_worst(value: float, mode: str) -> None:
    rule = MedianScheduler(1, 1, 9, "max" if mode == "max" else "min")
    assert not rule.record("bad", 1, value)
    assert rule.record("good", 1, 5.0)


def test_stopped_trial_stays_in_the_comparison() -> None:
    # Without those that were stopped, every epoch would end half of the rest.
    rule = MedianScheduler(grace=2, min_trials=2, epochs=20)
    running = {f"t{number}": float(number) for number in (0, 7, 1, 6, 2, 5, 3, 4)}
    for epoch in range(1, 19):
        for trial, value in list(running.items()):
            if not rule.record(trial, epoch, value):
                del running[trial]
    assert sorted(running) == ["t0", "t1", "t2", "t3"]


def test_epoch_is_recorded_once_and_may_be_skipped() -> None:
    rule = MedianScheduler(1, 1, 20)
    assert rule.rung_at("a", 0.5) is None
    assert rule.rung_at("a", 3.0) == 3
    rule.record("a", 3, 1.0)
    assert rule.rung_at("a", 2.0) is None
    assert rule.rung_at("a", 3.0) is None
    assert rule.rung_at("a", 4.0) == 4


def test_rule_rebuilt_from_the_journal_decides_as_before(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    journal, first = Journal(tmp_path), MedianScheduler(2, 2, 9)
    stopped: set[str] = set()
    for epoch in range(1, 6):
        for trial in "abcdef":
            if trial not in stopped:
                value = float(random.normal()) if (trial, epoch) != ("c", 4) else math.nan
                journal.append("rung", trial=trial, rung=epoch, value=value)
                if not first.record(trial, epoch, value):
                    stopped.add(trial)
    again = MedianScheduler(2, 2, 9)
    for event in journal.rungs():
        again.record(event["trial"], event["rung"], event["value"])
    assert stopped
    for value in (-2.0, -0.5, 0.0, 0.5, 2.0):
        # Each copy takes the same newcomer; its decision must be the same.
        assert first.record(f"new{value}", 5, value) == again.record(f"new{value}", 5, value)
