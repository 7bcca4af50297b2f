"""Several objectives: what is accepted, what the sampler learns, and the front in the journal."""

import json
from pathlib import Path
from typing import Any

import pytest

from smil_ray.config.reading import sweep_from_dict
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.driver import SweepDriver
from smil_ray.orchestration.tune.search.queue import TrialQueue
from smil_ray.orchestration.tune.search.sampler import OptunaSampler, objectives
from smil_ray.orchestration.tune.search.space import base_config
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.tracking.run_dir import RunDir
from tests.orchestration.tune.test_driver import METRIC, make_driver, start_next

pytestmark = pytest.mark.usefixtures("quick_folders")

SIZE = "cost/parameters"
GOALS = [{"metric": METRIC}, {"metric": SIZE}]
SPACE = {"optim.learning_rate": {"loguniform": [1e-4, 1e-2]}}


def train(driver: SweepDriver, name: str, error: float, size: float | None) -> None:
    """Write and report one epoch of a network of a size, and end the trial."""
    run = RunDir.open(driver.trial_folder(name))
    if size is not None:
        run.update_facts({"network": {"parameters": size, "gflops": 0.5, "latency_ms": 7.0}})
    figures = {METRIC: error, "val/mpjpe": 2 * error, "train/epoch/seconds": 4.0}
    figures["train/epoch/samples_per_s"] = 25.0
    run.append_metrics(1, figures, epoch=1.0)
    driver.result(name, 1.0, error, "")
    driver.end(name)


@pytest.mark.parametrize("metric", ["val/loss/total", "train/loss/total", "cost/no_such", "mpjpe"])
def test_unknown_or_weighted_objective_is_refused(metric: str) -> None:
    with pytest.raises(ConfigError, match="objectives"):
        sweep_from_dict({"space": SPACE, "objectives": [{"metric": metric}]})


def test_search_without_objectives_has_the_selection_metric() -> None:
    sweep = sweep_from_dict({"space": SPACE, "base": {"train": {"select_mode": "max"}}})
    (only,) = objectives(sweep, base_config(sweep))
    assert (only.metric, only.mode) == (METRIC, "max")


def test_record_holds_metrics_of_the_best_epoch_and_costs(tmp_path: Path) -> None:
    driver = make_driver(tmp_path)
    name = start_next(driver)
    train(driver, name, 3.0, 1000.0)
    (record,) = driver.leaderboard().trials
    assert record.metrics == {METRIC: 3.0, "val/mpjpe": 6.0}
    wanted = {
        SIZE: 1000.0,
        "cost/gflops": 0.5,
        "cost/latency_ms": 7.0,
        "cost/seconds_per_epoch": 4.0,
        "cost/images_per_s": 25.0,
    }
    assert record.costs == wanted
    assert record.value("cost/seconds") == record.seconds
    assert record.value("cost/no_such") is None
    assert driver.leaderboard().front == []


def test_front_is_in_the_leaderboard_and_the_winner_is_the_best_by_the_metric(
    tmp_path: Path,
) -> None:
    driver = make_driver(tmp_path, trials=4, objectives=GOALS)
    for error, size in ((3.0, 900.0), (2.0, 1000.0), (4.0, 950.0), (1.0, None)):
        train(driver, start_next(driver), error, size)
    board = driver.leaderboard()
    assert [record.name for record in board.front] == ["trial_001", "trial_000"]
    assert board.best is not None
    assert board.best.name == "trial_003"
    stored = json.loads((tmp_path / "leaderboard.json").read_text())
    assert stored["pareto_front"] == ["trial_001", "trial_000"]
    assert Leaderboard.load(tmp_path).front == board.front


def told_study(driver: SweepDriver) -> Any:
    assert isinstance(driver.queue, TrialQueue)
    sampler = driver.queue._sampler
    assert isinstance(sampler, OptunaSampler)
    return sampler._study


def test_sampler_learns_every_objective_and_again_after_a_restart(tmp_path: Path) -> None:
    settings = {"search": "optuna", "trials": 4, "objectives": GOALS}
    driver = make_driver(tmp_path, **settings)
    for error, size in ((3.0, 900.0), (2.0, 1000.0), (4.0, None)):
        train(driver, start_next(driver), error, size)
    study = told_study(driver)
    assert [trial.values for trial in study.trials] == [[3.0, 900.0], [2.0, 1000.0], None]
    again = make_driver(tmp_path, **settings)
    replayed = told_study(again)
    assert [trial.values for trial in replayed.trials] == [[3.0, 900.0], [2.0, 1000.0], None]
    assert [trial.params for trial in replayed.trials] == [trial.params for trial in study.trials]
    assert start_next(again) == "trial_003"


def test_search_with_two_objectives_moves_towards_the_front(tmp_path: Path) -> None:
    # Error falls with the one setting and size with the other: the front is where both are small.
    space = {
        "optim.learning_rate": {"uniform": [0.001, 1.0]},
        "optim.weight_decay": {"uniform": [0.0, 1.0]},
    }
    sweep = sweep_from_dict(
        {"space": space, "search": "optuna", "trials": 60, "seed": 3, "objectives": GOALS}
    )
    sampler = OptunaSampler(sweep, base_config(sweep))
    sums = []
    for index in range(60):
        point = sampler.ask(index)
        assert point is not None
        values = [float(point["optim.learning_rate"]), float(point["optim.weight_decay"])]
        sampler.tell(index, point, values)
        sums.append(sum(values))
    assert sum(sums[-20:]) < 0.7 * sum(sums[:20])
    assert sampler.ask(60) is None
