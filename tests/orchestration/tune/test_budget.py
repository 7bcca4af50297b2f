"""Budgets: what counts, across sessions, and that a larger one goes on with what was stopped."""

from pathlib import Path
from typing import Any

import pytest

from smil_ray.config.reading import sweep_from_dict
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune._budget import Budget, devices_in_use
from smil_ray.orchestration.tune.driver import SweepDriver
from smil_ray.orchestration.tune.journal import BUDGET, Journal
from smil_ray.orchestration.tune.trials.resources import TrialPlan
from smil_ray.results.ranking.leaderboard import SAMPLE_ERRORS_FILE, Leaderboard
from tests.orchestration.tune.test_driver import PLAN, make_driver, start_next, train

pytestmark = pytest.mark.usefixtures("quick_folders")

HOUR = 3600.0
SPACE = {"optim.learning_rate": {"loguniform": [1e-4, 1e-2]}}


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def budget(folder: Path, clock: Clock, **limits: float) -> Budget:
    return Budget(sweep_from_dict({"space": SPACE, **limits}), Journal(folder), clock)


def timed_driver(folder: Path, clock: Clock, **settings: Any) -> SweepDriver:
    driver = make_driver(folder, **settings)
    driver.budget = Budget(driver.sweep, driver.journal, clock)
    return driver


def test_time_and_devices_are_counted_between_ticks(tmp_path: Path) -> None:
    clock = Clock()
    found = budget(tmp_path, clock, max_hours=2.5, max_gpu_hours=10)
    found.tick(4.0)
    clock.now += HOUR
    found.tick(2.0)
    clock.now += HOUR
    found.tick(0.5)
    assert (found.hours, found.device_hours) == (2.0, 2.5)
    assert not found.is_spent
    assert str(found) == "2 of 2.5 hours and 2.5 of 10 device hours"
    clock.now += HOUR / 2
    found.tick(0.0)
    assert found.is_spent


def test_device_hours_alone_can_spend_the_budget(tmp_path: Path) -> None:
    clock = Clock()
    found = budget(tmp_path, clock, max_gpu_hours=3)
    found.tick(0.0)
    clock.now += HOUR
    found.tick(4.0)
    assert found.is_spent


def test_sweep_without_limits_never_spends_them(tmp_path: Path) -> None:
    clock = Clock()
    found = budget(tmp_path, clock)
    found.tick(1.0)
    clock.now += 1e9
    found.tick(1.0)
    assert not found.is_spent


def test_time_between_sessions_is_not_counted_and_that_of_sessions_is(tmp_path: Path) -> None:
    clock = Clock()
    first = budget(tmp_path, clock)
    first.tick(1.0)
    clock.now += HOUR
    first.tick(2.0)
    # The driver is killed here, and started again a day later.
    clock.now += 24 * HOUR
    again = budget(tmp_path, clock, max_hours=3)
    again.tick(0.0)
    clock.now += HOUR
    again.tick(1.0)
    assert (again.hours, again.device_hours) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("pack", "running", "devices"), [(1, 0, 0.0), (1, 2, 1.0), (4, 4, 0.5), (4, 5, 1.0)]
)
def test_trials_of_one_pack_share_their_device(pack: int, running: int, devices: float) -> None:
    plan = TrialPlan("inline", {"GPU": 0.5}, 2, {}, devices=0.5, pack=pack)
    assert devices_in_use(plan, running) == devices


def test_spent_budget_ends_the_search_and_running_trials(tmp_path: Path) -> None:
    clock = Clock()
    driver = timed_driver(tmp_path, clock, trials=5, max_hours=1)
    first, second = start_next(driver), start_next(driver)
    train(driver, first, *[3.0] * 9)
    driver.end(first)
    assert train(driver, second, 5.0)
    clock.now += HOUR
    assert not train(driver, second, 4.0)
    assert driver.next_trial() is None
    assert driver.is_over
    assert not driver.is_finished
    record = driver.end(second)
    assert (record.status, record.reason, record.metric) == ("stopped", BUDGET, 4.0)
    assert driver.is_finished
    board = driver.leaderboard()
    assert board.best is not None
    assert board.best.name == first
    assert "1 of 1 hours" in board.notes[0]
    assert Leaderboard.load(tmp_path).notes == board.notes


def test_trial_that_reports_its_last_epoch_has_finished_and_is_not_out_of_budget(
    tmp_path: Path,
) -> None:
    clock = Clock()
    driver = timed_driver(tmp_path, clock, trials=1, max_gpu_hours=1)
    name = start_next(driver)
    train(driver, name, *[3.0] * 8)
    clock.now += 2 * HOUR
    assert train(driver, name, 2.0)
    assert driver.end(name).status == "finished"
    assert driver.leaderboard().notes == ()


def test_resume_with_a_larger_budget_goes_on_with_what_was_stopped(tmp_path: Path) -> None:
    clock = Clock()
    first = timed_driver(tmp_path, clock, trials=3, max_hours=1)
    name = start_next(first)
    train(first, name, 5.0)
    clock.now += HOUR
    train(first, name, 4.0)
    first.end(name)
    stale = first.trial_folder(name) / SAMPLE_ERRORS_FILE
    stale.touch()
    assert timed_driver(tmp_path, clock, trials=3, max_hours=1).next_trial() is None

    again = timed_driver(tmp_path, clock, trials=3, max_hours=2)
    assert start_next(again) == name
    assert not stale.exists()
    clock.now += HOUR / 2
    assert train(again, name, 3.0)
    record = again.end(name)
    assert (record.status, record.metric, record.epochs) == ("finished", 3.0, 3.0)
    assert again.budget.hours == 1.5
    assert start_next(again) == "trial_001"


def test_trial_stopped_by_its_scheduler_stays_stopped(tmp_path: Path) -> None:
    asha = {"type": "asha", "grace_epochs": 1, "reduction_factor": 2}
    driver = make_driver(tmp_path, trials=2, scheduler=asha, max_hours=5)
    for value in (1.0, 9.0):
        name = start_next(driver)
        train(driver, name, value)
        driver.end(name)
    again = make_driver(tmp_path, trials=2, scheduler=asha, max_hours=9)
    specs = [again.next_trial(), again.next_trial()]
    assert [spec.name for spec in specs if spec] == []


def test_sampler_does_not_learn_from_a_trial_without_budget(tmp_path: Path) -> None:
    clock = Clock()
    driver = timed_driver(tmp_path, clock, search="optuna", trials=3, max_hours=1)
    name = start_next(driver)
    clock.now += HOUR
    train(driver, name, 4.0)
    driver.end(name)
    again = timed_driver(tmp_path, clock, search="optuna", trials=3, max_hours=2)
    assert start_next(again) == name
    train(again, name, *[2.0] * 8)
    assert again.end(name).status == "finished"


@pytest.mark.parametrize("limit", ["max_hours", "max_gpu_hours"])
def test_budget_must_be_positive(tmp_path: Path, limit: str) -> None:
    with pytest.raises(ConfigError, match=limit):
        sweep_from_dict({"space": SPACE, limit: 0})


def test_time_of_both_attempts_counts_in_the_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    start = {"index": 0, "repeat": 0, "point": {}, "labels": {}, "digest": "d"}
    end = {"status": "stopped", "metric": 1.0, "seconds": 2.0, "device_hours": 0.5}
    for reason in (BUDGET, None):
        journal.append("start", trial="a", **start)
        journal.append("end", trial="a", **end, reason=reason)
    record = journal.records()["a"]
    assert (record.seconds, record.device_hours, record.reason) == (4.0, 1.0, None)
    assert PLAN.pack == 1
