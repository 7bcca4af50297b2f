"""Ray Tune's hooks, each a few lines that ask the sweep's driver.

They live in the driver process only. Tune wants to copy and pickle them for its own restart, which
is not used here (the journal is), so that they copy as themselves and pickle as nothing.
"""

from typing import Any

from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from smil_ray.orchestration.search_space import TrialSpec
from smil_ray.orchestration.tune_driver import SweepDriver
from smil_ray.orchestration.tune_trial import TrialJob, failure_reason


class _DriverOnly:
    """Copies as itself and pickles as None."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_DriverOnly":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> None:
    return None


class SpecSearcher(_DriverOnly, Searcher):
    """Gives Tune the driver's trials one after the other."""

    def __init__(self, driver: SweepDriver, *, follow: bool) -> None:
        super().__init__()
        self.specs: dict[str, TrialSpec] = {}
        self._driver = driver
        self._follow = follow

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration, None to wait, or Tune's word for the end."""
        spec = self._driver.next_trial()
        if spec is None:
            return Searcher.FINISHED if self._driver.is_over else None
        self.specs[spec.name] = spec
        return TrialJob(
            name=spec.name,
            folder=str(self._driver.trial_folder(spec.name)),
            metric=self._driver.base.train.select_metric,
            run=self._driver.plan.run,
            follow=self._follow,
        ).as_config()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the driver tells its sampler itself."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal holds all."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


class DriverScheduler(_DriverOnly, FIFOScheduler):
    """Asks the driver whether a trial may go on."""

    def __init__(self, driver: SweepDriver) -> None:
        super().__init__()
        self._driver = driver

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return whether to continue or stop."""
        value = result.get("value")
        goes_on = self._driver.result(
            trial_name(trial), float(result.get("epoch", 0.0)), value, result.get("failure", "")
        )
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP


class DriverCallback(_DriverOnly, tune.Callback):
    """Tells the driver about starts and ends."""

    def __init__(self, driver: SweepDriver, searcher: SpecSearcher) -> None:
        self._driver = driver
        self._searcher = searcher

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the start."""
        self._driver.start(self._searcher.specs[trial_name(trial)])

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Note the end."""
        self._driver.end(trial_name(trial))

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Say that a trial starts again."""
        name = trial_name(trial)
        self._driver.notify(f"{name}: its process died; it goes on from its last checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the death of a trial that has no attempt left."""
        self._driver.end(trial_name(trial), f"its process died: {_cause(trial)}")


def trial_name(trial: Trial) -> str:
    """Return the sweep's name of a Tune trial."""
    return trial.config["job"]["name"]


def _cause(trial: Trial) -> str:
    error = trial.get_pickled_error()
    if isinstance(error, RayTaskError) and error.cause is not None:
        return failure_reason(error.cause)
    return "no reason is known" if error is None else failure_reason(error)
