"""How far a preprocessing is."""

from dataclasses import dataclass


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
