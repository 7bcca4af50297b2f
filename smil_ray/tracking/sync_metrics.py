"""Metric lines of a run folder as points for the tracker; knows the file, not MLflow.

A line of `metrics.jsonl` is
`{"step": int, "epoch": float, "time": seconds, "metrics": {"val/mpjpe_pct_bl": 3.2, ...}}`.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smil_ray.errors import SmilRayError

MAX_KEY = 250

logger = logging.getLogger(__name__)


class TrackingError(SmilRayError):
    """The tracking server or database cannot be used now; the call may succeed later."""


class RejectedError(TrackingError):
    """The tracking server refuses this content; sending it again would change nothing."""


@dataclass(frozen=True)
class MetricPoint:
    """One value of one metric: `step` is the optimiser step, `time_ms` counts since 1970."""

    key: str
    value: float
    step: int
    time_ms: int


@dataclass(frozen=True)
class MetricRow:
    """One line of `metrics.jsonl`; `time` is in seconds since 1970."""

    step: int
    epoch: float
    time: float
    metrics: dict[str, float]

    def points(self) -> Iterator[MetricPoint]:
        """Yield the values of the line under the names that the tracker accepts."""
        for key, value in self.metrics.items():
            yield MetricPoint(entity_name(key), value, self.step, int(self.time * 1000))


def entity_name(key: str) -> str:
    """Return `key` with only the characters that MLflow accepts in names (`@` becomes `_at_`)."""
    return re.sub(r"[^\w\-./ ]", "_", key.replace("@", "_at_"))[:MAX_KEY]


def read_rows(path: Path, offset: int = 0) -> tuple[list[MetricRow], int]:
    """Return the complete lines of `metrics.jsonl` from byte `offset` on and the byte after them.

    A line that is still being written is left for the next call. A line that is not a metric line
    is skipped with a warning. A file shorter than `offset` was rewritten by a resumed run and is
    read from its start.
    """
    if not path.is_file():
        return [], 0
    with path.open("rb") as stream:
        if stream.seek(0, 2) < offset:
            offset = 0
        stream.seek(offset)
        data = stream.read()
    end = data.rfind(b"\n") + 1
    rows = [row for line in data[:end].splitlines() if (row := _row(line, path)) is not None]
    return rows, offset + end


def read_metrics(folder: Path) -> list[MetricRow]:
    """Return every metric line of a run folder, the last one of each step and key set."""
    rows, _ = read_rows(folder / "metrics.jsonl")
    unique = {(row.step, tuple(sorted(row.metrics))): row for row in rows}
    return sorted(unique.values(), key=lambda row: row.step)


def _row(line: bytes, path: Path) -> MetricRow | None:
    try:
        values = json.loads(line)
        return MetricRow(
            int(values["step"]),
            float(values.get("epoch", values["step"])),
            float(values.get("time", 0.0)),
            _numbers(values["metrics"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        logger.warning("%s: skipped a line that is not a metric line", path)
        return None


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numeric metrics; null, which JSON writers use for NaN, becomes NaN."""
    return {
        key: float("nan") if value is None else float(value)
        for key, value in metrics.items()
        if value is None or isinstance(value, (int, float))
    }
