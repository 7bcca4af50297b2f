"""One trial before it starts: its point, its configuration and what identifies it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Point = dict[str, int | float]
"""What was drawn for each searched key: the number of a choice, or a number."""
NOT_IN_DIGEST = ("run", "tracking")


@dataclass(frozen=True)
class TrialSpec:
    """One trial before it starts.

    Attributes:
        name: Folder and display name.
        index: Number of the configuration; its repeats share it.
        repeat: Number of the repeat; the training seed is the base seed plus this.
        point: What was drawn.
        values: Searched keys with their values.
        labels: Searched keys as tables and plots show them.
        config: The complete configuration as plain values.
        level: Level of successive halving.
        generation: Generation of population-based training.
        parent: The trial from whose checkpoint it goes on.
    """

    name: str
    index: int
    repeat: int
    point: Point
    values: dict[str, Any]
    labels: dict[str, Any]
    config: dict[str, Any]
    level: int = 0
    generation: int = 0
    parent: str | None = None

    @property
    def last_epoch(self) -> int:
        """After which epoch the trial ends."""
        train = self.config["train"]
        return min(train["epochs"], train["stop_epoch"] or train["epochs"])

    @property
    def digest(self) -> str:
        """What must be equal for two trials to be the same work (not where it runs)."""
        return config_digest(self.config)


def config_digest(values: Mapping[str, Any]) -> str:
    """Return a hash of a complete configuration, less where it runs and is tracked."""
    work = {key: value for key, value in values.items() if key not in NOT_IN_DIGEST}
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:12]
