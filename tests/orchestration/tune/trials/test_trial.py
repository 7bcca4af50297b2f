"""What a trial's process reports: epochs, reasons of failure, and nothing after a stop."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from smil_ray.config import Config
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.trials import trial as tune_trial
from smil_ray.orchestration.tune.trials.trial import (
    ReportEpoch,
    TrainingStoppedError,
    TrialJob,
    failure_reason,
    run_trial,
)
from smil_ray.tracking.run_dir import RunDir

METRIC = "val/pose_score"


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    monkeypatch.setattr(tune_trial.tune, "report", found.append)
    return found


def job(folder: Path, *, follow: bool = False) -> dict[str, Any]:
    RunDir.create_at(folder, Config(), "trial")
    run = {"use_gpu": "no", "cpus_per_worker": 2.0}
    return TrialJob("trial_000", str(folder), METRIC, run, follow).as_config()


def test_each_epoch_with_the_metric_is_reported(
    tmp_path: Path, reports: list[Mapping[str, Any]]
) -> None:
    def train(config: Config, folder: Path, report: ReportEpoch) -> None:
        assert config.run.cpus_per_worker == 2.0
        report(1.0, {METRIC: 4.0})
        report(2.0, {"train/loss/total": 4.0})
        report(3.0, {METRIC: 3.0})

    run_trial(job(tmp_path / "run"), train)
    assert [(report["epoch"], report["value"]) for report in reports] == [(1.0, 4.0), (3.0, 3.0)]
    assert all(report["failure"] == "" for report in reports)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_metric_that_is_not_a_number_fails_the_trial_at_once(
    tmp_path: Path, reports: list[Mapping[str, Any]], value: float
) -> None:
    epochs = []

    def train(config: Config, folder: Path, report: ReportEpoch) -> None:
        for epoch in (1.0, 2.0, 3.0):
            epochs.append(epoch)
            report(epoch, {METRIC: 5.0 if epoch < 2 else value})

    run_trial(job(tmp_path / "run"), train)
    assert epochs == [1.0, 2.0]
    assert f"is {value} after epoch 2" in reports[-1]["failure"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("CUDA out of memory\nlong text"), "RuntimeError: CUDA out of memory"),
        (ConfigError("model.head.type", expected="mlp"), "model.head.type; expected mlp."),
        (MemoryError(), "MemoryError"),
    ],
)
def test_error_of_the_training_becomes_a_reason(
    tmp_path: Path, reports: list[Mapping[str, Any]], error: Exception, reason: str
) -> None:
    def train(config: Config, folder: Path, report: ReportEpoch) -> None:
        raise error

    run_trial(job(tmp_path / "run"), train)
    assert [report["failure"] for report in reports] == [reason]
    assert failure_reason(error) == reason


def test_training_that_never_reports_has_failed(
    tmp_path: Path, reports: list[Mapping[str, Any]]
) -> None:
    run_trial(job(tmp_path / "run"), lambda config, folder, report: None)
    assert "never reported" in reports[-1]["failure"]


def test_training_that_was_asked_to_stop_is_not_a_failure(
    tmp_path: Path, reports: list[Mapping[str, Any]]
) -> None:
    def train(config: Config, folder: Path, report: ReportEpoch) -> None:
        raise TrainingStoppedError("asked to stop")

    with pytest.raises(TrainingStoppedError):
        run_trial(job(tmp_path / "run"), train)
    assert reports == []


def test_epochs_of_other_processes_are_read_from_the_run_folder(
    tmp_path: Path, reports: list[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_trial, "POLL_S", 0.01)

    def train(config: Config, folder: Path, report: ReportEpoch) -> None:
        for epoch in (1, 2, 3):
            RunDir.open(folder).append_metrics(epoch, {METRIC: 9.0 - epoch}, epoch=float(epoch))

    run_trial(job(tmp_path / "run", follow=True), train)
    assert [(report["epoch"], report["value"]) for report in reports] == [
        *((1.0, 8.0), (2.0, 7.0), (3.0, 6.0))
    ]


def test_error_of_other_processes_becomes_a_reason(
    tmp_path: Path, reports: list[Mapping[str, Any]]
) -> None:
    def train(config: Config, folder: Path, report: ReportEpoch) -> None:
        raise ConfigError("data.path is not set")

    run_trial(job(tmp_path / "run", follow=True), train)
    assert [report["failure"] for report in reports] == ["data.path is not set."]
