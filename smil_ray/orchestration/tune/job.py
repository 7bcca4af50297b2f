"""A sweep: many trials on Ray Tune, their ranking, and the winner trained on with Ray Train.

SWEEP/sweep.yaml        the settings of the search
SWEEP/config.yaml       the configuration that trials vary
SWEEP/journal.jsonl     what happened to every trial: the source of truth, append only
SWEEP/trials/NAME/      the run folder of each trial
SWEEP/final/            the run folder of the winner's training
SWEEP/leaderboard.json  report.html
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import tune

from smil_ray.config.addresses import joined, resolved_place
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import SmilRayError
from smil_ray.orchestration.cluster import cluster_resources, start_ray
from smil_ray.orchestration.tune._adapters import (
    DriverCallback,
    DriverScheduler,
    DriverStopper,
    SpecSearcher,
)
from smil_ray.orchestration.tune._final import (
    EvaluateRun,
    FinalRun,
    MeasureSamples,
    compare_trials,
    train_winner,
)
from smil_ray.orchestration.tune.checks import check_sweep
from smil_ray.orchestration.tune.driver import SweepDriver
from smil_ray.orchestration.tune.folder import open_folder, push_sweep, storage_of
from smil_ray.orchestration.tune.search.space import base_config
from smil_ray.orchestration.tune.trials.pack import run_trials
from smil_ray.orchestration.tune.trials.packing import pack_size
from smil_ray.orchestration.tune.trials.resources import TRIAL_SLOT, choose_execution, plan_trials
from smil_ray.orchestration.tune.trials.training import train_inline, train_on_ray
from smil_ray.orchestration.tune.trials.trial import TrainTrial
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.storage.mirror import address_of
from smil_ray.tracking.sync.live import RunSync, Syncer
from smil_ray.tracking.sync.server import Status

SLOTS = 1024.0
"""More trial slots of a local Ray than trials will ever run at once."""
DRIVER_LOCK_WAIT_S = 5.0
"""A driver that was killed lets go of the sweep's folder at once; one that lives does not."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepHooks:
    """What a sweep calls.

    Attributes:
        train: Trains a trial; default: `train.job`, inline or on Ray Train.
        train_final: Trains the winner; default: `train.job` on Ray Train.
        evaluate: Evaluates the winner's run folder on held-out samples.
        sample_errors: Measures single samples, by which the best trials are compared.
        report: Writes the report of the sweep's folder.
        notify: Says one line to people.
    """

    train: TrainTrial | None = None
    train_final: TrainTrial = train_on_ray
    evaluate: EvaluateRun | None = None
    sample_errors: MeasureSamples | None = None
    report: Callable[[Path], Any] | None = None
    notify: Callable[[str], None] = logger.info


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep found.

    Attributes:
        folder: The sweep's folder.
        trials: Every trial that started.
        best: The winner; None if every trial failed.
        final: The winner's last training; None if there is no winner or the sweep was interrupted.
        leaderboard: The ranking as it is on the disk.
        ui_command: The command that opens MLflow on the sweep; None without tracking.
        is_over_budget: Whether trials are left for which there was no budget.
    """

    folder: Path
    trials: list[TrialRecord]
    best: TrialRecord | None
    final: FinalRun | None
    leaderboard: Leaderboard
    ui_command: str | None = None
    is_over_budget: bool = False


def run_sweep(
    sweep: SweepConfig,
    overrides: Sequence[str] = (),
    *,
    data: Path | str | None = None,
    address: str | None = None,
    resume: Path | str | None = None,
    output_dir: Path | str = Path("runs"),
    hooks: SweepHooks | None = None,
) -> SweepOutcome:
    """Run every trial of a sweep, rank them and train the winner.

    Args:
        sweep: The search.
        overrides: `a.b=value` settings laid over the sweep's base.
        data: The data set of all trials; default: `data.path` of the base.
        address: The Ray cluster; see `cluster.start_ray`.
        resume: The folder of an interrupted sweep: its ended trials are kept, its running ones
            go on from their last checkpoint. `sweep` must be the one that it was started with.
        output_dir: Where a new sweep's folder is made: a folder that all nodes see, or an
            address in an object store.
        hooks: Training, evaluation and messages, where not the usual ones.

    Raises:
        ConfigError: A setting is wrong, a trial would be, or the cluster is too small; no trial
            has started then.
        SmilRayError: Another driver runs the sweep, or its folder cannot be written any more.
    """
    hooks = hooks or SweepHooks()
    section: dict[str, Any] = {} if data is None else {"data": {"path": resolved_place(data)}}
    home = storage_of(resume, output_dir)
    if home is not None:
        section["run"] = {"output_dir": home}
    base = base_config(sweep, overrides, **section)
    check_sweep(sweep, base)
    is_launched = choose_execution(sweep, base) == "ray_train"
    is_trained_on = bool(sweep.final_epochs)
    with start_ray(address, resources={TRIAL_SLOT: SLOTS}, dashboard=is_launched or is_trained_on):
        plan = plan_trials(sweep, base, cluster_resources())
        if hooks.train is None:
            plan = replace(plan, pack=pack_size(sweep, base, plan))
        run = open_folder(sweep, base, resume, output_dir)
        with run.lock(DRIVER_LOCK_WAIT_S):
            outcome = _run_exclusively(SweepDriver(sweep, base, run, plan, hooks.notify), hooks)
    return outcome


def _run_exclusively(driver: SweepDriver, hooks: SweepHooks) -> SweepOutcome:
    """Search, report and let the sweep's folder and its run on the server say how it ended."""
    with _tracking(driver) as parent:
        outcome = _search(driver, hooks)
        if hooks.report is not None:
            hooks.report(driver.run.path)
        status: Status = "FINISHED" if outcome.best else "FAILED"
        if outcome.leaderboard.interrupted:
            status = "KILLED"
        driver.run.set_status(
            {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}[status]
        )
        push_sweep(driver.run)
        if parent is not None:
            parent.end(status)
    return outcome


def _search(driver: SweepDriver, hooks: SweepHooks) -> SweepOutcome:
    train = hooks.train
    if train is None:
        train = train_inline if driver.plan.execution == "inline" else train_on_ray
    driver.recover()
    finished = _run_trials(driver, train)
    board = driver.leaderboard(interrupted=not finished)
    final = None
    if finished and board.best is not None:
        if hooks.sample_errors is not None:
            compare_trials(driver, board, hooks.sample_errors)
        final = train_winner(driver, board.best, hooks.train_final, hooks.evaluate)
        found = None if final is None else final.as_dict(driver.run.path)
        board = driver.leaderboard(final=found, interrupted=final is None)
    return SweepOutcome(
        driver.run.path,
        list(board.trials),
        board.best,
        final,
        board,
        driver.tracked.ui_command,
        driver.is_over_budget,
    )


def _run_trials(driver: SweepDriver, train: TrainTrial) -> bool:
    """Run what has not ended yet; return whether everything has ended now."""
    plan = driver.plan
    follow = plan.execution == "ray_train" and train is train_on_ray
    searcher = SpecSearcher(driver, follow=follow)
    home = address_of(driver.run.path)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trials, train=train), plan.resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=DriverScheduler(driver),
            num_samples=-1,
            # How many run at once is the searcher's: it looks what the cluster has by then.
            reuse_actors=plan.execution == "inline",
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(driver.run.path / ".ray") if home is None else joined(home, ".ray"),
            verbose=0,
            callbacks=[DriverCallback(driver, searcher)],
            stop=DriverStopper(driver),
            failure_config=tune.FailureConfig(max_failures=driver.base.run.max_failures),
        ),
    )
    # What Tune would print of a trial that died is in the journal.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner.fit()
    if isinstance(driver.error, OSError):
        raise SmilRayError(
            f"sweep {driver.run.path} ended early: {driver.error}",
            remedy="when that is mended, go on with --resume: ended trials are kept",
        ) from driver.error
    if driver.error is not None:
        raise driver.error
    return driver.is_finished


@contextlib.contextmanager
def _tracking(driver: SweepDriver) -> Iterator[RunSync | None]:
    """Follow the sweep and its trials while the block runs, if tracking is on."""
    tracking = driver.base.tracking
    if not tracking.enabled:
        yield None
        return
    from smil_ray.tracking.tracker import Tracker  # mlflow takes a second to import

    tracker = Tracker.from_config(tracking)
    parent = RunSync(driver.run.path, tracker, tags={"smil_ray.kind": "sweep"})
    with Syncer() as syncer:
        syncer.add(parent)
        driver.tracked.begin(syncer, parent)
        try:
            yield parent
        # Ctrl-C and exits as well: otherwise the server would show the sweep as running for ever.
        except BaseException as error:
            parent.end("FAILED", f"{type(error).__name__}: {error}")
            raise
