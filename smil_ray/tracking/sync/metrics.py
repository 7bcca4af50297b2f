"""Metric lines of a run folder as points for the tracker; knows the file, not MLflow.

A line of `metrics.jsonl` is
`{"step": int, "epoch": float, "time": seconds, "metrics": {"val/mpjpe_pct_bl": 3.2, ...}}`.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from smil_ray.errors import SmilRayError

MAX_KEY = 250
TAIL_BYTES = 1024

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


@dataclass(frozen=True)
class ReadPosition:
    """Where reading `metrics.jsonl` goes on.

    Attributes:
        offset: Bytes read so far.
        tail: Fingerprint of the last bytes before `offset`. A resumed run rewrites the file and
            may let it grow beyond `offset` again, under the same name and even the same inode.
    """

    offset: int = 0
    tail: str = ""


START = ReadPosition()


def read_new_rows(path: Path, place: ReadPosition = START) -> tuple[list[MetricRow], ReadPosition]:
    """Return the complete lines of `metrics.jsonl` after `place` and the place after them.

    A line that is still being written is left for the next call. A line that is not a metric line
    is skipped with a warning. A file whose bytes before `place` have changed is read from its
    start.
    """
    if not path.is_file():
        return [], START
    with path.open("rb") as stream:
        if place.offset and _fingerprint(stream, place.offset) != place.tail:
            place = START
        stream.seek(place.offset)
        data = stream.read()
        end = data.rfind(b"\n") + 1
        offset = place.offset + end
        place = ReadPosition(offset, _fingerprint(stream, offset)) if end else place
    rows = [row for line in data[:end].splitlines() if (row := _row(line, path)) is not None]
    return rows, place


def _fingerprint(stream: BinaryIO, offset: int) -> str:
    """Return a hash of the last bytes before `offset`; each line carries its time."""
    start = max(0, offset - TAIL_BYTES)
    stream.seek(start)
    return hashlib.sha256(stream.read(offset - start)).hexdigest()


def read_metrics(folder: Path) -> list[MetricRow]:
    """Return every metric line of a run folder, the last one of each step and key set."""
    rows, _ = read_new_rows(folder / "metrics.jsonl")
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
