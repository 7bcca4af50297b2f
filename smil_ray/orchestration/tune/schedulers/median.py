"""Median stopping: a trial ends whose best value so far is worse than the others' median.

As in Golovin et al., Google Vizier, KDD 2017, with two differences. What is compared is the best
value up to the same epoch on both sides, because a trial is ranked by its best epoch. And a trial
that was stopped stays in the comparison with the best it had: otherwise the median would be that
of the survivors, and every epoch would end half of them.
"""

import math
import statistics
from typing import Literal


class MedianScheduler:
    """Values of the trials after every epoch.

    Args:
        grace: Finished epochs before the first decision.
        min_trials: So many other trials must be known at an epoch before one is stopped there.
        epochs: Epochs of a full trial; nothing is decided at the end.
        mode: Whether small or large values are good.
    """

    explanation = "worse than the median of the others up to there"

    def __init__(
        self, grace: int, min_trials: int, epochs: int, mode: Literal["min", "max"] = "min"
    ) -> None:
        self._grace = grace
        self._min_trials = min_trials
        self._epochs = epochs
        self._sign = 1.0 if mode == "min" else -1.0
        self._costs: dict[str, dict[int, float]] = {}
        self._stopped: set[str] = set()

    def rung_at(self, trial: str, epoch: float) -> int | None:
        """Return the last finished epoch unless `trial` was recorded there or later already."""
        finished = math.floor(epoch)
        if finished < 1 or finished <= max(self._costs.get(trial, ()), default=0):
            return None
        return finished

    def record(self, trial: str, rung: int, value: float) -> bool:
        """Keep a trial's value after epoch `rung` and return whether the trial may go on.

        It may if the best it had is no worse than the median of the best that the others had up
        to that epoch. What is not a number never goes on.
        """
        cost = self._sign * value if math.isfinite(value) else math.inf
        self._costs.setdefault(trial, {})[rung] = cost
        goes_on = math.isfinite(cost) and not self._is_worse(trial, rung)
        if not goes_on:
            self._stopped.add(trial)
        return goes_on

    def recorded(self, rung: int) -> dict[str, float]:
        """Return the values after an epoch by trial, in the metric's own sign."""
        return {
            trial: self._sign * costs[rung]
            for trial, costs in self._costs.items()
            if rung in costs
        }

    def _is_worse(self, trial: str, rung: int) -> bool:
        if rung < self._grace or rung >= self._epochs:
            return False
        others = [
            self._best(other, rung)
            for other, costs in self._costs.items()
            if other != trial and (max(costs) >= rung or other in self._stopped)
        ]
        if len(others) < self._min_trials:
            return False
        return self._best(trial, rung) > statistics.median(others)

    def _best(self, trial: str, rung: int) -> float:
        costs = self._costs[trial]
        return min((cost for epoch, cost in costs.items() if epoch <= rung), default=math.inf)
