"""A member of a population: a run of its own that begins from another run's checkpoint."""

from pathlib import Path
from typing import Any

import pytest

from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict, merge
from smil_ray.orchestration.train.job import TrainOptions, TrainOutcome, run_training
from smil_ray.orchestration.tune.trials.outcome import read_outcome
from smil_ray.tracking.run_dir import RunDir
from smil_ray.training.checkpoint.copy import copy_newest_checkpoint
from smil_ray.training.checkpoint.files import load_checkpoint
from tests.memory_data import open_memory_data, tiny_config

METRIC = "val/pose_score"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    run = {"output_dir": str(tmp_path), "use_gpu": "no"}
    train = {"epochs": 3, "stop_epoch": 1, "overlay_samples": 0, "plots": False}
    return tiny_config(run=run, train=train)


def train(config: Config, **settings: Any) -> TrainOutcome:
    options = TrainOptions(open_data=open_memory_data)
    return run_training(config, execution="inline", options=options, **settings)


def test_member_goes_on_with_its_own_settings_and_keeps_its_own_figures(
    config: Config, tmp_path: Path
) -> None:
    parent = train(config)
    assert parent.last_checkpoint == parent.run_dir.checkpoints / "epoch_0001"
    changes = {"train": {"stop_epoch": 2}, "optim": {"learning_rate": 1e-7, "weight_decay": 0.5}}
    changed = config_from_dict(merge(config.model_dump(mode="json"), changes))
    child = RunDir.create_at(tmp_path / "child", changed, "trial")
    copy_newest_checkpoint(parent.run_dir.checkpoints, child.checkpoints)

    outcome = train(changed, resume=child.path)
    assert outcome.status == "finished"
    rows = child.read_metrics()
    assert {row["epoch"] > 1 for row in rows} == {True}
    rates = [row["metrics"]["train/lr"] for row in rows if "train/lr" in row["metrics"]]
    assert rates
    assert max(rates) <= 1e-7
    assert outcome.last_checkpoint is not None
    groups = load_checkpoint(outcome.last_checkpoint).state["optimizer"]["param_groups"]
    assert {group["weight_decay"] for group in groups} == {0.0, 0.5}
    found = read_outcome(child.path, changed.train)
    assert (found.epoch, found.epochs) == (2.0, 2.0)
    assert outcome.best_checkpoint == outcome.last_checkpoint
    assert outcome.metrics[METRIC] == found.metric
    wanted = {"parameters", "gflops", "latency_ms", "seconds_per_epoch", "images_per_s"}
    assert {f"cost/{name}" for name in wanted} <= set(found.costs)
    assert all(value > 0 for value in found.costs.values())
