"""How far a preprocessing is, as a record and as a bar in the terminal."""

from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress


@dataclass(frozen=True)
class Progress:
    """How far a preprocessing is; `done` and `total` count entries, `resumed` those found done."""

    done: int
    total: int
    kept: int
    dropped: int
    resumed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Entries per second of this run."""
        return (self.done - self.resumed) / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float:
        """Estimated time to the end; infinite before the first entry."""
        return (self.total - self.done) / self.rate if self.rate > 0 else float("inf")


class ProgressBar:
    """A bar with samples per second and remaining time; give `update` to `preprocess`.

    Nothing but the last line stays when the output is not a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._bar = RichProgress(
            TextColumn("preprocess"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
        )
        self._task = self._bar.add_task("preprocess", total=None, state="starting Ray")

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Show `progress`."""
        self._bar.update(
            self._task, completed=progress.done, total=progress.total, state=sentence(progress)
        )


def sentence(progress: Progress) -> str:
    """Return rate, remaining time and dropped samples as words."""
    minutes, seconds = divmod(round(min(progress.seconds_left, 360_000.0)), 60)
    words = f"{progress.rate:.1f}/s, {minutes}:{seconds:02d} left"
    return f"{words}, {progress.dropped} dropped" if progress.dropped else words
