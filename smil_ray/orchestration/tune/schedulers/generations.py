"""Searches in generations: the next one begins when the last one has ended.

What a generation consists of is a pure function of the settings and of how the earlier ones
ended, so that a resumed search finds its trials again.
"""

from collections import deque
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from smil_ray.config import Config
from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.tune.journal import Journal, has_ended
from smil_ray.orchestration.tune.schedulers.halving import Levels
from smil_ray.orchestration.tune.schedulers.population import Population
from smil_ray.orchestration.tune.search.queue import TrialQueue, check_same
from smil_ray.orchestration.tune.search.spec import TrialSpec
from smil_ray.results.ranking.records import TrialRecord


@runtime_checkable
class TrialSource(Protocol):
    """Hands out the trials of a sweep and takes their results."""

    is_exhausted: bool
    """Whether every trial has been handed out."""

    @property
    def ended(self) -> list[TrialRecord]:
        """Trials that have ended, in the order of their start."""
        ...

    def next(self) -> TrialSpec | None:
        """Return the next trial; None at the end, or while others must end first."""
        ...

    def end(self, record: TrialRecord) -> None:
        """Take a trial's result."""
        ...


@runtime_checkable
class Generations(Protocol):
    """Says what the generations of a search are; asked in their order, from the first one."""

    def members(self, number: int, records: Mapping[str, TrialRecord]) -> list[TrialSpec]:
        """Return the trials of a generation; none when there is no further one.

        Args:
            number: The generation, from 0.
            records: How the trials of the earlier ones ended, by name.
        """
        ...


class GenerationQueue:
    """The trials of a search in generations.

    Args:
        generations: What they are.
        journal: The sweep's journal; its ended trials are not handed out again.
    """

    def __init__(self, generations: Generations, journal: Journal) -> None:
        self._generations = generations
        self._journal = journal
        self._known = journal.records()
        self._members: list[TrialSpec] = []
        self._waiting: deque[TrialSpec] = deque()
        self._number = -1
        self.is_exhausted = False

    @property
    def ended(self) -> list[TrialRecord]:
        """Trials that have ended, in the order of their start."""
        return [record for record in self._known.values() if has_ended(record)]

    def next(self) -> TrialSpec | None:
        """Return the next trial; None at the end, or while the generation has not ended.

        Raises:
            ConfigError: The journal belongs to other settings.
        """
        while not self.is_exhausted:
            if self._waiting:
                spec = self._waiting.popleft()
                known = self._known.get(spec.name)
                if known is not None:
                    check_same(self._journal, spec, known)
                if known is None or not has_ended(known):
                    return spec
            elif all(self._has_ended(spec) for spec in self._members):
                self._begin_next()
            else:
                return None
        return None

    def end(self, record: TrialRecord) -> None:
        """Take a trial's result."""
        self._known[record.name] = record

    def _has_ended(self, spec: TrialSpec) -> bool:
        return spec.name in self._known and has_ended(self._known[spec.name])

    def _begin_next(self) -> None:
        self._number += 1
        self._members = self._generations.members(self._number, self._known)
        self._waiting.extend(self._members)
        self.is_exhausted = not self._members


def make_queue(sweep: SweepConfig, base: Config, journal: Journal) -> TrialSource:
    """Return the trials of a sweep in the order that its search and scheduler ask for."""
    if sweep.search == "pbt":
        return GenerationQueue(Population(sweep, base), journal)
    if sweep.scheduler.type == "halving":
        return GenerationQueue(Levels(sweep, base), journal)
    return TrialQueue(sweep, base, journal)
