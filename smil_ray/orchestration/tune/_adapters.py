"""Ray Tune's hooks, each a few lines that ask the sweep's driver.

They live in the driver process only. Tune wants to copy and pickle them for its own restart, which
is not used here (the journal is), so that they copy as themselves and pickle as nothing.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from smil_ray.orchestration.cluster import cluster_resources
from smil_ray.orchestration.tune.driver import SweepDriver
from smil_ray.orchestration.tune.search.spec import TrialSpec
from smil_ray.orchestration.tune.trials.pack import drop, packed_jobs
from smil_ray.orchestration.tune.trials.resources import replanned
from smil_ray.orchestration.tune.trials.trial import TrialJob, failure_reason
from smil_ray.storage.mirror import address_of


class _DriverOnly:
    """Copies as itself and pickles as None."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_DriverOnly":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> None:
    return None


Method = TypeVar("Method", bound=Callable[..., Any])


def _stop_search_on_error(otherwise: Any = None) -> Callable[[Method], Method]:
    """Let an error of the driver, such as a full disk, end the search.

    Tune would take it for an error of the trial: try again, or go on without its end ever noted.
    The driver keeps the error; nothing is asked of it after that.

    Args:
        otherwise: What the method returns then.
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self._driver.error is not None:
                return otherwise
            try:
                return method(self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - raised again where Tune has returned
                self._driver.error = error
                return otherwise

        return guarded  # pyright: ignore[reportReturnType]

    return decorate


class SpecSearcher(_DriverOnly, Searcher):
    """Gives Tune the driver's trials one after the other, or in packs that share a process."""

    def __init__(self, driver: SweepDriver, *, follow: bool) -> None:
        super().__init__()
        self.specs: dict[str, TrialSpec] = {}
        self._going: set[str] = set()
        self._driver = driver
        self._follow = follow

    @_stop_search_on_error(Searcher.FINISHED)
    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration, None to wait, or Tune's word for the end."""
        driver = self._driver
        driver.plan = replanned(driver.plan, driver.sweep, cluster_resources())
        if len(self._going) >= driver.plan.concurrent:
            return None
        pack = self._driver.next_pack()
        if not pack:
            # A pack that dies is taken apart: there may be more to do until all have ended.
            return Searcher.FINISHED if self._driver.is_finished else None
        self.specs |= {spec.name: spec for spec in pack}
        self._going.add(trial_id)
        jobs = [self._job(spec) for spec in pack]
        return jobs[0].as_config() if len(jobs) == 1 else packed_jobs(jobs)

    def _job(self, spec: TrialSpec) -> TrialJob:
        folder = self._driver.trial_folder(spec.name)
        return TrialJob(
            name=spec.name,
            folder=str(folder),
            metric=self._driver.base.train.select_metric,
            run=self._driver.plan.run,
            follow=self._follow,
            home=address_of(folder),
        )

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Make room for another one; the driver tells its sampler itself."""
        self._going.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal holds all."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


class DriverScheduler(_DriverOnly, FIFOScheduler):
    """Asks the driver whether a trial may go on."""

    def __init__(self, driver: SweepDriver) -> None:
        super().__init__()
        self._driver = driver

    @_stop_search_on_error(TrialScheduler.STOP)
    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return whether to continue or stop; a pack goes on for those that do."""
        packed = "member" in result
        name = result["member"] if packed else trial_names(trial)[0]
        if packed and name not in self._driver.running:
            # Said again after the pack's process was started again.
            return TrialScheduler.CONTINUE
        goes_on = self._driver.result(
            name,
            float(result.get("epoch", 0.0)),
            None if result.get("ended") else result.get("value"),
            result.get("failure", ""),
        )
        if packed:
            if result["ended"]:
                self._driver.end(name, seconds=result.get("seconds"))
            elif not goes_on:
                drop(self._driver.trial_folder(name))
            return TrialScheduler.CONTINUE
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP


NOTES_S = 1.0
"""Seconds between two looks at what trials say before their first step."""


class DriverCallback(_DriverOnly, tune.Callback):
    """Tells the driver about starts and ends."""

    def __init__(self, driver: SweepDriver, searcher: SpecSearcher) -> None:
        self._driver = driver
        self._searcher = searcher
        self._looked = 0.0

    @_stop_search_on_error()
    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Let trials be heard."""
        if time.monotonic() - self._looked >= NOTES_S:
            self._looked = time.monotonic()
            self._driver.say_notes()

    @_stop_search_on_error()
    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the start."""
        for name in trial_names(trial):
            self._driver.start(self._searcher.specs[name])

    @_stop_search_on_error()
    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Note the end."""
        for name in self._running(trial):
            self._driver.end(name)

    @_stop_search_on_error()
    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Say that a trial starts again."""
        names = ", ".join(self._running(trial))
        self._driver.notify(f"{names}: the process died; going on from the last checkpoint")

    @_stop_search_on_error()
    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the death of a trial that has no attempt left."""
        for name in trial_names(trial):
            if name in self._driver.handed:  # Even one that never came to its start.
                self._driver.start(self._searcher.specs[name])
        names, cause = self._running(trial), f"its process died: {_cause(trial)}"
        if len(names) > 1:
            self._driver.notify(f"{', '.join(names)}: {cause}; each goes on in one of its own")
            self._driver.split_pack(names)
            return
        for name in names:
            self._driver.end(name, cause)

    def _running(self, trial: Trial) -> list[str]:
        """Return the sweep's trials in a Tune trial that have not ended."""
        return [name for name in trial_names(trial) if name in self._driver.running]


class DriverStopper(_DriverOnly, Stopper):
    """Stops every trial once the driver has met an error."""

    def __init__(self, driver: SweepDriver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial: the scheduler does."""
        return False

    def stop_all(self) -> bool:
        """Return whether the search is over for all."""
        return self._driver.error is not None


def trial_names(trial: Trial) -> list[str]:
    """Return the sweep's names of the trials in a Tune trial."""
    config = trial.config
    return [job["name"] for job in config.get("jobs", [config.get("job")])]


def _cause(trial: Trial) -> str:
    error = trial.get_pickled_error()
    if isinstance(error, RayTaskError) and error.cause is not None:
        return failure_reason(error.cause)
    return "no reason is known" if error is None else failure_reason(error)
