"""The interface of early-stopping schedulers, and their state rebuilt from the journal."""

from typing import Protocol, runtime_checkable

from smil_ray.config import Config
from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.tune.journal import Journal
from smil_ray.orchestration.tune.schedulers.asha import AshaScheduler
from smil_ray.orchestration.tune.schedulers.median import MedianScheduler
from smil_ray.orchestration.tune.search.space import grace_epochs


@runtime_checkable
class EarlyStoppingScheduler(Protocol):
    """Decides at certain epochs whether a trial may go on.

    Its state is the sequence of recorded values: recorded again in the same order, it decides
    the same.
    What is not a number is worse than everything.
    """

    explanation: str
    """Why it stops a trial, to follow `stopped early after epoch 3: `."""

    def rung_at(self, trial: str, epoch: float) -> int | None:
        """Return the epoch to record a trial at now; None where there is nothing to decide."""
        ...

    def record(self, trial: str, rung: int, value: float) -> bool:
        """Keep a trial's value at an epoch and return whether the trial may go on."""
        ...

    def recorded(self, rung: int) -> dict[str, float]:
        """Return the values at an epoch by trial."""
        ...


def restored_scheduler(
    sweep: SweepConfig, base: Config, journal: Journal
) -> tuple[EarlyStoppingScheduler | None, dict[str, str]]:
    """Return the sweep's scheduler with its state, and why it stopped which trials.

    Without early stopping the scheduler is None.
    """
    scheduler = _new_scheduler(sweep, base)
    stopped: dict[str, str] = {}
    if scheduler is not None:
        for event in journal.rungs():
            name, rung = event["trial"], int(event["rung"])
            if not scheduler.record(name, rung, float(event["value"])):
                stopped[name] = stop_reason(scheduler, float(rung))
    return scheduler, stopped


def stop_reason(scheduler: EarlyStoppingScheduler, epoch: float) -> str:
    """Return why the scheduler stopped a trial after an epoch."""
    return f"stopped early after epoch {epoch:g}: {scheduler.explanation}"


def _new_scheduler(sweep: SweepConfig, base: Config) -> EarlyStoppingScheduler | None:
    settings, train = sweep.scheduler, base.train
    if settings.type == "asha":
        grace = grace_epochs(sweep, base)
        return AshaScheduler(grace, settings.reduction_factor, train.epochs, train.select_mode)
    if settings.type == "median":
        grace = grace_epochs(sweep, base)
        return MedianScheduler(grace, settings.min_trials, train.epochs, train.select_mode)
    return None
