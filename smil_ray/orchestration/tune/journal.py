"""The append-only journal of a sweep: the source of truth about its trials.

One JSON line per event, written only by the driver and synced to the disk before it goes on:

    {"event": "start", "trial": ..., "index", "repeat", "point", "labels", "digest", "time"}
    {"event": "rung",  "trial": ..., "rung": epochs, "value": metric}
    {"event": "end",   "trial": ..., "status", "metric", "epoch", "epochs", "seconds", "reason"}
    {"event": "spent", "seconds", "device_seconds"}   time of the search since the last such line
"""

import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from smil_ray.errors import DataError
from smil_ray.orchestration.tune._journal_lines import Line, read_lines
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.run_dir import write_atomic

JOURNAL_FILE = "journal.jsonl"
ENDED = ("finished", "stopped", "failed")
BUDGET = "budget"
"""Reason of a trial that was stopped only because the sweep's budget was spent."""


def has_ended(record: TrialRecord) -> bool:
    """Return whether a trial is done with; one that only lacked budget can go on."""
    return record.status in ENDED and record.reason != BUDGET


class Journal:
    """The events of one sweep folder; who only reads, `mend` false, changes nothing in it."""

    def __init__(self, folder: Path, *, mend: bool = True) -> None:
        self.path = folder / JOURNAL_FILE
        if mend:
            self._mend_last_line()

    def append(self, event: str, **values: Any) -> None:
        """Add one event and wait until it is on the disk."""
        line = json.dumps({"event": event, "time": time.time(), **values}) + "\n"
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def events(self, kind: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the events in their order, all or of one kind.

        Raises:
            DataError: A line other than a half-written last one is damaged.
        """
        for line in self._lines():
            if line.event is None:
                raise DataError(
                    f"{self.path}, line {line.number} is damaged: {line.problem}",
                    remedy="go on without what is damaged by --resume SWEEP --repair-journal",
                )
            if kind is None or line.event["event"] == kind:
                yield line.event

    def repair(self) -> list[str]:
        """Set damaged lines aside, so that what is whole can be gone on with.

        The journal as it was stays beside it (`journal.damaged_N.jsonl`). A trial whose start is
        damaged is forgotten and run again; one whose end is damaged goes on from its checkpoint.

        Returns:
            What was wrong with each line that is gone.
        """
        lines = self._lines()
        damaged = [line for line in lines if line.event is None]
        if not damaged:
            return []
        numbers = itertools.count(1)
        names = (self.path.with_name(f"{self.path.stem}.damaged_{n}.jsonl") for n in numbers)
        aside = next(name for name in names if not name.exists())
        shutil.copyfile(self.path, aside)
        whole = b"".join(line.raw + b"\n" for line in lines if line.event is not None)
        write_atomic(self.path, whole.decode("utf-8"))
        return [f"line {line.number}: {line.problem}" for line in damaged]

    def _lines(self) -> list[Line]:
        return read_lines(self.path.read_bytes()) if self.path.is_file() else []

    def records(self) -> dict[str, TrialRecord]:
        """Return what is known of every trial that ever started, by name, in starting order."""
        known = {entry.name for entry in fields(TrialRecord)} - {"name"}
        records: dict[str, TrialRecord] = {}
        spent: dict[tuple[str, str], float] = {}
        for event in self.events():
            name = str(event.get("trial"))
            values = {key: value for key, value in event.items() if key in known}
            if event["event"] == "start":
                records[name] = TrialRecord(name=name, **values)
            elif event["event"] == "end":
                for key in ("seconds", "device_hours"):
                    spent[name, key] = spent.get((name, key), 0.0) + float(values.get(key, 0.0))
                    values[key] = spent[name, key]
                records[name] = replace(records[name], **values)
        return records

    def points(self) -> dict[str, dict[str, Any]]:
        """Return the point that each started trial was given."""
        return {event["trial"]: event["point"] for event in self.events("start")}

    def rungs(self) -> list[Mapping[str, Any]]:
        """Return what the early-stopping scheduler has seen, each trial and rung once."""
        seen = {(event["trial"], event["rung"]): event for event in self.events("rung")}
        return list(seen.values())

    def _mend_last_line(self) -> None:
        """Cut off a last line that a crash left half written, so that the next one is whole."""
        if not self.path.is_file():
            return
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("r+b") as stream:
                stream.truncate(whole)
