"""Population-based training: bad members go on from the checkpoints of good ones, changed.

Every `interval_epochs` the population stops. Members of the worst quantile continue from the
checkpoint of one of the best quantile with changed settings, the others from their own. Source:
Jaderberg et al., Population Based Training of Neural Networks, 2017.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from smil_ray.config import Config
from smil_ray.config.sweep import ParameterSpace, SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.search.space import (
    RandomStream,
    draw,
    grace_epochs,
    list_points,
    make_trial,
)
from smil_ray.orchestration.tune.search.spec import Point, TrialSpec
from smil_ray.results.ranking.records import TrialRecord

FACTORS = (0.8, 1.25)
RESAMPLE = 0.25
"""How often a choice is drawn anew rather than moved to its neighbour."""
CHANGEABLE = ("optim.", "loss.")
"""What may change within a run."""
KEPT = ("optim.ema_decay", "optim.compile", "optim.precision")
"""Of these the checkpoint holds state that another setting has no use for."""


class Population:
    """The generations of a population.

    Args:
        sweep: The sweep's settings; `trials` is the size of the population.
        base: The configuration that members vary.
    """

    def __init__(self, sweep: SweepConfig, base: Config) -> None:
        self._sweep = sweep
        self._base = base
        self._points = list_points(sweep, base)
        self._grace = grace_epochs(sweep, base)

    def members(self, number: int, records: Mapping[str, TrialRecord]) -> list[TrialSpec]:
        """Return the members of a generation; none after the last epoch, or if all have failed."""
        interval = self._sweep.pbt.interval_epochs
        if number * interval >= self._base.train.epochs:
            return []
        if number == 0:
            return [self._trial(member, 0, None) for member in range(len(self._points))]
        names = [member_name(member, number - 1) for member in range(len(self._points))]
        ranked = self._ranked([records[name] for name in names])
        if not ranked:
            return []
        parents = self._choose_parents(number, ranked)
        self._points = [
            self._point(number, member, parent) for member, parent in enumerate(parents)
        ]
        return [self._trial(m, number, names[parent]) for m, parent in enumerate(parents)]

    def _ranked(self, records: list[TrialRecord]) -> list[int]:
        """Return the members that did not fail, best first."""
        sign = 1 if self._base.train.select_mode == "min" else -1
        good = [
            (sign * record.metric, member)
            for member, record in enumerate(records)
            if record.is_ranked and record.metric is not None
        ]
        return [member for _, member in sorted(good)]

    def _choose_parents(self, number: int, ranked: list[int]) -> list[int]:
        """Return for each member the one of the last generation that it goes on from."""
        count = len(self._points)
        places = max(1, math.floor(count * self._sweep.pbt.quantile))
        best, rest = ranked[:places], ranked[places:]
        finished = number * self._sweep.pbt.interval_epochs
        losers = set(rest[-places:]) if finished >= self._grace else set()
        losers |= set(range(count)) - set(ranked)
        return [
            int(self._random(number, member).choice(best)) if member in losers else member
            for member in range(count)
        ]

    def _point(self, number: int, member: int, parent: int) -> Point:
        """Return the parent's point, changed if it is not the member's own."""
        old = self._points[parent]
        if parent == member:
            return old
        random = self._random(number, member, 1)
        fresh = RandomStream(int(random.integers(2**31)))

        def pick(key: str, space: ParameterSpace) -> int | float:
            return perturbed(space, old[key], random) if key in old else fresh.pick(key, space)

        return draw(self._sweep, self._base, pick)

    def _random(self, *place: int) -> np.random.Generator:
        return np.random.default_rng([self._sweep.seed, *place])

    def _trial(self, member: int, number: int, parent: str | None) -> TrialSpec:
        end = (number + 1) * self._sweep.pbt.interval_epochs
        settings: dict[str, Any] = {}
        if end < self._base.train.epochs:
            settings["train.stop_epoch"] = end
        index = number * len(self._points) + member
        point = self._points[member]
        spec = make_trial(self._sweep, self._base, point, index, settings=settings)
        name = member_name(member, number)
        return replace(spec, name=name, generation=number, parent=parent)


def member_name(member: int, number: int) -> str:
    """Return the name of a member's trial in a generation."""
    return f"trial_{member:03d}_g{number:02d}"


def perturbed(
    space: ParameterSpace, drawn: int | float, random: np.random.Generator
) -> int | float:
    """Return another draw near `drawn`.

    A number times 0.8 or 1.25, kept within its range; of choices the one before or after, or now
    and then any.
    """
    if space.choice is not None:
        if random.random() < RESAMPLE:
            return int(random.integers(len(space.choice)))
        step = int(random.choice([-1, 1]))
        return min(max(int(drawn) + step, 0), len(space.choice) - 1)
    low, high = space.uniform or space.loguniform or (0.0, 1.0)
    return min(max(float(drawn) * float(random.choice(FACTORS)), low), high)


def check_population(sweep: SweepConfig, base: Config) -> None:
    """Refuse what population-based training cannot do.

    Raises:
        ConfigError: The space has a setting that cannot change within a run, or the sweep asks
            for early stopping, repeats or a last training as well.
    """
    fixed = [key for key in sweep.space if not key.startswith(CHANGEABLE) or key in KEPT]
    if fixed:
        raise ConfigError(
            f"sweep {sweep.name}: {fixed[0]} cannot change while a network is trained",
            expected="only settings of optim and loss in the space of a population",
            remedy="remove it from the space, or choose it first by another search",
        )
    also = {
        "scheduler.type": sweep.scheduler.type != "none",
        "repeats": sweep.repeats > 1,
        "final_epochs": bool(sweep.final_epochs),
    }
    wrong = [key for key, is_set in also.items() if is_set]
    if wrong:
        raise ConfigError(
            f"sweep {sweep.name}: {wrong[0]} does not go with search pbt",
            remedy="leave it out: a population stops nobody, its winner is trained already",
        )
    if sweep.trials < 2:
        raise ConfigError(
            f"sweep {sweep.name}: trials",
            expected="a population of at least 2",
            found=sweep.trials,
        )
    if sweep.pbt.interval_epochs >= base.train.epochs:
        raise ConfigError(
            f"sweep {sweep.name}: pbt.interval_epochs",
            expected=f"less than train.epochs ({base.train.epochs})",
            found=sweep.pbt.interval_epochs,
        )
