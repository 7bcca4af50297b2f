"""One trial of a sweep: what was searched, how it ended, what it reached and what it cost."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

TrialStatus = Literal["waiting", "running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a sweep as its journal tells it.

    Attributes:
        name: Folder name below `trials/`.
        index: Number of the configuration; repeats with other seeds share it.
        repeat: Number of the repeat.
        labels: Searched keys with the values that tables show.
        digest: Identity of the complete configuration.
        status: `stopped` is a trial that the scheduler ended early.
        metric: Best value of the sweep's metric over the epochs; None if there is none.
        epoch: Epochs that were finished when it was reached.
        epochs: Epochs that were finished in all.
        seconds: Wall time from start to end, over all attempts.
        device_hours: GPU hours, or CPU-core hours where the trial had no GPU.
        reason: Why it failed or was stopped.
        folder: Its run folder relative to the sweep's.
        metrics: Validation metrics of the epoch with the best value.
        costs: What it took, by name: `cost/seconds_per_epoch`, `cost/parameters`, `cost/gflops`,
            `cost/latency_ms`, ... as far as they are known.
        level: Level of successive halving; trials of different levels cannot be compared.
        generation: Generation of population-based training.
        parent: The trial from whose checkpoint it went on.
    """

    name: str
    index: int
    repeat: int = 0
    labels: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    status: TrialStatus = "running"
    metric: float | None = None
    epoch: float | None = None
    epochs: float = 0.0
    seconds: float = 0.0
    device_hours: float = 0.0
    reason: str | None = None
    folder: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    level: int = 0
    generation: int = 0
    parent: str | None = None

    def value(self, metric: str) -> float | None:
        """Return a figure by its name: a validation metric or a cost, None where it is unknown."""
        totals = {"cost/seconds": self.seconds, "cost/device_hours": self.device_hours}
        return {**self.metrics, **totals, **self.costs}.get(metric)

    @property
    def is_ranked(self) -> bool:
        """Whether the trial can win: it ended without failing and its metric is a number."""
        return self.status in ("finished", "stopped") and is_number(self.metric)


def is_number(value: float | None) -> bool:
    """Return whether `value` is there and finite."""
    return value is not None and math.isfinite(value)
