"""The driver's side of a sweep: hands out trials, keeps the journal, follows the run folders."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smil_ray.config import Config
from smil_ray.config.reading import merge
from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.train.build_notes import BuildNotes
from smil_ray.orchestration.tune._budget import Budget, devices_in_use
from smil_ray.orchestration.tune._tracking import TrackedRuns
from smil_ray.orchestration.tune.folder import TRIALS_FOLDER, make_trial_folder
from smil_ray.orchestration.tune.journal import BUDGET, Journal
from smil_ray.orchestration.tune.schedulers.early_stopping import restored_scheduler, stop_reason
from smil_ray.orchestration.tune.schedulers.generations import make_queue
from smil_ray.orchestration.tune.search.sampler import objectives
from smil_ray.orchestration.tune.search.spec import TrialSpec
from smil_ray.orchestration.tune.trials.outcome import (
    close_trial,
    outcome_line,
    read_outcome,
    sweep_figures,
)
from smil_ray.orchestration.tune.trials.pack import cancel_drop
from smil_ray.orchestration.tune.trials.packing import LOOK_AHEAD, Packer
from smil_ray.orchestration.tune.trials.resources import TrialPlan
from smil_ray.results.ranking.leaderboard import SAMPLE_ERRORS_FILE, Leaderboard
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.storage.mirror import LIVE_FILES, pull, push
from smil_ray.tracking.run_dir import RunDir

PULL_S = 10.0
"""Seconds between two looks into an object store at what running trials write."""


@dataclass
class RunningTrial:
    """A trial between start and end; `started` in seconds since 1970."""

    spec: TrialSpec
    folder: Path
    started: float
    stop_reason: str | None = None
    failure: str | None = None


class SweepDriver:
    """Everything that the driver knows of one sweep; the only writer of its journal.

    Args:
        sweep: The sweep's settings.
        base: The configuration that trials vary.
        run: The sweep's folder.
        plan: How trials run.
        notify: Called with one line for people, such as when a trial ends.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        base: Config,
        run: RunDir,
        plan: TrialPlan,
        notify: Callable[[str], None],
    ) -> None:
        self.sweep = sweep
        self.base = base
        self.run = run
        self.plan = plan
        self.notify = notify
        self.journal = Journal(run.path)
        self.queue = make_queue(sweep, base, self.journal)
        self.scheduler, self._stopped = restored_scheduler(sweep, base, self.journal)
        self.budget = Budget(sweep, self.journal)
        self.running: dict[str, RunningTrial] = {}
        self.handed: set[str] = set()
        self.error: Exception | None = None
        self._peeked: TrialSpec | None = None
        self._build_notes = BuildNotes(notify)
        look_ahead = 1 if sweep.search == "optuna" else LOOK_AHEAD
        self._packer = Packer(self.next_trial, plan.pack, look_ahead)
        self.tracked = TrackedRuns()
        self._pulled = 0.0

    @property
    def is_finished(self) -> bool:
        """Whether every trial that was handed out has ended, and no other one will be."""
        return self.is_over and not self.running and not self.handed

    @property
    def is_over(self) -> bool:
        """Whether no more trial will be handed out: there is none, or no budget for it."""
        is_empty = self.queue.is_exhausted and not self._packer.held + self._packer.alone
        return is_empty or self.budget.is_spent

    @property
    def is_over_budget(self) -> bool:
        """Whether trials are left that a larger budget would run."""
        stopped = any(r.reason == BUDGET for r in self.journal.records().values())
        is_left = stopped or bool(self._packer.held) or self._peek() is not None
        return self.budget.is_spent and is_left

    def next_pack(self) -> list[TrialSpec]:
        """Return trials that go into one process; empty at the end, or to wait."""
        self._count_time()
        if self.budget.is_spent:
            for spec in self._packer.alone:
                self.running[spec.name].stop_reason = BUDGET
                self.end(spec.name)
            self._packer.alone.clear()
            return []
        pack = self._packer.next()
        self.handed |= {spec.name for spec in pack}
        return pack

    def split_pack(self, names: Sequence[str]) -> None:
        """Let trials go on alone: the process they shared has died as often as is allowed."""
        self._packer.alone.extend(self.running[name].spec for name in names)

    def next_trial(self) -> TrialSpec | None:
        """Return the next trial with its run folder made; None at the end, or to wait."""
        self._count_time()
        if self.budget.is_spent:
            return None
        spec, self._peeked = self._peek(), None
        if spec is not None:
            self._build_notes.skip(make_trial_folder(self.run, spec, self.trial_config(spec)))
        return spec

    def trial_folder(self, name: str) -> Path:
        """Return the run folder of a trial."""
        return self.run.path / TRIALS_FOLDER / name

    def trial_config(self, spec: TrialSpec) -> dict[str, Any]:
        """Return a trial's configuration, using just what is reserved for it."""
        return merge(spec.config, {"run": self.plan.run})

    def start(self, spec: TrialSpec) -> None:
        """Note that a trial runs; a second start, after its process died, changes nothing."""
        if spec.name in self.running:
            return
        self._count_time()
        folder = self.trial_folder(spec.name)
        # A trial that goes on after a larger budget was given may find a better network.
        (folder / SAMPLE_ERRORS_FILE).unlink(missing_ok=True)
        self.journal.append(
            "start",
            trial=spec.name,
            index=spec.index,
            repeat=spec.repeat,
            point=spec.point,
            labels=spec.labels,
            digest=spec.digest,
            level=spec.level,
            generation=spec.generation,
            parent=spec.parent,
            folder=f"{TRIALS_FOLDER}/{spec.name}",
        )
        push(self.run.path)
        cancel_drop(folder)
        # A stop that a dead driver had decided on holds.
        reason = self._stopped.pop(spec.name, None)
        self.running[spec.name] = RunningTrial(spec, folder, time.time(), reason)
        self.tracked.follow_trial(folder, spec.name, spec.digest, spec.parent)

    def say_notes(self) -> None:
        """Say once which features running trials compute to cache."""
        if time.monotonic() - self._pulled >= PULL_S:
            for trial in self.running.values():
                pull(trial.folder, *LIVE_FILES)
            self._pulled = time.monotonic()
        for trial in self.running.values():
            self._build_notes.say_new(RunDir(trial.folder))

    def result(self, name: str, epoch: float, value: float | None, failure: str) -> bool:
        """Take one report of a trial and return whether the trial may go on."""
        trial = self.running[name]
        if failure:
            trial.failure = failure
        if trial.failure or trial.stop_reason:
            return False
        self._count_time()
        if value is None:
            return True
        if self.budget.is_spent and epoch < trial.spec.last_epoch:
            trial.stop_reason = BUDGET
            return False
        if self.scheduler is None:
            return True
        rung = self.scheduler.rung_at(name, epoch)
        if rung is None:
            return True
        self.journal.append("rung", trial=name, rung=rung, value=value)
        push(self.run.path)
        if self.scheduler.record(name, rung, value):
            return True
        trial.stop_reason = stop_reason(self.scheduler, epoch)
        return False

    def end(
        self, name: str, death: str | None = None, seconds: float | None = None
    ) -> TrialRecord:
        """Note that a trial ended: as planned, early, by its own failure or by `death`.

        Args:
            name: The trial.
            death: How its process died.
            seconds: What it cost, where it shared its process with others.
        """
        self._count_time()
        self.budget.keep()
        trial = self.running.pop(name)
        self.handed.discard(name)
        pull(trial.folder)
        failure = trial.failure or death
        self._build_notes.say_new(RunDir(trial.folder))
        outcome = read_outcome(trial.folder, self.base.train)
        if failure is None and outcome.metric is None:
            failure = f"it never reported {self.base.train.select_metric}"
        seconds = time.time() - trial.started if seconds is None else seconds
        self.journal.append(
            "end",
            trial=name,
            status="failed" if failure else "stopped" if trial.stop_reason else "finished",
            **asdict(outcome),
            seconds=seconds,
            device_hours=seconds * self.plan.devices / 3600,
            reason=failure or trial.stop_reason,
        )
        record = self.journal.records()[name]
        self.queue.end(record)
        close_trial(trial.folder, record)
        self.tracked.end(trial.folder, record)
        self._publish(record)
        push(trial.folder)
        push(self.run.path)
        return record

    def recover(self) -> None:
        """Do what a driver that died had left undone about trials that have ended."""
        events = list(self.journal.events())
        if events and events[-1]["event"] == "end":
            record = self.journal.records()[events[-1]["trial"]]
            close_trial(self.run.path / record.folder, record)
            if len(self.queue.ended) not in {row["step"] for row in self.run.read_metrics()}:
                self._publish(record)
        self.tracked.send_rest(self.run.path, self.queue.ended)

    def leaderboard(
        self, *, final: dict[str, Any] | None = None, interrupted: bool = False
    ) -> Leaderboard:
        """Return how the trials stand and write it to the sweep's folder."""
        train = self.base.train
        records = self.journal.records().values()
        board = Leaderboard(
            sweep=self.sweep.name,
            metric=train.select_metric,
            mode=train.select_mode,
            trials=tuple(sorted(records, key=lambda r: (r.level, r.index, r.repeat))),
            final=final,
            interrupted=interrupted,
            objectives=objectives(self.sweep, self.base) if self.sweep.objectives else (),
            notes=self._notes(),
        )
        board.save(self.run.path)
        return board

    def _notes(self) -> tuple[str, ...]:
        if not self.is_over_budget:
            return ()
        return (
            f"The budget is spent ({self.budget}): the search has not ended. "
            "A resumed sweep with a larger budget goes on.",
        )

    def _peek(self) -> TrialSpec | None:
        self._peeked = self._peeked or self.queue.next()
        return self._peeked

    def _count_time(self) -> None:
        self.budget.tick(devices_in_use(self.plan, len(self.running)))

    def _publish(self, record: TrialRecord) -> None:
        """Say how it stands: one line for people, one point in the sweep's own metrics."""
        ended = self.queue.ended
        figures, best = sweep_figures(ended, self.base.train)
        self.run.append_metrics(len(ended), figures, epoch=float(len(ended)))
        note = " (stopped early)" if record.status == "stopped" else ""
        note = " (no budget left)" if record.reason == BUDGET else note
        self.notify(outcome_line(record, best, note))
