"""One progress bar for every command: share, count, rate, time left."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Update(Protocol):
    """Shows how far it is."""

    def __call__(self, done: int, total: int, what: str | None = None) -> None:
        """Show how many of how many are done, and what is going on if that has changed."""


class RateColumn(ProgressColumn):
    """Shows completed units per second."""

    def render(self, task: Task) -> Text:
        """Return e.g. `41.3/s`, a dash before the first unit."""
        rate = task.finished_speed or task.speed
        return Text("-" if rate is None else f"{rate:.1f}/s")


@contextmanager
def progress_bar(what: str, console: Console | None = None) -> Iterator[Update]:
    """Show a bar while the block runs; call what it yields with (done, total).

    A bar that was never called disappears: beside an error it would say nothing.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task(what, total=None)

    def update(done: int, total: int, what: str | None = None) -> None:
        if what is not None:
            bar.update(task, description=what)
        bar.update(task, completed=done, total=total)

    bar.start()
    try:
        yield update
    finally:
        if bar.tasks[0].total is None:
            bar.live.transient = True
            bar.live.stop()
        else:
            bar.stop()
