"""Successive halving without waiting (ASHA), with rungs that survive a restart.

Ray's own scheduler lets trials go on whose metric is not a number, and forgets its rungs when the
driver dies. Here the rungs are a pure record that is rebuilt from the sweep's journal. Source:
Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, stopping variant.
"""

import math
from typing import Literal


class AshaScheduler:
    """Values of the trials at the epochs where bad ones are stopped.

    Args:
        grace: Finished epochs before the first decision.
        factor: About one in `factor` trials passes a rung.
        epochs: Epochs of a full trial; there is no rung at the end.
        mode: Whether small or large values are good.
    """

    explanation = "not among the best there"

    def __init__(
        self, grace: int, factor: int, epochs: int, mode: Literal["min", "max"] = "min"
    ) -> None:
        self.levels: list[int] = []
        level = max(grace, 1)
        while level < epochs:
            self.levels.append(level)
            level *= factor
        self._factor = factor
        self._sign = 1.0 if mode == "min" else -1.0
        self._values: dict[int, dict[str, float]] = {level: {} for level in self.levels}

    def rung_at(self, trial: str, epoch: float) -> int | None:
        """Return the rung that `trial` has reached with `epoch` and was not yet recorded at."""
        reached = [level for level in self.levels if level <= epoch]
        if not reached or trial in self._values[reached[-1]]:
            return None
        return reached[-1]

    def record(self, trial: str, rung: int, value: float) -> bool:
        """Keep a trial's value at a rung and return whether the trial may go on.

        It may if it is among the best 1/factor (rounded up) of those that came to the rung so
        far. What is not a number is worse than everything.
        """
        cost = self._cost(value)
        costs = self._values.setdefault(rung, {})
        costs[trial] = cost
        places = math.ceil(len(costs) / self._factor)
        better = sum(other < cost for other in costs.values())
        return math.isfinite(cost) and better < places

    def recorded(self, rung: int) -> dict[str, float]:
        """Return the values at a rung by trial, in the metric's own sign."""
        return {trial: self._sign * cost for trial, cost in self._values[rung].items()}

    def _cost(self, value: float) -> float:
        return self._sign * value if math.isfinite(value) else math.inf
