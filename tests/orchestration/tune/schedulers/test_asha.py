"""AshaScheduler: who may go on, what is not a number, and the same after a restart."""

import math

import pytest

from smil_ray.orchestration.tune.schedulers.asha import AshaScheduler


@pytest.mark.parametrize(
    ("grace", "factor", "epochs", "levels"),
    [(1, 3, 10, [1, 3, 9]), (4, 2, 16, [4, 8]), (0, 2, 3, [1, 2]), (10, 3, 10, [])],
)
def test_rungs_lie_between_grace_and_the_last_epoch(
    grace: int, factor: int, epochs: int, levels: list[int]
) -> None:
    assert AshaScheduler(grace, factor, epochs).levels == levels


def test_only_the_best_share_goes_on() -> None:
    rungs = AshaScheduler(1, 3, 10)
    decisions = [rungs.record(f"t{value}", 1, float(value)) for value in (5, 6, 4, 7, 3, 9)]
    assert decisions == [True, False, True, False, True, False]


def test_larger_is_better_in_mode_max() -> None:
    rungs = AshaScheduler(1, 2, 10, "max")
    assert rungs.record("a", 1, 0.2)
    assert rungs.record("b", 1, 0.9)
    assert not rungs.record("c", 1, 0.1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_not_a_number_never_goes_on(value: float, mode: str) -> None:
    rungs = AshaScheduler(1, 3, 10, "max" if mode == "max" else "min")
    assert not rungs.record("bad", 1, value)
    assert rungs.record("good", 1, 1.0)


def test_trial_meets_each_rung_once_even_if_it_skips_an_epoch() -> None:
    rungs = AshaScheduler(2, 2, 20)
    assert rungs.rung_at("a", 1.0) is None
    assert rungs.rung_at("a", 5.0) == 4
    rungs.record("a", 4, 1.0)
    assert rungs.rung_at("a", 6.0) is None
    assert rungs.rung_at("a", 8.0) == 8


def test_rungs_rebuilt_from_a_record_decide_as_before() -> None:
    events = [("a", 1, 3.0), ("b", 1, 2.0), ("c", 1, math.nan)]
    first, second = AshaScheduler(1, 3, 10), AshaScheduler(1, 3, 10)
    for event in events:
        first.record(*event)
    for trial, rung, value in events:
        second.record(trial, rung, value)
    assert first.recorded(1).keys() == second.recorded(1).keys()
    assert first.record("d", 1, 2.5) == second.record("d", 1, 2.5)
