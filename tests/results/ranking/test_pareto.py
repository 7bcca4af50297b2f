"""The Pareto front against its definition, and which trials may be on it."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from smil_ray.results.ranking.pareto import Objective, dominates, on_front, pareto_front
from smil_ray.results.ranking.records import TrialRecord

ERROR = Objective("val/pa_mpjpe_pct_bl")
SPEED = Objective("cost/images_per_s", "max")


def record(index: int, error: float, speed: float | None, **settings: Any) -> TrialRecord:
    costs = {} if speed is None else {SPEED.metric: speed}
    values = {"status": "finished", "metric": error, "metrics": {ERROR.metric: error}, **settings}
    repeat = values.get("repeat", 0)
    return TrialRecord(name=f"t{index}_{repeat}", index=index, costs=costs, **values)


def names(*records: TrialRecord) -> list[str]:
    return [found.name for found in pareto_front(records, [ERROR, SPEED])]


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ((1.0, 1.0), (2.0, 2.0), True),
        ((1.0, 2.0), (2.0, 2.0), True),
        ((1.0, 3.0), (2.0, 2.0), False),
        ((2.0, 2.0), (2.0, 2.0), False),
        ((2.0, 2.0), (1.0, 2.0), False),
    ],
)
def test_dominates_means_nowhere_worse_and_somewhere_better(
    first: tuple[float, float], second: tuple[float, float], *, answer: bool
) -> None:
    assert dominates(first, second) is answer


@pytest.mark.parametrize(("seed", "places"), list(itertools.product(range(4), (1, 2, 3))))
def test_front_equals_its_definition(seed: int, places: int) -> None:
    # Few distinct values, so that equal points and equal single values come up.
    points = np.random.default_rng(seed).integers(0, 6, size=(60, places)).astype(float).tolist()
    by_definition = [not any(dominates(other, point) for other in points) for point in points]
    assert on_front(points) == by_definition


def test_front_of_nothing_is_empty() -> None:
    assert on_front([]) == []
    assert pareto_front([], [ERROR]) == []


def test_front_follows_each_mode_and_is_ordered_by_the_first_objective() -> None:
    assert names(
        record(0, 5.0, 900.0), record(1, 2.0, 100.0), record(2, 3.0, 90.0), record(3, 3.0, 300.0)
    ) == ["t1_0", "t3_0", "t0_0"]


@pytest.mark.parametrize(
    "left_out",
    [
        record(0, 0.1, None),
        record(0, 0.1, math.nan),
        record(0, math.nan, 9e9),
        record(0, 0.1, 9e9, status="failed"),
        record(0, 0.1, 9e9, status="running"),
    ],
)
def test_trial_without_a_figure_or_a_result_is_on_no_front(left_out: TrialRecord) -> None:
    assert names(left_out, record(1, 5.0, 1.0)) == ["t1_0"]


def test_configuration_is_the_mean_of_its_repeats() -> None:
    # The first repeat alone would be on the front; its configuration is beaten by the other one.
    first = [record(0, 1.0, 10.0), record(0, 9.0, 10.0, repeat=1)]
    second = [record(1, 4.0, 20.0), record(1, 4.0, 20.0, repeat=1)]
    assert names(*first, *second) == ["t1_0", "t1_1"]


def test_equal_configurations_are_on_the_front_together() -> None:
    assert names(record(0, 1.0, 1.0), record(1, 1.0, 1.0)) == ["t0_0", "t1_0"]
