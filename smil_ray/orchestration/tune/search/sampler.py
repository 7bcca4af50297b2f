"""Where the next trial of a sweep comes from: a list of points, or Optuna's suggestions."""

import math
from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import optuna

from smil_ray.config import Config
from smil_ray.config.sweep import ParameterSpace, SweepConfig
from smil_ray.orchestration.tune.search.space import draw, list_points
from smil_ray.orchestration.tune.search.spec import Point
from smil_ray.results.ranking.pareto import Objective

_DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}


@runtime_checkable
class Sampler(Protocol):
    """Gives points one after the other and may learn from their results."""

    def ask(self, index: int) -> Point | None:
        """Return the point of trial `index`, or None when there is none left."""
        ...

    def tell(self, index: int, point: Point, values: Sequence[float] | None) -> None:
        """Learn a trial's figures, one for each objective; None when it failed."""
        ...


class ListSampler:
    """The points of a random or grid search."""

    def __init__(self, sweep: SweepConfig, base: Config) -> None:
        self.points = list_points(sweep, base)

    def ask(self, index: int) -> Point | None:
        """Return the point of trial `index`, or None after the last one."""
        return self.points[index] if index < len(self.points) else None

    def tell(self, index: int, point: Point, values: Sequence[float] | None) -> None:
        """Learn nothing: the points are settled."""


class OptunaSampler:
    """Optuna's tree-structured Parzen estimator, for one objective or several, with conditions.

    Results of an interrupted sweep are told before the first `ask`.
    """

    def __init__(self, sweep: SweepConfig, base: Config) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._sweep = sweep
        self._base = base
        self._study = optuna.create_study(
            directions=[_DIRECTIONS[goal.mode] for goal in objectives(sweep, base)],
            # A resumed search must not draw again what it drew at its start.
            sampler=None,
        )
        self._asked: dict[int, optuna.trial.Trial] = {}
        self._n_results = 0

    def ask(self, index: int) -> Point | None:
        """Return a point that Optuna suggests, or None after the last trial."""
        if index >= self._sweep.trials:
            return None
        if not self._asked:
            seed = self._sweep.seed + self._n_results
            self._study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        trial = self._study.ask()
        self._asked[index] = trial
        return draw(self._sweep, self._base, lambda key, space: _suggest(trial, key, space))

    def tell(self, index: int, point: Point, values: Sequence[float] | None) -> None:
        """Add a result to what Optuna knows; one that is not a number is a failure."""
        if values is not None and not all(math.isfinite(value) for value in values):
            values = None
        failed = values is None
        state = optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE
        self._n_results += 1
        if index in self._asked:
            self._study.tell(self._asked[index], values, state=state)
            return
        spaces = {key: _distribution(self._sweep.space[key]) for key in point}
        self._study.add_trial(
            optuna.trial.create_trial(
                params=dict(point),
                distributions=spaces,
                values=values,
                state=state,
            )
        )


def objectives(sweep: SweepConfig, base: Config) -> tuple[Objective, ...]:
    """Return what the search minimises or maximises: its objectives, or the selection metric."""
    given = tuple(Objective(goal.metric, goal.mode) for goal in sweep.objectives)
    return given or (Objective(base.train.select_metric, base.train.select_mode),)


def make_sampler(sweep: SweepConfig, base: Config) -> Sampler:
    """Return the sampler that the sweep asks for."""
    return OptunaSampler(sweep, base) if sweep.search == "optuna" else ListSampler(sweep, base)


def _suggest(trial: optuna.trial.Trial, key: str, space: ParameterSpace) -> int | float:
    if space.choice is not None:
        return trial.suggest_categorical(key, range(len(space.choice)))
    low, high = space.uniform or space.loguniform or (0.0, 1.0)
    return trial.suggest_float(key, low, high, log=space.loguniform is not None)


def _distribution(space: ParameterSpace) -> optuna.distributions.BaseDistribution:
    if space.choice is not None:
        return optuna.distributions.CategoricalDistribution(range(len(space.choice)))
    low, high = space.uniform or space.loguniform or (0.0, 1.0)
    return optuna.distributions.FloatDistribution(low, high, log=space.loguniform is not None)
