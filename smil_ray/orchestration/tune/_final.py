"""The winner of a sweep, trained with all epochs and evaluated."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict, set_key
from smil_ray.orchestration.tune.driver import SweepDriver
from smil_ray.orchestration.tune.folder import FINAL_FOLDER, begin_below
from smil_ray.orchestration.tune.schedulers.halving import level_settings
from smil_ray.orchestration.tune.trials.trial import TrainingStoppedError, TrainTrial
from smil_ray.results.ranking.leaderboard import SAMPLE_ERRORS_FILE, Leaderboard
from smil_ray.results.ranking.records import TrialRecord, is_number
from smil_ray.results.ranking.sample_errors import SampleErrors
from smil_ray.tracking.cost import recorded_cost
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import read_metrics

EvaluateRun = Callable[[Path], Mapping[str, Any]]
"""Evaluates the best checkpoint of a run folder on held-out samples and returns figures."""

MeasureSamples = Callable[[Path], SampleErrors]
"""Measures a run folder's best checkpoint on each validation sample."""

COMPARED = 10
"""So many configurations at most are compared sample by sample."""


@dataclass(frozen=True)
class FinalRun:
    """The winner's last training.

    Attributes:
        folder: Its run folder; the trial's own if it was not trained any longer.
        trial: Name of the winning trial.
        metric: Best value of the sweep's metric.
        metrics: What the evaluation returned.
    """

    folder: Path
    trial: str
    metric: float | None
    metrics: dict[str, Any]

    def as_dict(self, sweep: Path) -> dict[str, Any]:
        """Return it for the leaderboard, its folder relative to the sweep's."""
        return {
            "folder": str(self.folder.relative_to(sweep)),
            "trial": self.trial,
            "metric": self.metric,
            "metrics": self.metrics,
        }


def train_winner(
    driver: SweepDriver, best: TrialRecord, train: TrainTrial, evaluate: EvaluateRun | None
) -> FinalRun | None:
    """Train the winner from the beginning with `final_epochs` and evaluate it.

    From the beginning, because the schedule of the learning rate and the curriculum belong to the
    number of epochs: the result equals a run of the winner's configuration. Without `final_epochs`
    the trial itself is evaluated. A final run that was interrupted goes on; None if it is
    interrupted now. A resumed sweep that has another winner trains it in another folder.
    """
    folder = driver.run.path / best.folder
    if driver.sweep.final_epochs:
        config = final_config(driver, folder)
        folder = _final_folder(driver, best, config)
        if not (folder / "run.json").is_file():
            facts = {"sweep": driver.run.path.name, "trial": best.name, "role": "final"}
            begin_below(driver.run, folder.name)
            RunDir.create_at(folder, config, "train", facts=facts)
        tags = {"smil_ray.kind": "final", "smil_ray.trial": best.name}
        driver.tracked.follow(folder, "final", tags)
        driver.notify(
            f"training the winner {best.name} with Ray Train for {config.train.epochs} epochs"
        )
        if not _train_to_the_end(driver, folder, config, train):
            return None
    try:
        metrics = dict(evaluate(folder)) if evaluate is not None else {}
    finally:
        # Evaluated first: what that leaves in the run, its network takes along.
        driver.tracked.end_winner(folder)
    return FinalRun(folder, best.name, _best_value(driver.base, folder), metrics)


def _train_to_the_end(
    driver: SweepDriver, folder: Path, config: Config, train: TrainTrial
) -> bool:
    """Train the final run, if it has not ended yet; false if it was asked to stop before."""
    has_ended = RunDir.open(folder).status()["state"] == "finished"
    try:
        if not has_ended:
            with recorded_cost(RunDir.open(folder), config):
                train(config, folder, lambda *_: None)
            has_ended = True
    except TrainingStoppedError:
        return False
    finally:
        if not has_ended:
            driver.tracked.end(folder)
    return True


def compare_trials(driver: SweepDriver, board: Leaderboard, measure: MeasureSamples) -> None:
    """Keep the errors of single samples of the best configurations, for paired comparisons."""
    for config in board.ranked[:COMPARED]:
        for record in config.records:
            folder = driver.run.path / record.folder
            path = folder / SAMPLE_ERRORS_FILE
            if not path.is_file():
                measure(folder).save(folder)


def final_config(driver: SweepDriver, trial: Path) -> Config:
    """Return the configuration of a trial with the final number of epochs and the base's run.

    Where there are levels, with the data and resolution of the highest one.
    """
    plain = RunDir.open(trial).load_config().model_dump(mode="json")
    for level in driver.sweep.scheduler.levels[-1:]:
        for key, value in level_settings(level).items():
            set_key(plain, key, value)
    plain["train"]["epochs"] = driver.sweep.final_epochs
    plain["run"] = driver.base.run.model_dump(mode="json")
    return config_from_dict(plain, source=f"sweep {driver.sweep.name}: final")


def _final_folder(driver: SweepDriver, best: TrialRecord, config: Config) -> Path:
    """Return the first of `final`, `final_2`, ... that is of this trial, or is not there yet."""
    for number in itertools.count(1):
        folder = driver.run.path / (FINAL_FOLDER if number == 1 else f"{FINAL_FOLDER}_{number}")
        if not (folder / "run.json").is_file():
            return folder
        run = RunDir.open(folder)
        same = run.load_config().train.epochs == config.train.epochs
        if same and run.facts().get("trial") == best.name:
            return folder
    raise AssertionError


def _best_value(base: Config, folder: Path) -> float | None:
    name = base.train.select_metric
    values = [row.metrics[name] for row in read_metrics(folder) if name in row.metrics]
    good = [value for value in values if is_number(value)]
    choose = min if base.train.select_mode == "min" else max
    return choose(good) if good else None
