"""Trials of a sweep in the order of their metric, as records, as JSON and as a table."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from smil_ray.errors import DataError
from smil_ray.tracking.run_dir import write_atomic

TrialStatus = Literal["waiting", "running", "finished", "stopped", "failed"]
LEADERBOARD_FILE = "leaderboard.json"
WIDE = 140
"""Characters of a terminal in which every setting gets its own column."""
SAMPLE_ERRORS_FILE = "sample_errors.json"
"""In a trial's folder: the errors of single validation samples."""


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

    @property
    def is_ranked(self) -> bool:
        """Whether the trial can win: it ended without failing and its metric is a number."""
        return self.status in ("finished", "stopped") and is_number(self.metric)


@dataclass(frozen=True)
class RankedConfig:
    """All repeats of one configuration: `metric` is their mean, `spread` their deviation."""

    index: int
    metric: float
    spread: float | None
    records: tuple[TrialRecord, ...]

    @property
    def labels(self) -> dict[str, Any]:
        """Searched keys of the configuration."""
        return self.records[0].labels

    @property
    def seconds(self) -> float:
        """Mean wall time of one repeat."""
        return statistics.fmean(record.seconds for record in self.records)

    @property
    def device_hours(self) -> float:
        """Mean device hours of one repeat."""
        return statistics.fmean(record.device_hours for record in self.records)


@dataclass(frozen=True)
class Leaderboard:
    """Everything that is known at the end of a sweep; `final` is about the winner's training."""

    sweep: str
    metric: str
    mode: Literal["min", "max"]
    trials: tuple[TrialRecord, ...]
    final: dict[str, Any] | None = None
    interrupted: bool = False

    @property
    def ranked(self) -> list[RankedConfig]:
        """Configurations, best first; those without a ranked trial are left out."""
        return rank(self.trials, self.mode)

    @property
    def failed(self) -> list[TrialRecord]:
        """Trials that cannot win, with their reason."""
        return [record for record in self.trials if not record.is_ranked]

    @property
    def best(self) -> TrialRecord | None:
        """The best repeat of the best configuration, or None if every trial failed."""
        ranked = self.ranked
        return best_record(ranked[0].records, self.mode) if ranked else None

    def save(self, folder: Path) -> Path:
        """Write `leaderboard.json` of a sweep."""
        path = folder / LEADERBOARD_FILE
        ranking = [config.index for config in self.ranked]
        write_atomic(path, json.dumps({"ranking": ranking, **asdict(self)}, indent=1, default=str))
        return path

    @classmethod
    def load(cls, folder: Path) -> "Leaderboard":
        """Read `leaderboard.json` of a sweep.

        Raises:
            DataError: The file is missing or is not a leaderboard.
        """
        path = folder / LEADERBOARD_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values["trials"] = tuple(_record(record) for record in values["trials"])
            return cls(**_known(cls, values))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path} is not a leaderboard: {error}",
                remedy="give the folder of a sweep that has ended",
            ) from error


def rank(trials: Sequence[TrialRecord], mode: Literal["min", "max"]) -> list[RankedConfig]:
    """Return the configurations of `trials` by the mean of their repeats, best first.

    A repeat that failed does not count; a configuration of which all failed is left out.
    """
    groups: dict[int, list[TrialRecord]] = {}
    for record in trials:
        if record.is_ranked:
            groups.setdefault(record.index, []).append(record)
    ranked = []
    for index, records in groups.items():
        values = [record.metric for record in records if record.metric is not None]
        spread = statistics.stdev(values) if len(values) > 1 else None
        ranked.append(RankedConfig(index, statistics.fmean(values), spread, tuple(records)))
    sign = 1 if mode == "min" else -1
    return sorted(ranked, key=lambda config: (sign * config.metric, config.index))


def best_record(records: Sequence[TrialRecord], mode: Literal["min", "max"]) -> TrialRecord:
    """Return the record with the best metric; the first of equal ones."""
    sign = 1 if mode == "min" else -1
    return min(records, key=lambda record: (sign * (record.metric or 0.0), record.repeat))


def ranking_table(board: Leaderboard, limit: int | None = None, *, width: int = WIDE) -> Table:
    """Return the ranked table for the terminal; failed trials come last with their reason.

    In a terminal narrower than `WIDE` all settings share one column.
    """
    table = Table(title=f"{board.sweep}: best {board.metric} ({board.mode})", title_justify="left")
    keys = searched_keys(board.trials)
    names = short_names(keys)
    table.add_column("#", justify="right")
    table.add_column("trial", no_wrap=True)
    is_wide = width >= WIDE
    for heading in list(names.values()) if is_wide and names else ["settings"]:
        table.add_column(heading)
    table.add_column(board.metric.rpartition("/")[2], justify="right", no_wrap=True)
    table.add_column("epochs", justify="right")
    table.add_column("time", justify="right")
    ranked = board.ranked
    for place, config in enumerate(ranked[:limit], start=1):
        best = best_record(config.records, board.mode)
        spread = "" if config.spread is None else f" ± {config.spread:.2g}"
        table.add_row(
            str(place),
            best.name,
            *_settings(config.labels, names, is_wide=is_wide),
            f"{config.metric:.4g}{spread}",
            show(best.epochs) + (" (stopped)" if best.status == "stopped" else ""),
            duration(config.seconds),
            style="bold green" if place == 1 else None,
        )
    for record in board.failed:
        shown = _settings(record.labels, names, is_wide=is_wide)
        shown[-1] += f": {record.reason}" if record.reason else ""
        table.add_row("-", record.name, *shown, record.status, "", "", style="dim")
    return table


def searched_keys(trials: Sequence[TrialRecord]) -> list[str]:
    """Return the keys that the trials differ in or were given, in their order."""
    return list(dict.fromkeys(key for record in trials for key in record.labels))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the shortest endings of dotted keys that still tell them apart."""
    names = {}
    for key in keys:
        parts = key.split(".")
        # "name" or "type" alone says nothing: backbone.name, head.type.
        fewest = 2 if parts[-1] in ("name", "type") else 1
        endings = [".".join(parts[-count:]) for count in range(fewest, len(parts))]
        names[key] = next((end for end in endings if _is_unique(end, keys)), key)
    return names


def show(value: Any) -> str:
    """Return a value for a table: numbers with four digits, a missing one as a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def duration(seconds: float) -> str:
    """Return a wall time for people: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def is_number(value: float | None) -> bool:
    """Return whether `value` is there and finite."""
    return value is not None and math.isfinite(value)


def _settings(labels: Mapping[str, Any], names: Mapping[str, str], *, is_wide: bool) -> list[str]:
    if is_wide and names:
        return [show(labels.get(key)) for key in names]
    given = [f"{name}={show(labels[key])}" for key, name in names.items() if key in labels]
    return [" ".join(given)]


def _is_unique(ending: str, keys: Sequence[str]) -> bool:
    return sum(key == ending or key.endswith(f".{ending}") for key in keys) == 1


def _record(values: Mapping[str, Any]) -> TrialRecord:
    return TrialRecord(**_known(TrialRecord, values))


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in fields(kind)}
    return {key: value for key, value in values.items() if key in names}
