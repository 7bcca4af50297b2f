"""Several trials of a sweep in one Tune trial, whose process trains them as one pack.

Tune sees the pack; the sweep's driver sees its members. Each report names the member it is
about. `tune.report` returns when the driver has decided, so that a member that the scheduler
stops finds `DROP_FILE` in its run folder at once, while the others go on.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from smil_ray.config.addresses import joined
from smil_ray.config.reading import config_from_dict, merge
from smil_ray.orchestration.cluster import record_node
from smil_ray.orchestration.tune.trials.trial import (
    TRAINING_ERRORS,
    TrainTrial,
    TrialFailedError,
    TrialJob,
    failure_reason,
    run_trial,
    saved_epochs,
)
from smil_ray.storage.mirror import push
from smil_ray.storage.store import find
from smil_ray.tracking.run_dir import RunDir

if TYPE_CHECKING:
    # Imported for its types only: neither a driver nor a trial that has ended needs a network.
    from smil_ray.orchestration.train.pack import PackedRun
    from smil_ray.training.packing.loop import MemberEnd
    from smil_ray.training.reports import EpochReport

DROP_FILE = "dropped"
"""A file of this name in a trial's folder tells its pack that the scheduler has stopped it."""


class TrialDroppedError(Exception):
    """The scheduler has stopped this trial; it has not failed."""


def run_trials(tune_config: Mapping[str, Any], train: TrainTrial) -> None:
    """Train one trial or a pack and report to Tune; the trainable of every sweep."""
    if "job" in tune_config:
        run_trial(tune_config, train)
    else:
        run_pack(tune_config)


def run_pack(tune_config: Mapping[str, Any]) -> None:
    """Train the trials of a pack and report to Tune.

    After the death of its process it is started again, and members that had ended do not begin
    anew.
    """
    members = [_Member(TrialJob(**job)) for job in tune_config["jobs"]]
    waiting = [member for member in members if not member.has_ended()]
    if waiting:
        # Imported here: the driver of a sweep needs no network.
        from smil_ray.orchestration.train.pack import train_pack

        train_pack(
            [member.packed_run() for member in waiting],
            lambda number, end: waiting[number].end(end),
            tolerated=(*TRAINING_ERRORS, TrialDroppedError),
        )


class _Member:
    """One trial of the pack and what it tells Tune."""

    def __init__(self, job: TrialJob) -> None:
        self._job = job
        self._folder = job.open_folder()
        self._seen: dict[str, Any] = {"member": job.name, "epoch": 0.0, "failure": ""}

    def has_ended(self) -> bool:
        """Report again what was trained before; true if the trial had ended, or should have."""
        try:
            for row in saved_epochs(self._folder, self._job.metric):
                self._take(row.epoch, row.metrics)
        except TrialFailedError as error:
            self._report(failure=failure_reason(error), ended=True)
            return True
        run = RunDir.open(self._folder)
        status = run.status()
        is_dropped = self._is_dropped()
        if not is_dropped and status["state"] not in ("finished", "failed"):
            record_node(run)
            return False
        failed = status["state"] == "failed" and not is_dropped
        self._report(failure=status["reason"] or "it failed" if failed else "", ended=True)
        return True

    def packed_run(self) -> "PackedRun":
        """Return the run that the pack trains."""
        from smil_ray.orchestration.train.pack import PackedRun

        plain = RunDir.open(self._folder).load_config().model_dump(mode="json")
        config = config_from_dict(merge(plain, {"run": self._job.run}), source=self._job.name)
        return PackedRun(self._folder, config, self._epoch)

    def end(self, end: "MemberEnd") -> None:
        """Report the end, with the trial's share of the pack's time."""
        failure = ""
        if end.error is not None and not isinstance(end.error, TrialDroppedError):
            failure = failure_reason(end.error)
        elif end.result is not None and "value" not in self._seen:
            failure = f"the training ended and never reported {self._job.metric}"
        self._report(failure=failure, ended=True, seconds=end.seconds)

    def _epoch(self, state: "EpochReport") -> None:
        if self._job.metric in state.metrics:
            self._take(float(state.epoch), state.metrics)
            if self._is_dropped():
                raise TrialDroppedError

    def _is_dropped(self) -> bool:
        home = self._job.home
        return (self._folder / DROP_FILE).exists() or (
            home is not None and find(joined(home, DROP_FILE)) is not None
        )

    def _take(self, epoch: float, metrics: Mapping[str, float]) -> None:
        value = float(metrics[self._job.metric])
        if not math.isfinite(value):
            raise TrialFailedError(f"{self._job.metric} is {value} after epoch {epoch:g}")
        self._seen.update(epoch=epoch, value=value)
        self._report(ended=False)

    def _report(self, *, ended: bool, **values: Any) -> None:
        tune.report({**self._seen, "ended": ended, **values})


def drop(folder: Path) -> None:
    """Tell the pack that trains the run in `folder` to stop it."""
    (folder / DROP_FILE).touch()
    push(folder, DROP_FILE)


def cancel_drop(folder: Path) -> None:
    """Let the run in `folder` go on after all."""
    (folder / DROP_FILE).unlink(missing_ok=True)
    push(folder)


def packed_jobs(jobs: list[TrialJob]) -> dict[str, Any]:
    """Return the jobs of a pack as the configuration of a Tune trial."""
    return {"jobs": [asdict(job) for job in jobs]}
