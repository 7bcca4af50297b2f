"""Populations, levels and budgets on a real Ray, a toy in place of training."""

import functools
import itertools
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from smil_ray.config import Config
from smil_ray.config.reading import sweep_from_dict
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune import driver as tune_driver
from smil_ray.orchestration.tune._budget import Budget
from smil_ray.orchestration.tune.folder import load_sweep
from smil_ray.orchestration.tune.job import SweepHooks, run_sweep
from smil_ray.orchestration.tune.journal import BUDGET
from smil_ray.orchestration.tune.trials.trial import ReportEpoch
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.tracking.run_dir import RunDir
from tests.orchestration.tune import toy_checkpoints
from tests.orchestration.tune.toy_checkpoints import load_toy, save_toy

METRIC = "val/pose_score"
OFF = ("tracking.enabled=false",)
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster(shared_ray: str) -> Iterator[None]:
    for module in (sys.modules[__name__], toy_checkpoints):
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in (sys.modules[__name__], toy_checkpoints):
        cloudpickle.unregister_pickle_by_value(module)


def toy(config: Config, folder: Path, report: ReportEpoch) -> None:
    """Walk towards 0 by the learning rate in each epoch, from where the checkpoint stands."""
    run = RunDir.open(folder)
    train = config.train
    done, walked = load_toy(folder)
    for epoch in range(done + 1, min(train.epochs, train.stop_epoch or train.epochs) + 1):
        walked += config.optim.learning_rate
        value = 1.0 / (1.0 + walked)
        run.append_metrics(epoch, {METRIC: value}, epoch=float(epoch))
        save_toy(folder, epoch, walked, value)
        report(float(epoch), {METRIC: value})
    run.set_status("finished")


HOOKS = SweepHooks(train=toy, train_final=toy)


def make_sweep(**settings: Any) -> SweepConfig:
    space = {"optim.learning_rate": {"loguniform": [1e-3, 1.0]}}
    return sweep_from_dict(
        {"name": "toy", "base": {"train": {"epochs": 6}}, "space": space, **settings}
    )


def metric_rows(database: Path) -> list[tuple[str, int, int]]:
    query = "SELECT run_uuid, step, COUNT(*) FROM metrics WHERE key = ? GROUP BY run_uuid, step"
    with sqlite3.connect(database) as connection:
        return connection.execute(query, (METRIC,)).fetchall()


@pytest.mark.usefixtures("cluster")
def test_population_trains_through_its_generations(tmp_path: Path) -> None:
    sweep = make_sweep(search="pbt", trials=4, pbt={"interval_epochs": 2})
    outcome = run_sweep(sweep, OFF, output_dir=tmp_path, hooks=HOOKS)
    records = {record.name: record for record in outcome.trials}
    assert Counter(record.generation for record in outcome.trials) == {0: 4, 1: 4, 2: 4}
    assert {record.status for record in outcome.trials} == {"finished"}
    assert [records[f"trial_000_g{number:02d}"].epochs for number in range(3)] == [2.0, 4.0, 6.0]
    assert outcome.best is not None
    assert outcome.best.generation == 2
    # Each walk is the sum of its lineage's steps: every member began where its parent stood.
    for record in records.values():
        walked, current = 0.0, record
        while True:
            walked += 2 * current.labels["optim.learning_rate"]
            if current.parent is None:
                break
            current = records[current.parent]
        assert load_toy(outcome.folder / record.folder)[1] == pytest.approx(walked)
    worst = min(
        (record for record in records.values() if record.generation == 0),
        key=lambda record: record.labels["optim.learning_rate"],
    )
    child = records[worst.name.replace("_g00", "_g01")]
    assert child.parent is not None
    assert child.parent != worst.name
    more = make_sweep(search="pbt", trials=5, pbt={"interval_epochs": 2})
    with pytest.raises(ConfigError, match="other settings: trials"):
        run_sweep(more, OFF, resume=outcome.folder, hooks=HOOKS)


@pytest.mark.usefixtures("cluster")
def test_levels_let_the_best_share_rise_and_the_winner_is_of_the_highest(tmp_path: Path) -> None:
    levels = [{"epochs": 1, "data_fraction": 0.25}, {"epochs": 2}, {"epochs": 3}]
    scheduler = {"type": "halving", "levels": levels, "reduction_factor": 2}
    sweep = make_sweep(trials=4, scheduler=scheduler, final_epochs=5)
    outcome = run_sweep(sweep, OFF, output_dir=tmp_path, hooks=HOOKS)
    assert Counter(record.level for record in outcome.trials) == {0: 4, 1: 2, 2: 1}
    fastest = max(outcome.trials, key=lambda record: record.labels["optim.learning_rate"])
    assert outcome.best is not None
    assert (outcome.best.index, outcome.best.level) == (fastest.index, 2)
    assert outcome.final is not None
    final = RunDir.open(outcome.final.folder).load_config()
    assert (final.train.epochs, final.data.train_fraction) == (5, 1.0)
    stored = json.loads((outcome.folder / "leaderboard.json").read_text())
    assert [entry["pairs"] for entry in stored["levels"]] == [2, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_spent_budget_ends_with_a_winner_and_a_larger_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock by which a second passes with every event: the budget ends in mid-training.
    clock = itertools.count().__next__
    monkeypatch.setattr(tune_driver, "Budget", functools.partial(Budget, clock=clock))
    tracked = (f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}",)
    said: list[str] = []
    hooks = SweepHooks(train=toy, train_final=toy, notify=said.append)
    sweep = make_sweep(trials=4, max_hours=8 / 3600, final_epochs=2)
    first = run_sweep(sweep, tracked, output_dir=tmp_path, hooks=hooks)
    assert first.is_over_budget
    assert first.best is not None
    assert first.final is not None
    assert 1 <= len(first.trials) <= 2
    assert {(record.status, record.reason) for record in first.trials} == {("stopped", BUDGET)}
    assert all(1.0 <= record.epochs < 6.0 for record in first.trials)
    assert any("no budget left" in line for line in said)
    assert "budget is spent" in Leaderboard.load(first.folder).notes[0]

    larger = make_sweep(trials=4, max_hours=9.0, final_epochs=2)
    again = run_sweep(larger, tracked, resume=first.folder, hooks=hooks)
    assert not again.is_over_budget
    assert [(record.status, record.epochs) for record in again.trials] == [("finished", 6.0)] * 4
    assert load_sweep(first.folder).max_hours == 9.0
    assert again.leaderboard.notes == ()
    assert again.best is not None
    assert again.final is not None
    assert RunDir.open(again.final.folder).facts()["trial"] == again.best.name
    # No epoch was trained twice, and none is twice in MLflow.
    for record in again.trials:
        rows = RunDir.open(again.folder / record.folder).read_metrics()
        epochs = [row["epoch"] for row in rows if METRIC in row["metrics"]]
        assert epochs == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert all(count == 1 for _, _, count in metric_rows(tmp_path / "mlflow.db"))
