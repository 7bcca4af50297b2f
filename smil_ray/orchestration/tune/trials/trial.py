"""What runs in the process of one trial: train, report each epoch, turn errors into reasons."""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ray import tune

from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict, merge
from smil_ray.errors import SmilRayError
from smil_ray.orchestration.cluster import record_node
from smil_ray.storage.mirror import work_copy
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import MetricRow, read_metrics
from smil_ray.training.checkpoint.folder import last_entry

ReportEpoch = Callable[[float, Mapping[str, float]], None]

TRAINING_ERRORS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SmilRayError,
    TypeError,
    ValueError,
)
"""Errors that would come again, out of GPU memory included: the trial has failed. The death of a
process is none of them; such a trial starts again from its last checkpoint."""

POLL_S = 0.5


@runtime_checkable
class TrainTrial(Protocol):
    """Trains one configuration into its run folder.

    It goes on from the folder's last checkpoint if there is one.
    """

    def __call__(self, config: Config, folder: Path, report: ReportEpoch) -> None:
        """Train, calling `report(finished_epochs, metrics)` after each validated epoch.

        Raises:
            TrainingStoppedError: It was asked to stop before its end.
        """
        ...


class TrialFailedError(SmilRayError):
    """A trial cannot win: its metric is not a number, or it never had one."""


class TrainingStoppedError(Exception):
    """A training was asked to stop and can go on: not a failure of its configuration."""


@dataclass(frozen=True)
class TrialJob:
    """What a trial's process is told.

    Attributes:
        name: The trial's name in the sweep.
        folder: The trial's run folder with its configuration, absolute, visible from every node
            unless it has a place in an object store.
        metric: The metric that the sweep selects by.
        run: Settings of `run` that fit what is reserved for the trial now.
        follow: Read the epochs from the run folder instead of being called, because the training
            runs in other processes.
        home: The folder's address in an object store; the process works on a copy of its node's.
    """

    name: str
    folder: str
    metric: str
    run: dict[str, Any]
    follow: bool = False
    home: str | None = None

    def open_folder(self) -> Path:
        """Return the run folder to work in.

        Raises:
            StorageError: It is in an object store, which does not answer.
        """
        return Path(self.folder) if self.home is None else work_copy(self.home)

    def as_config(self) -> dict[str, Any]:
        """Return the job as the configuration of a Tune trial."""
        return {"job": asdict(self)}


def run_trial(tune_config: Mapping[str, Any], train: TrainTrial) -> None:
    """Train one trial and report to Tune; the trainable of every sweep.

    A training error ends the trial normally with `failure` in its last report, so that the
    process can be used again and the sweep goes on.
    """
    job = TrialJob(**tune_config["job"])
    seen: dict[str, float] = {"epoch": 0.0}

    def report(epoch: float, metrics: Mapping[str, float]) -> None:
        if job.metric not in metrics:
            return
        value = float(metrics[job.metric])
        if not math.isfinite(value):
            raise TrialFailedError(f"{job.metric} is {value} after epoch {epoch:g}")
        seen.update(epoch=epoch, value=value)
        tune.report({**seen, "failure": ""})

    try:
        folder = job.open_folder()
        plain = RunDir.open(folder).load_config().model_dump(mode="json")
        config = config_from_dict(merge(plain, {"run": job.run}), source=job.name)
        if job.follow:
            _train_and_follow(train, config, folder, report)
        else:
            record_node(RunDir.open(folder))
            for row in saved_epochs(folder, job.metric):
                report(row.epoch, row.metrics)
            train(config, folder, report)
        if "value" not in seen:
            raise TrialFailedError(f"the training ended and never reported {job.metric}")
    except TRAINING_ERRORS as error:
        tune.report({**seen, "failure": failure_reason(error)})


def saved_epochs(folder: Path, metric: str) -> list[MetricRow]:
    """Return the epochs that a run need not train again; they are to be reported again.

    A process that died after its checkpoint may not have reported the epoch, and a driver that
    died may not have noted it, but early stopping decides by every epoch.
    """
    entry = last_entry(folder / "checkpoints")
    if entry is None:
        return []
    rows = read_metrics(folder)
    # At epoch 0 a run has what it began with, which its trial has not trained.
    saved = (row for row in rows if row.epoch > 0 and row.step <= entry.step)
    return [row for row in saved if metric in row.metrics]


def failure_reason(error: BaseException) -> str:
    """Return an error as one line: its own sentence, or kind and first line."""
    text = str(error).strip().partition("\n")[0][:300]
    if isinstance(error, SmilRayError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _train_and_follow(
    train: TrainTrial, config: Config, folder: Path, report: ReportEpoch
) -> None:
    """Train in a thread that waits for other processes, and report what they write.

    The thread dies with this process: a trial that the scheduler stops does not wait for it.
    """
    metric = config.train.select_metric
    problems: list[BaseException] = []

    def run() -> None:
        try:
            train(config, folder, lambda *_: None)
        except BaseException as error:  # noqa: BLE001 - raised again by the trial's own thread
            problems.append(error)

    thread = threading.Thread(target=run, name="training", daemon=True)
    thread.start()
    reported = 0.0
    while True:
        running = thread.is_alive()
        for row in read_metrics(folder):
            if row.epoch > reported and metric in row.metrics:
                reported = row.epoch
                report(row.epoch, row.metrics)
        if not running:
            break
        thread.join(POLL_S)
    if problems:
        raise problems[0]
