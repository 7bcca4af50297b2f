"""Levels of successive halving: how well cheap levels predict the order at expensive ones."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from smil_ray.results.ranking.records import TrialRecord

FEWEST_PAIRS = 3
"""With fewer trials in both levels an order says nothing."""


@dataclass(frozen=True)
class LevelAgreement:
    """How far the order of trials at one level is the order at the next one.

    Attributes:
        level: The lower level.
        pairs: Configurations that ended at both.
        correlation: Spearman's rank correlation over them, -1 to 1; None where it is undefined.
    """

    level: int
    pairs: int
    correlation: float | None

    def __str__(self) -> str:
        both = f"levels {self.level} and {self.level + 1} ({self.pairs} in both)"
        if self.correlation is None:
            return f"Rank correlation of {both}: too few to say."
        return f"Rank correlation of {both}: {self.correlation:.2f} (Spearman)."


def level_agreements(trials: Sequence[TrialRecord]) -> list[LevelAgreement]:
    """Return the agreement of each level with the next one, lowest first; none with one level."""
    levels: dict[int, dict[int, list[float]]] = {}
    for record in trials:
        if record.is_ranked and record.metric is not None:
            values = levels.setdefault(record.level, {}).setdefault(record.index, [])
            values.append(record.metric)
    found = []
    for level in sorted(levels)[:-1]:
        lower, upper = levels[level], levels.get(level + 1, {})
        both = sorted(set(lower) & set(upper))
        correlation = spearman(
            [statistics.fmean(lower[index]) for index in both],
            [statistics.fmean(upper[index]) for index in both],
        )
        found.append(LevelAgreement(level, len(both), correlation))
    return found


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the rank correlation of paired values, equal values sharing their mean rank.

    None with fewer than `FEWEST_PAIRS` pairs, or where all values of one side are equal.
    """
    if len(first) < FEWEST_PAIRS:
        return None
    one, two = _ranks(first), _ranks(second)
    if len(set(one)) == 1 or len(set(two)) == 1:
        return None
    return statistics.correlation(one, two)


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    return [first[value] + (ordered.count(value) - 1) / 2 for value in values]


def top_level(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials of the highest level that a trial ended at without failing."""
    highest = max((record.level for record in trials if record.is_ranked), default=0)
    return [record for record in trials if record.level == highest]
