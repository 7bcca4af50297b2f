"""Which validation metric picks the network that is better on held-out samples?

A metric is judged by figures that it is not made of, measured on samples that chose nothing. For
every seed the configuration that it prefers on validation samples is looked up among all
configurations as the *other* seeds have them on held-out samples, so that the luck of one seed is
not rewarded; with one seed, that one is looked at.
"""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smil_ray.errors import DataError
from smil_ray.results.evaluation.captions import is_better

CANDIDATES = ("val/pose_score", "val/mpjpe_ra_pct_bl", "val/pa_mpjpe_pct_bl")
JUDGES = ("rot_deg_joint", "rot_deg_global", "pck_auc_bbox", "iou")
"""Figures on held-out samples that no candidate is made of."""
FEWEST_CONFIGS = 3


@dataclass(frozen=True)
class TrialFigures:
    """What one trial is worth on validation and on held-out samples.

    Attributes:
        config: Number of its configuration within its sweep.
        seed: Number of its repeat.
        validation: Metrics of the epoch that was kept, by names such as `val/pose_score`.
        held_out: Figures of that checkpoint on the test split.
    """

    config: int
    seed: int
    validation: Mapping[str, float]
    held_out: Mapping[str, float]


@dataclass(frozen=True)
class MetricChoice:
    """How well a metric chooses.

    Attributes:
        metric: A validation metric.
        places: Held-out figure -> mean place of the chosen configurations, 0 the best and 1 the
            worst of all.
        agreement: Held-out figure -> share of pairs of configurations that the metric orders as
            the figure does; 0.5 is chance.
        picks: How many choices were made: one a seed.
    """

    metric: str
    places: dict[str, float]
    agreement: dict[str, float]
    picks: int

    @property
    def place(self) -> float:
        """Mean place over the held-out figures."""
        return statistics.fmean(self.places.values())


def compare_metrics(
    trials: Sequence[TrialFigures],
    candidates: Sequence[str] = CANDIDATES,
    judges: Sequence[str] = JUDGES,
) -> list[MetricChoice]:
    """Return for each candidate how well it chooses among the trials of one sweep, best first.

    Configurations that one seed lacks are left out, and figures that a trial lacks.

    Raises:
        DataError: Fewer than three configurations, or no common figure, are left.
    """
    table = _complete(trials)
    configs = sorted({trial.config for trial in table.values()})
    seeds = sorted({trial.seed for trial in table.values()})
    judges = [name for name in judges if all(name in t.held_out for t in table.values())]
    known = [name for name in candidates if all(name in t.validation for t in table.values())]
    if len(configs) < FEWEST_CONFIGS or not judges or not known:
        raise DataError(
            "Comparison of ranking metrics",
            expected=f"{FEWEST_CONFIGS} configurations with common figures in every seed",
            found=f"{len(configs)} configurations; metrics: {', '.join(known) or 'none'}; "
            f"held-out figures: {', '.join(judges) or 'none'}",
        )
    choices = [_judge(table, configs, seeds, metric, judges) for metric in known]
    return sorted(choices, key=lambda choice: choice.place)


Table = Mapping[tuple[int, int], TrialFigures]


def _complete(trials: Sequence[TrialFigures]) -> Table:
    """Return trials by (configuration, seed), configurations with all seeds alone."""
    table = {(trial.config, trial.seed): trial for trial in trials}
    seeds = {seed for _, seed in table}
    return {
        (config, seed): trial
        for (config, seed), trial in table.items()
        if all((config, other) in table for other in seeds)
    }


def _judge(
    table: Table, configs: Sequence[int], seeds: Sequence[int], metric: str, judges: Sequence[str]
) -> MetricChoice:
    places: dict[str, list[float]] = {name: [] for name in judges}
    agreed: dict[str, list[float]] = {name: [] for name in judges}
    for seed in seeds:
        ours = {config: table[config, seed].validation[metric] for config in configs}
        others = [other for other in seeds if other != seed] or [seed]
        chosen = _best(ours, metric)
        for name in judges:
            theirs = {
                config: statistics.fmean(table[config, other].held_out[name] for other in others)
                for config in configs
            }
            ahead = sum(is_better(name, theirs[other], theirs[chosen]) for other in configs)
            places[name].append(ahead / (len(configs) - 1))
            agreed[name].append(_agreement(ours, theirs, metric, name))
    return MetricChoice(
        metric,
        {name: statistics.fmean(values) for name, values in places.items()},
        {name: statistics.fmean(values) for name, values in agreed.items()},
        len(seeds),
    )


def _agreement(
    ours: Mapping[int, float], theirs: Mapping[int, float], metric: str, figure: str
) -> float:
    """Return the share of pairs that both order alike; equal values count half."""
    points = []
    for a, b in itertools.combinations(ours, 2):
        if ours[a] == ours[b] or theirs[a] == theirs[b]:
            points.append(0.5)
        else:
            same = is_better(metric, ours[a], ours[b]) == is_better(figure, theirs[a], theirs[b])
            points.append(float(same))
    return statistics.fmean(points)


def _best(values: Mapping[int, float], metric: str) -> int:
    """Return the configuration with the best value, the first of equal ones."""
    best = next(iter(values))
    for config, value in values.items():
        if is_better(metric, value, values[best]):
            best = config
    return best
