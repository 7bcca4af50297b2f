"""Runs beside each other by any validation metric: those of a sweep, or runs from anywhere.

A run's figure is always that of the epoch whose checkpoint it kept, which its own selection metric
chose, and not the best that the figure ever was: it is what the network that is there can do.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from smil_ray.config import Config
from smil_ray.config.reading import flatten
from smil_ray.errors import ConfigError, nearest
from smil_ray.results.evaluation.captions import is_higher_better
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.results.ranking.records import TrialRecord, TrialStatus, is_number
from smil_ray.tracking.cost import DEVICE_HOURS, EPOCH_SECONDS, SECONDS, cost_of
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import MetricRow, entity_name, read_metrics

PREFIX = "val/"
PLACES = ("run.", "tracking.", "data.path", "data.loader_workers", "data.feature_cache")
"""Settings that say where and how a run runs, not what it is."""
SEED = "train.seed"


@dataclass(frozen=True)
class ComparedRun:
    """A run folder under the name that tables show, and how the run ended."""

    name: str
    folder: Path
    status: TrialStatus
    reason: str | None = None


def by_metric(board: Leaderboard, folder: Path, metric: str) -> Leaderboard:
    """Return the leaderboard of the sweep in `folder` by another validation metric.

    Raises:
        ConfigError: No trial has this metric, or it is a loss.
    """
    rows = {record.name: _rows(folder / record.folder) for record in board.trials}
    name = find_metric(metric, (row for found in rows.values() for row in found))
    if name == board.metric:
        return board
    trials = []
    for record in board.trials:
        row = kept_row(rows[record.name], board.metric, board.mode)
        value = row.metrics.get(name) if row is not None else None
        reason = record.reason or (None if is_number(value) else f"it never reported {name}")
        trials.append(replace(record, metric=value, reason=reason))
    kept = f"Figures are those of the epochs with the best {board.metric}, which were kept."
    changed = replace(
        board,
        metric=name,
        mode=mode_of(name),
        trials=tuple(trials),
        notes=(*board.notes, kept),
    )
    return replace(changed, final=_final(changed))


def board_of(title: str, runs: Sequence[ComparedRun], metric: str | None = None) -> Leaderboard:
    """Return the leaderboard of any runs; those that differ in the seed alone are repeats.

    Args:
        title: What the runs are.
        runs: Their folders hold config.yaml, run.json and metrics.jsonl.
        metric: A validation metric; None takes the one that all runs were selected by.

    Raises:
        ConfigError: There is no run, none has the metric, or the runs were selected by different
            ones and `metric` is None.
    """
    if not runs:
        raise ConfigError(f"{title} has no run to compare", remedy="train something first")
    configs = [RunDir.open(run.folder).load_config() for run in runs]
    rows = [_rows(run.folder) for run in runs]
    chosen = sorted({config.train.select_metric for config in configs})
    if metric is None and len(chosen) > 1:
        raise ConfigError(
            f"The runs of {title} were selected by {', '.join(chosen)}",
            remedy=f"name the one to rank by: --metric {chosen[0]}",
        )
    name = find_metric(metric or chosen[0], (row for found in rows for row in found))
    facts = [RunDir.open(run.folder).facts() for run in runs]
    settings = [_settings(config, fact) for config, fact in zip(configs, facts, strict=True)]
    varied = _varied(settings)
    numbers: dict[str, int] = {}
    repeats: dict[int, int] = {}
    records = []
    for run, config, found, known in zip(runs, configs, rows, settings, strict=True):
        index = numbers.setdefault(json.dumps(known, sort_keys=True, default=str), len(numbers))
        repeats[index] = repeats.get(index, -1) + 1
        labels = {key: known[key] for key in varied if key in known}
        record = _record(run, config, found, name)
        records.append(replace(record, index=index, repeat=repeats[index], labels=labels))
    board = Leaderboard(
        title, name, mode_of(name), tuple(records), notes=tuple(_warnings(runs, facts, chosen))
    )
    return replace(board, final=_final(board))


def find_metric(wanted: str, rows: Iterable[MetricRow]) -> str:
    """Return the full name of a validation metric that the rows have.

    `pck@0.05_bbox`, `val/pck@0.05_bbox` and MLflow's `val/pck_at_0.05_bbox` are the same.

    Raises:
        ConfigError: It is a loss, which other weights make another quantity, or no row has it.
    """
    known = {key for row in rows for key in row.metrics if key.startswith(PREFIX)}
    if "loss" in wanted.split("/"):
        raise ConfigError(
            f"--metric {wanted}",
            expected="a figure that does not depend on loss weights",
            remedy="runs are compared by e.g. val/pa_mpjpe_pct_bl",
        )
    names = {entity_name(key): key for key in known if "loss" not in key.split("/")}
    for name in (wanted, PREFIX + wanted):
        if entity_name(name) in names:
            return names[entity_name(name)]
    shown = sorted(names.values())
    near = nearest(PREFIX + wanted.removeprefix(PREFIX), shown)
    raise ConfigError(
        f"No run has the metric {wanted!r}",
        expected=f"one of {', '.join(shown)}" if shown else "a run that was validated once",
        remedy=f"the nearest is {near}" if near else None,
    )


def mode_of(metric: str) -> Literal["min", "max"]:
    """Return whether small or large values of a validation metric are good."""
    return "max" if is_higher_better(metric) else "min"


def kept_row(
    rows: Iterable[MetricRow], metric: str, mode: Literal["min", "max"]
) -> MetricRow | None:
    """Return the metrics of the epoch that a run kept: the best one by its selection metric."""
    sign = 1 if mode == "min" else -1
    good = [row for row in rows if is_number(row.metrics.get(metric))]
    return min(good, key=lambda row: (sign * row.metrics[metric], row.epoch), default=None)


def _rows(folder: Path) -> list[MetricRow]:
    """Return the validated epochs of a run and its costs, without its single steps."""
    return [
        row
        for row in read_metrics(folder)
        if any(key.startswith((PREFIX, "cost/")) for key in row.metrics)
    ]


def _record(run: ComparedRun, config: Config, rows: list[MetricRow], metric: str) -> TrialRecord:
    row = kept_row(rows, config.train.select_metric, config.train.select_mode)
    value = None if row is None else row.metrics.get(metric)
    costs = cost_of(rows)
    trained = sum(found.metrics.get(EPOCH_SECONDS, 0.0) for found in rows)
    reason = run.reason
    if run.status in ("finished", "stopped") and not is_number(value):
        reason = reason or f"it never reported {metric}"
    return TrialRecord(
        name=run.name,
        index=0,
        status=run.status,
        metric=value,
        epoch=None if row is None else row.epoch,
        epochs=max((found.epoch for found in rows), default=0.0),
        seconds=costs.get(SECONDS, trained),
        device_hours=costs.get(DEVICE_HOURS, 0.0),
        reason=reason,
        folder=str(run.folder.resolve()),
        metrics={} if row is None else row.metrics,
    )


def _settings(config: Config, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run is: settings without places and seed, and the hash of its data."""
    flat = flatten(config.model_dump(mode="json"))
    kept = {k: v for k, v in flat.items() if k != SEED and not k.startswith(PLACES)}
    if facts.get("data_hash"):
        kept["data"] = str(facts["data_hash"])[:8]
    return kept


def _varied(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings in which runs differ."""
    keys = dict.fromkeys(key for found in settings for key in found)
    return [
        key
        for key in keys
        if len({json.dumps(found.get(key), default=str) for found in settings}) > 1
    ]


def _warnings(
    runs: Sequence[ComparedRun], facts: Sequence[Mapping[str, Any]], chosen: Sequence[str]
) -> list[str]:
    """Return what makes the runs hard to compare."""
    found = []
    if len({fact.get("data_hash") for fact in facts}) > 1:
        found.append("The runs were trained on different data sets: their figures do not compare.")
    elif len({_validation_names(run.folder) for run in runs}) > 1:
        found.append(
            "The runs were validated on different samples (another data.split_seed or "
            "val_fraction): their figures do not compare well."
        )
    if len({fact.get("git_commit") for fact in facts}) > 1:
        found.append("The runs were made by different versions of the code.")
    if len(chosen) > 1:
        found.append(f"The runs kept their epochs by different metrics: {', '.join(chosen)}.")
    return found


def _validation_names(folder: Path) -> tuple[str, ...]:
    try:
        values = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
        return tuple(values["val"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _final(board: Leaderboard) -> dict[str, Any] | None:
    """Return the last training of the winner: the sweep's own if it is of the same trial."""
    best = board.best
    if best is None:
        return None
    same = {record.name for record in board.trials if record.index == best.index}
    if board.final is not None and board.final.get("trial") in same:
        return board.final
    return {"folder": best.folder, "trial": best.name, "metric": best.metric, "metrics": {}}
