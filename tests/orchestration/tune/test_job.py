"""Sweeps on a real Ray, a toy in place of training: failures, deaths, resume, ASHA."""

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config.reading import sweep_from_dict
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.folder import load_sweep
from smil_ray.orchestration.tune.job import SweepHooks, run_sweep
from smil_ray.orchestration.tune.trials.trial import ReportEpoch
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.tracking.run_dir import RunDir

METRIC = "val/pose_score"
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster(shared_ray: str) -> Iterator[None]:
    # Workers cannot import a test module; what is needed of it travels to them.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def toy(config: Config, folder: Path, report: ReportEpoch) -> None:
    """Go from where the folder stands; the backbone's weights say what goes wrong."""
    run = RunDir.open(folder)
    trouble = Path(config.model.backbone.weights).name
    for epoch in range(len(run.read_metrics()) + 1, config.train.epochs + 1):
        if trouble == "raise":
            raise RuntimeError("CUDA out of memory")
        if trouble == "die" and epoch == 2 and not (folder / "died").exists():
            (folder / "died").touch()
            os._exit(1)
        value = float("nan") if trouble == "nan" else 1.0 / epoch + config.optim.weight_decay
        run.append_metrics(epoch, {METRIC: value}, epoch=float(epoch))
        report(float(epoch), {METRIC: value})
    run.set_status("finished")


def make_sweep(folder: Path, *weights: str, **settings: Any) -> SweepConfig:
    return sweep_from_dict(
        {
            "name": "toy",
            "search": "grid",
            "base": {
                "train": {"epochs": 4},
                "tracking": {"uri": f"sqlite:///{folder / 'mlflow.db'}"},
            },
            "space": {
                "model.backbone.weights": {"choice": list(weights)},
                "optim.weight_decay": {"choice": [0.5, 0.1]},
            },
            **settings,
        }
    )


def metric_rows(folder: Path) -> list[tuple[Any, ...]]:
    query = "SELECT run_uuid, step, COUNT(*) FROM metrics WHERE key = ? GROUP BY run_uuid, step"
    with sqlite3.connect(folder / "mlflow.db") as database:
        return database.execute(query, (METRIC,)).fetchall()


def run_statuses(folder: Path) -> dict[str, str]:
    with sqlite3.connect(folder / "mlflow.db") as database:
        return dict(database.execute("SELECT name, status FROM runs").fetchall())


def opening(config: Config, folder: Path, report: ReportEpoch) -> None:
    """A toy that first opens the files that a configuration names."""
    backbone, body = config.model.backbone.weights, config.body.model
    if not SmilModel.open(body).n_joints or Path(backbone).read_text() != "weights":
        raise RuntimeError("other files")
    run = RunDir.open(folder)
    run.append_metrics(1, {METRIC: 1.0}, epoch=1.0)
    report(1.0, {METRIC: 1.0})
    run.set_status("finished")


@pytest.mark.usefixtures("cluster")
def test_files_are_found_from_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SmilModel.builtin().save(tmp_path / "ant.npz")
    (tmp_path / "weights").write_text("weights")
    sweep = make_sweep(tmp_path, "weights", final_epochs=1)
    hooks = SweepHooks(train=opening, train_final=opening)
    outcome = run_sweep(sweep, ["body.model=ant.npz"], output_dir=tmp_path, hooks=hooks)
    assert [record.reason for record in outcome.trials] == [None, None]
    assert outcome.trials[0].labels["model.backbone.weights"] == "weights"
    monkeypatch.chdir("/")
    assert load_sweep(outcome.folder).base["body"]["model"] == str(tmp_path / "ant.npz")


@pytest.mark.usefixtures("cluster")
def test_sweep_survives_errors_deaths_and_nan_and_trains_the_winner(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "none", "raise", "die", "nan", final_epochs=6)
    evaluated: list[Path] = []

    def evaluate(run: Path) -> Mapping[str, Any]:
        evaluated.append(run)
        return {"answer": 42}

    outcome = run_sweep(
        sweep, output_dir=tmp_path, hooks=SweepHooks(train=toy, train_final=toy, evaluate=evaluate)
    )
    status = {record.name: record.status for record in outcome.trials}
    assert [status[f"trial_{index:03d}"] for index in range(8)] == [
        *("finished", "finished", "failed", "failed", "finished", "finished", "failed", "failed")
    ]
    reasons = [record.reason or "" for record in outcome.trials]
    assert reasons[2] == "RuntimeError: CUDA out of memory"
    assert reasons[6] == f"{METRIC} is nan after epoch 1."
    assert outcome.best is not None
    assert (outcome.best.name, outcome.best.metric) == ("trial_001", 0.35)
    assert outcome.final is not None
    assert outcome.final.metric == pytest.approx(1 / 6 + 0.1)
    assert evaluated == [outcome.folder / "final"]
    board = Leaderboard.load(outcome.folder)
    assert board.final is not None
    assert board.final["metrics"] == {"answer": 42}
    # Every epoch is in MLflow once, also those of the trials whose process died.
    rows = metric_rows(tmp_path)
    assert all(count == 1 for _, _, count in rows)
    assert len(rows) == 4 * 4 + 2 + 6
    statuses = run_statuses(tmp_path)
    assert (
        statuses["final"] == statuses["trial_004"] == statuses[outcome.folder.name] == "FINISHED"
    )
    assert statuses["trial_002"] == statuses["trial_006"] == "FAILED"
    stored = load_sweep(outcome.folder)
    assert (stored.space, stored.model_fields_set) == (sweep.space, sweep.model_fields_set)


@pytest.mark.usefixtures("cluster")
def test_resumed_sweep_runs_only_what_is_missing(tmp_path: Path) -> None:
    hooks = SweepHooks(train=toy, train_final=toy)
    off = ("tracking.enabled=false",)
    first = run_sweep(
        make_sweep(tmp_path, "none", trials=1), off, output_dir=tmp_path, hooks=hooks
    )
    again = run_sweep(
        make_sweep(tmp_path, "none", trials=2), off, resume=first.folder, hooks=hooks
    )
    assert again.folder == first.folder
    starts = (first.folder / "journal.jsonl").read_text().count('"event": "start"')
    assert [record.name for record in again.trials] == ["trial_000", "trial_001"]
    assert starts == 2
    with pytest.raises(ConfigError, match="other settings: repeats"):
        run_sweep(make_sweep(tmp_path, "none", repeats=2), off, resume=first.folder, hooks=hooks)


@pytest.mark.usefixtures("cluster")
def test_asha_stops_bad_trials_and_the_best_one_finishes(tmp_path: Path) -> None:
    sweep = sweep_from_dict(
        {
            "name": "asha",
            "search": "grid",
            "max_concurrent_trials": 1,
            "base": {"train": {"epochs": 9}, "tracking": {"enabled": False}},
            "space": {"optim.weight_decay": {"choice": [0.1, 0.5, 0.9, 0.0]}},
            "scheduler": {"type": "asha", "grace_epochs": 1, "reduction_factor": 3},
        }
    )
    outcome = run_sweep(sweep, output_dir=tmp_path, hooks=SweepHooks(train=toy))
    assert [record.status for record in outcome.trials] == [
        *("finished", "stopped", "stopped", "finished")
    ]
    assert outcome.best is not None
    assert outcome.best.name == "trial_003"


@pytest.mark.usefixtures("cluster")
def test_sweep_without_any_result_ends_and_says_why(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "raise", final_epochs=3)
    outcome = run_sweep(
        sweep, ("tracking.enabled=false",), output_dir=tmp_path, hooks=SweepHooks(train=toy)
    )
    assert outcome.best is None
    assert outcome.final is None
    assert RunDir.open(outcome.folder).status()["state"] == "failed"
    assert {record.reason for record in outcome.trials} == {"RuntimeError: CUDA out of memory"}
