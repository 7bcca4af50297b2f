"""Trains trials and the winner with `orchestration.train`; apart, so that tests can replace it."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from smil_ray.config import Config
from smil_ray.orchestration.tune.trials.trial import ReportEpoch, TrainingStoppedError
from smil_ray.tracking.run_dir import CLUSTER_LOCK_S, RunDir
from smil_ray.training.checkpoint.folder import last_entry
from smil_ray.training.reports import EpochReport


def train_inline(config: Config, folder: Path, report: ReportEpoch) -> None:
    """Train in this process; see `trials.trial.TrainTrial`."""

    def report_epoch(state: EpochReport) -> None:
        report(float(state.epoch), state.metrics)

    _train(config, folder, "inline", report_epoch)


def train_on_ray(config: Config, folder: Path, report: ReportEpoch) -> None:
    """Train as a Ray Train run; its epochs are read from the run folder."""
    _train(config, folder, "ray_train", None)


def _train(
    config: Config,
    folder: Path,
    execution: Literal["inline", "ray_train"],
    report: Callable[[EpochReport], None] | None,
) -> None:
    """Go on where the folder has a checkpoint, else start in it."""
    # Imported here: the driver of a sweep needs no network.
    from smil_ray.orchestration.train.job import TrainOptions, run_training

    run = RunDir.open(folder)
    is_new = last_entry(run.checkpoints) is None
    outcome = run_training(
        config,
        execution=execution,
        options=TrainOptions(report=report, display=_show_nothing, lock_wait_s=CLUSTER_LOCK_S),
        run_dir=run if is_new else None,
        resume=None if is_new else folder,
    )
    if outcome.status == "stopped":
        raise TrainingStoppedError(f"{folder}: {outcome.reason}")


def _show_nothing(line: str) -> None:
    """Show no progress line: trials run beside each other."""
