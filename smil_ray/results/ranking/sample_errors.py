"""Errors of single validation samples of one run, by which runs are compared pair by pair."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smil_ray.results.ranking.leaderboard import SAMPLE_ERRORS_FILE
from smil_ray.tracking.run_dir import write_atomic


@dataclass(frozen=True)
class SampleErrors:
    """What one network gets wrong, sample by sample and joint by joint.

    Attributes:
        metrics: Metric such as `val/pa_mpjpe_pct_bl` -> sample -> value.
        groups: Sample -> group of near-duplicates, where it is not the sample's own name.
        per_joint: Figure -> joint -> mean over the samples.
    """

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    per_joint: dict[str, dict[str, float]] = field(default_factory=dict)

    def save(self, run: Path) -> None:
        """Write `sample_errors.json` of a run folder."""
        text = json.dumps(
            {"metrics": self.metrics, "groups": self.groups, "per_joint": self.per_joint}
        )
        write_atomic(run / SAMPLE_ERRORS_FILE, text)

    @classmethod
    def load(cls, run: Path) -> "SampleErrors":
        """Read `sample_errors.json` of a run folder; empty where there is none."""
        try:
            values: Any = json.loads((run / SAMPLE_ERRORS_FILE).read_text(encoding="utf-8"))
            if "errors" in values:  # Written by an earlier version, of one metric.
                return cls({values["metric"]: values["errors"]})
            return cls(values["metrics"], values["groups"], values["per_joint"])
        except (OSError, ValueError, KeyError, TypeError):
            return cls()


def mean_of_repeats(runs: Sequence[SampleErrors], metric: str) -> dict[str, float]:
    """Return the error of each sample, averaged over repeats; empty if one lacks the metric."""
    collected: dict[str, list[float]] = {}
    for run in runs:
        if metric not in run.metrics:
            return {}
        for name, value in run.metrics[metric].items():
            collected.setdefault(name, []).append(value)
    return {name: statistics.fmean(values) for name, values in collected.items()}


def mean_per_joint(runs: Sequence[SampleErrors], figure: str) -> dict[str, float]:
    """Return the error of each joint, averaged over repeats."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for joint, value in run.per_joint.get(figure, {}).items():
            found.setdefault(joint, []).append(value)
    return {joint: statistics.fmean(values) for joint, values in found.items()}


def groups_of(runs: Sequence[SampleErrors]) -> Mapping[str, str]:
    """Return the groups of all samples that are named by any of the runs."""
    return {name: group for run in runs for name, group in run.groups.items()}
