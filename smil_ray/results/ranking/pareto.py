"""Which configurations nothing beats in every objective at once: pure arithmetic."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from smil_ray.results.ranking.records import TrialRecord


@dataclass(frozen=True)
class Objective:
    """A figure of a trial and whether small or large values of it are good.

    Attributes:
        metric: A validation metric such as `val/pa_mpjpe_pct_bl`, or a cost such as
            `cost/seconds_per_epoch`; see `TrialRecord.value`.
        mode: `min` or `max`.
    """

    metric: str
    mode: Literal["min", "max"] = "min"

    def cost(self, value: float) -> float:
        """Return `value` with the sign by which less is better."""
        return value if self.mode == "min" else -value


def pareto_front(
    records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> list[TrialRecord]:
    """Return the trials of the configurations that are on the Pareto front.

    A configuration is the mean of its repeats. It is on the front if no other one is at least as
    good in every objective and better in one; equal ones are on it together. Trials that cannot
    win, or that lack one of the figures, are on no front.

    Args:
        records: Trials of one sweep.
        objectives: At least one.

    Returns:
        Trials by the first objective, best first; repeats stay together in their order.
    """
    groups: dict[int, list[TrialRecord]] = {}
    for record in records:
        if record.is_ranked and _costs(record, objectives) is not None:
            groups.setdefault(record.index, []).append(record)
    points = {index: _mean_costs(group, objectives) for index, group in groups.items()}
    kept = on_front(list(points.values()))
    front = [index for index, stays in zip(points, kept, strict=True) if stays]
    front.sort(key=lambda index: (points[index], index))
    return [record for index in front for record in groups[index]]


def on_front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Return for each point whether no other one dominates it; less is better in every place.

    In ascending order a point is dominated by a later one never, and if by any, then by one that
    is on the front itself, so that it is held against those only.
    """
    front: list[Sequence[float]] = []
    kept = [False] * len(points)
    for number in sorted(range(len(points)), key=lambda number: tuple(points[number])):
        point = points[number]
        if not any(dominates(other, point) for other in front):
            kept[number] = True
            front.append(point)
    return kept


def dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether `first` is nowhere worse (larger) than `second` and somewhere better."""
    pairs = list(zip(first, second, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _mean_costs(
    group: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> tuple[float, ...]:
    costs = [found for record in group if (found := _costs(record, objectives)) is not None]
    return tuple(statistics.fmean(column) for column in zip(*costs, strict=True))


def _costs(record: TrialRecord, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    values = [record.value(objective.metric) for objective in objectives]
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    if len(numbers) < len(objectives):
        return None
    return tuple(
        objective.cost(value) for objective, value in zip(objectives, numbers, strict=True)
    )
