"""Which trial comes next: the sampler's points, repeated over seeds, less what has ended."""

import statistics
from collections import deque

from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict, read_yaml
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.journal import Journal, has_ended
from smil_ray.orchestration.tune.search.sampler import make_sampler
from smil_ray.orchestration.tune.search.space import make_trial
from smil_ray.orchestration.tune.search.spec import TrialSpec, config_digest
from smil_ray.results.ranking.records import TrialRecord


class TrialQueue:
    """The trials of a sweep in their order.

    What the journal knows is used again: a trial that started gets the same point, one that ended
    is left out, and the sampler learns from it.

    Args:
        sweep: The sweep's settings.
        base: The configuration that trials vary.
        journal: The sweep's journal.
    """

    def __init__(self, sweep: SweepConfig, base: Config, journal: Journal) -> None:
        self._sweep = sweep
        self._base = base
        self._journal = journal
        self._sampler = make_sampler(sweep, base)
        self._known = journal.records()
        self._points = {
            record.index: journal.points()[name] for name, record in self._known.items()
        }
        self._waiting: deque[TrialSpec] = deque()
        self._next_index = 0
        self.is_exhausted = False
        for index in sorted(self._points):
            self._tell(index)

    @property
    def ended(self) -> list[TrialRecord]:
        """Trials that have ended, in the order of their start."""
        return [record for record in self._known.values() if has_ended(record)]

    def next(self) -> TrialSpec | None:
        """Return the next trial that has not ended; None when there is none left.

        Raises:
            ConfigError: The journal belongs to other settings.
        """
        while self._waiting or self._sample():
            spec = self._waiting.popleft()
            known = self._known.get(spec.name)
            if known is None:
                return spec
            check_same(self._journal, spec, known)
            if not has_ended(known):
                return spec
        self.is_exhausted = True
        return None

    def end(self, record: TrialRecord) -> None:
        """Take a trial's result; the sampler learns once all repeats have ended."""
        self._known[record.name] = record
        self._tell(record.index)

    def _sample(self) -> bool:
        index = self._next_index
        if self._sweep.search != "grid" and index >= self._sweep.trials:
            return False
        if index not in self._points:
            point = self._sampler.ask(index)
            if point is None:
                return False
            self._points[index] = point
        self._next_index += 1
        for repeat in range(self._sweep.repeats):
            point = self._points[index]
            self._waiting.append(make_trial(self._sweep, self._base, point, index, repeat))
        return True

    def _tell(self, index: int) -> None:
        group = [record for record in self.ended if record.index == index]
        if len(group) < self._sweep.repeats:
            return
        rows = [self._figures(record) for record in group if record.is_ranked]
        whole = [row for row in rows if row is not None]
        means = [statistics.fmean(column) for column in zip(*whole, strict=True)] or None
        self._sampler.tell(index, self._points[index], means)

    def _figures(self, record: TrialRecord) -> list[float] | None:
        """Return a trial's figure for each objective, None where one is unknown."""
        if not self._sweep.objectives:
            return None if record.metric is None else [record.metric]
        values = [record.value(goal.metric) for goal in self._sweep.objectives]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None


def check_same(journal: Journal, spec: TrialSpec, known: TrialRecord) -> None:
    """Make sure that a trial in the journal is the one that is meant.

    Settings that did not exist yet when the trial was run count as left at their defaults.

    Raises:
        ConfigError: It was run with other settings.
    """
    if spec.digest not in (known.digest, _completed_digest(journal, known)):
        raise ConfigError(
            f"{journal.path}: {spec.name} was run with other settings",
            expected=f"configuration {spec.digest}",
            found=known.digest,
            remedy="resume with the same settings and data, or start a new sweep",
        )


def _completed_digest(journal: Journal, known: TrialRecord) -> str | None:
    """Return the digest of a trial's stored configuration with today's further settings."""
    file = journal.path.parent / known.folder / "config.yaml"
    stored = read_yaml(file) if file.is_file() else {}
    if config_digest(stored) != known.digest:
        return None
    return config_digest(config_from_dict(stored, source=str(file)).model_dump(mode="json"))
