"""Who stops a trial early: one interface, and its record rebuilt from the sweep's journal."""

from typing import Protocol, runtime_checkable

from smil_ray.config import Config
from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.tune.journal import Journal
from smil_ray.orchestration.tune.schedulers.asha import Rungs
from smil_ray.orchestration.tune.schedulers.median import MedianRule
from smil_ray.orchestration.tune.search.space import grace_epochs


@runtime_checkable
class Judge(Protocol):
    """Decides at certain epochs whether a trial may go on.

    A judge's knowledge is what was recorded, in its order: recorded again, it decides as before.
    What is not a number is worse than everything.
    """

    verdict: str
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


def restored_judge(
    sweep: SweepConfig, base: Config, journal: Journal
) -> tuple[Judge | None, dict[str, str]]:
    """Return the sweep's judge with all that it knew, and its reasons by the trials it stopped.

    None and no reasons where no trial is stopped early.
    """
    judge = _new_judge(sweep, base)
    stopped: dict[str, str] = {}
    if judge is not None:
        for event in journal.rungs():
            name, rung = event["trial"], int(event["rung"])
            if not judge.record(name, rung, float(event["value"])):
                stopped[name] = stop_reason(judge, float(rung))
    return judge, stopped


def stop_reason(judge: Judge, epoch: float) -> str:
    """Return why a judge stopped a trial after an epoch."""
    return f"stopped early after epoch {epoch:g}: {judge.verdict}"


def _new_judge(sweep: SweepConfig, base: Config) -> Judge | None:
    scheduler, train = sweep.scheduler, base.train
    if scheduler.type == "asha":
        grace = grace_epochs(sweep, base)
        return Rungs(grace, scheduler.reduction_factor, train.epochs, train.select_mode)
    if scheduler.type == "median":
        grace = grace_epochs(sweep, base)
        return MedianRule(grace, scheduler.min_trials, train.epochs, train.select_mode)
    return None
