"""Trials of a sweep in the order of their metric, as records and as JSON."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from smil_ray.errors import DataError
from smil_ray.results.ranking.levels import LevelAgreement, level_agreements, top_level
from smil_ray.results.ranking.pareto import Objective, pareto_front
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.run_dir import write_atomic

LEADERBOARD_FILE = "leaderboard.json"
SAMPLE_ERRORS_FILE = "sample_errors.json"
"""In a trial's folder: the errors of single validation samples."""


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
    def level(self) -> int:
        """Level of successive halving that its trials are of."""
        return self.records[0].level

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
    """Everything that is known at the end of a sweep.

    Attributes:
        sweep: Name of the sweep.
        metric: The metric that trials are selected by.
        mode: Whether small or large values of it are good.
        trials: Every trial that started.
        final: About the winner's training.
        interrupted: Whether trials are left that have not ended.
        objectives: Figures to weigh against each other; none in an ordinary sweep.
        notes: Sentences about the sweep as a whole, such as that its budget is spent.
    """

    sweep: str
    metric: str
    mode: Literal["min", "max"]
    trials: tuple[TrialRecord, ...]
    final: dict[str, Any] | None = None
    interrupted: bool = False
    objectives: tuple[Objective, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ranked(self) -> list[RankedConfig]:
        """Configurations, best first; those without a ranked trial are left out.

        Of a sweep with levels only those that reached the highest one.
        """
        return rank(top_level(self.trials), self.mode)

    @property
    def lower_levels(self) -> list[RankedConfig]:
        """What the trials of the lower levels gave: highest level first, best first in each."""
        top = {record.level for record in top_level(self.trials)}
        levels = sorted({record.level for record in self.trials} - top, reverse=True)
        return [
            config
            for level in levels
            for config in rank([r for r in self.trials if r.level == level], self.mode)
        ]

    @property
    def agreements(self) -> list[LevelAgreement]:
        """How far each level orders the trials as the next one does."""
        return level_agreements(self.trials)

    @property
    def remarks(self) -> list[str]:
        """Sentences for people: the notes, and how far levels agree."""
        return [*self.notes, *(str(agreement) for agreement in self.agreements)]

    @property
    def front(self) -> list[TrialRecord]:
        """Trials on the Pareto front of the objectives; none without objectives."""
        return pareto_front(top_level(self.trials), self.objectives) if self.objectives else []

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
        derived = {
            "ranking": [config.index for config in self.ranked],
            "pareto_front": [record.name for record in self.front],
            "levels": [asdict(agreement) for agreement in self.agreements],
        }
        write_atomic(path, json.dumps({**derived, **asdict(self)}, indent=1, default=str))
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
            values["objectives"] = tuple(Objective(**o) for o in values.get("objectives", ()))
            values["notes"] = tuple(values.get("notes", ()))
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


def format_value(value: Any) -> str:
    """Return a value for a table: numbers with four digits, a missing one as a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def format_duration(seconds: float) -> str:
    """Return a wall time for people: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _is_unique(ending: str, keys: Sequence[str]) -> bool:
    return sum(key == ending or key.endswith(f".{ending}") for key in keys) == 1


def _record(values: Mapping[str, Any]) -> TrialRecord:
    return TrialRecord(**_known(TrialRecord, values))


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in fields(kind)}
    return {key: value for key, value in values.items() if key in names}
