"""The lines of a journal: which are whole events, and what is wrong with the others."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "start": {"trial": str, "index": int, "repeat": int, "point": dict},
    "rung": {"trial": str, "rung": (int, float), "value": (int, float, type(None))},
    "end": {"trial": str, "status": str},
    "spent": {"seconds": (int, float), "device_seconds": (int, float)},
}
"""Kinds of events, and the fields that readers of a journal rely on."""


@dataclass(frozen=True)
class Line:
    """One line of a journal.

    Attributes:
        number: From 1.
        raw: Its bytes without the line's end.
        event: What it says; None if it is damaged.
        problem: What is wrong with it; empty if nothing is.
    """

    number: int
    raw: bytes
    event: dict[str, Any] | None
    problem: str = ""


def read_lines(data: bytes) -> list[Line]:
    """Return the lines of a journal; a last one that a crash left half written is left out."""
    lines = [_line(number, raw) for number, raw in enumerate(data.splitlines(), start=1)]
    if lines and lines[-1].problem and not data.endswith(b"\n"):
        lines.pop()
    return list(_without_orphans(lines))


def _line(number: int, raw: bytes) -> Line:
    try:
        event = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Line(number, raw, None, f"byte {error.start + 1} is not UTF-8")
    except (ValueError, RecursionError) as error:
        return Line(number, raw, None, f"not JSON ({error})")
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return Line(number, raw, None, "no event")
    for field, kind in _FIELDS.get(event["event"], {}).items():
        if not isinstance(event.get(field), kind):
            found = repr(event[field]) if field in event else "nothing"
            return Line(number, raw, None, f"{event['event']!r} with {found} as {field!r}")
    return Line(number, raw, event)


def _without_orphans(lines: list[Line]) -> Iterable[Line]:
    """Yield the lines; the end of a trial whose start is lost counts as damaged.

    Its rungs do not: it is run again under its name, and comes to each rung again.
    """
    started = set()
    for line in lines:
        event = line.event or {}
        if event.get("event") == "start":
            started.add(event["trial"])
        if event.get("event") == "end" and event["trial"] not in started:
            problem = f"the start of {event['trial']} is missing"
            yield Line(line.number, line.raw, None, problem)
        else:
            yield line
