"""Resident memory of this process and of those it has started, while something runs (Linux)."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

EVERY_S = 1.0


class Reading(NamedTuple):
    """Memory at one moment, MB: this process, and the largest of its workers."""

    done: float
    driver: float
    worker: float


class Watch:
    """Looks once a second; use as a context manager.

    Args:
        done: Returns how much of the work is done, from 0 to 1.
        worker: What the command line of a worker begins with.
    """

    def __init__(self, done: Callable[[], float], worker: str) -> None:
        self._done = done
        self._worker = worker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.readings: list[Reading] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def at(self, share: float) -> Reading:
        """Return the first reading when this share of the work, or more, was done."""
        return next((r for r in self.readings if r.done >= share), self.readings[-1])

    def _look(self) -> None:
        while not self._stop.wait(EVERY_S):
            workers = [resident_mb(path) for path in _processes(self._worker)]
            own = resident_mb(Path(f"/proc/{os.getpid()}"))
            self.readings.append(Reading(self._done(), own, max(workers, default=0.0)))


def resident_mb(process: Path) -> float:
    """Return the resident memory of a process that belongs to it alone, MB; 0 if it has ended."""
    try:
        fields = (process / "status").read_text().split()
        return int(fields[fields.index("RssAnon:") + 1]) / 1024
    except (OSError, ValueError):
        return 0.0


def _processes(name: str) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cmdline").read_bytes().decode(errors="replace").startswith(name):
                found.append(path)
        except OSError:
            continue
    return found
