"""What a trial's run folder says of it: its best epoch, and what it cost."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smil_ray.config import TrainConfig
from smil_ray.errors import SmilRayError
from smil_ray.results.ranking.leaderboard import best_record, format_duration, format_value
from smil_ray.results.ranking.levels import top_level
from smil_ray.results.ranking.records import TrialRecord, is_number
from smil_ray.tracking.cost import EPOCH_SECONDS, SECONDS, cost_of, images_per_second, write_cost
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import MetricRow, read_metrics

NETWORK_COSTS = ("parameters", "trainable", "gflops", "latency_ms")
"""Costs that run.json tells of the network."""


@dataclass(frozen=True)
class Outcome:
    """What a trial reached and what it took; see `TrialRecord`."""

    metric: float | None = None
    epoch: float | None = None
    epochs: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)


def read_outcome(folder: Path, train: TrainConfig) -> Outcome:
    """Return what the run in `folder` reached by the metric that `train` selects by."""
    rows = read_metrics(folder)
    costs = {**_network_costs(folder), **_time_costs(rows)}
    name = train.select_metric
    valued = [row for row in rows if name in row.metrics]
    epochs = max((row.epoch for row in valued), default=0.0)
    good = [row for row in valued if is_number(row.metrics[name])]
    if not good:
        return Outcome(epochs=epochs, costs=costs)
    sign = 1 if train.select_mode == "min" else -1
    best = min(good, key=lambda row: (sign * row.metrics[name], row.epoch))
    metrics = {
        key: value
        for key, value in best.metrics.items()
        if key.startswith("val/") and is_number(value)
    }
    return Outcome(best.metrics[name], best.epoch, epochs, metrics, costs)


def close_trial(folder: Path, record: TrialRecord) -> None:
    """Let a trial's folder say how it ended; done twice, it says so once."""
    run = RunDir(folder)
    if cost_of(read_metrics(folder)).get(SECONDS) != record.seconds:
        write_cost(run, record.seconds, record.device_hours, record.costs)
    if record.status in ("failed", "stopped"):
        run.set_status(record.status, record.reason)


def outcome_line(record: TrialRecord, best: TrialRecord | None, note: str) -> str:
    """Return one line for people about a trial that has ended, and the best one so far."""
    shown = ", ".join(f"{key}={format_value(value)}" for key, value in record.labels.items())
    outcome = format_value(record.metric) if record.is_ranked else f"failed: {record.reason}"
    leader = f"; best so far {best.name} {format_value(best.metric)}" if best else ""
    return f"{record.name}: {outcome}{note} in {format_duration(record.seconds)} [{shown}]{leader}"


def sweep_figures(
    ended: Sequence[TrialRecord], train: TrainConfig
) -> tuple[dict[str, float], TrialRecord | None]:
    """Return the sweep's own metrics, and its best trial so far."""
    ranked = [record for record in top_level(ended) if record.is_ranked]
    best = best_record(ranked, train.select_mode) if ranked else None
    figures = {
        "sweep/ended": float(len(ended)),
        "sweep/failed": float(sum(record.status == "failed" for record in ended)),
    }
    if best is not None and best.metric is not None:
        figures["sweep/best"] = best.metric
    return figures, best


def _network_costs(folder: Path) -> dict[str, float]:
    try:
        network: dict[str, Any] = RunDir(folder).facts().get("network", {})
    except SmilRayError:
        return {}
    return {f"cost/{key}": float(network[key]) for key in NETWORK_COSTS if key in network}


def _time_costs(rows: Sequence[MetricRow]) -> dict[str, float]:
    seconds = [row.metrics[EPOCH_SECONDS] for row in rows if EPOCH_SECONDS in row.metrics]
    costs = {"cost/seconds_per_epoch": statistics.median(seconds)} if seconds else {}
    rate = images_per_second(rows)
    return costs if rate is None else {**costs, "cost/images_per_s": rate}
