"""The report's leaderboard: its lines, what they say, and how sure the differences are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from smil_ray.results.evaluation.captions import digits, is_better
from smil_ray.results.ranking.bootstrap import Interval, bootstrap_mean, paired_difference
from smil_ray.results.ranking.leaderboard import (
    Leaderboard,
    RankedConfig,
    best_record,
    format_duration,
    format_value,
)
from smil_ray.results.ranking.remarks import mean_figure
from smil_ray.results.ranking.sample_errors import SampleErrors, groups_of, mean_of_repeats
from smil_ray.results.report._plots import colour_of

BESIDE = {
    "val/pa_mpjpe_pct_bl": ("PA-MPJPE [% bl]", "val/pa_mpjpe_of_mean_pose"),
    "val/rot_deg_joint": ("joint rot. [deg]", "val/rot_joint_of_mean_pose"),
    "val/rot_deg_global": ("root rot. [deg]", ""),
}
"""Figures shown beside the ranking's, their headings, and what is 1 for the mean pose."""


@dataclass(frozen=True)
class Beside:
    """Another figure of a configuration; `is_worse`: it does not beat the mean pose."""

    text: str
    is_worse: bool


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; `difference` is to the winner, on the same samples.

    `is_ahead` says that it is better than the winner there, whatever the ranking says.
    """

    place: int
    trial: str
    colour: str
    settings: str
    cells: list[str]
    metric: str
    epochs: str
    time: str
    cost: str
    difference: str
    is_distinct: bool | None
    is_ahead: bool = False
    on_front: bool = False
    beside: tuple[Beside, ...] = ()


@dataclass(frozen=True)
class Uncertainty:
    """What single samples say about one configuration.

    Attributes:
        mean: Interval of its own mean error.
        difference: Interval of how much larger it is than the first place's; None for that one.
    """

    mean: Interval
    difference: Interval | None


def uncertainties(
    folder: Path, ranked: Sequence[RankedConfig], metric: str
) -> dict[int, Uncertainty]:
    """Return by the configuration's number what its errors of single samples say."""
    samples = {
        config.index: [SampleErrors.load(folder / record.folder) for record in config.records]
        for config in ranked
    }
    if not ranked:
        return {}
    first = mean_of_repeats(samples[ranked[0].index], metric)
    groups = groups_of([run for runs in samples.values() for run in runs])
    found = {}
    for config in ranked:
        errors = mean_of_repeats(samples[config.index], metric)
        names = sorted(errors)
        mean = bootstrap_mean(
            [errors[name] for name in names], groups=[groups.get(name, name) for name in names]
        )
        if mean is None:
            continue
        is_first = config is ranked[0]
        difference = None if is_first else paired_difference(errors, first, groups=groups)
        found[config.index] = Uncertainty(mean, difference)
    return found


def make_rows(
    board: Leaderboard, names: Mapping[str, str], sure: Mapping[int, Uncertainty]
) -> list[Row]:
    """Return the lines of the leaderboard, best first."""
    front = {record.index for record in board.front}
    beside = beside_figures(board)
    rows = []
    for place, config in enumerate(board.ranked):
        uncertainty = sure.get(config.index)
        difference = None if uncertainty is None else uncertainty.difference
        row = _row(board, config, names, place, difference)
        others = tuple(_beside(config, figure) for figure in beside)
        rows.append(replace(row, on_front=config.index in front, beside=others))
    return rows


def beside_figures(board: Leaderboard) -> list[str]:
    """Return the figures of BESIDE that the ranking is not by and that all its trials have."""
    return [
        figure
        for figure in BESIDE
        if figure != board.metric
        and board.ranked
        and all(mean_figure(config, figure) is not None for config in board.ranked)
    ]


def _beside(config: RankedConfig, figure: str) -> Beside:
    ratio = mean_figure(config, BESIDE[figure][1])
    return Beside(digits(mean_figure(config, figure)), ratio is not None and ratio >= 1.0)


def _row(
    board: Leaderboard,
    config: RankedConfig,
    names: Mapping[str, str],
    place: int,
    difference: Interval | None,
) -> Row:
    best = best_record(config.records, board.mode)
    spread = "" if config.spread is None else f" ± {config.spread:.2g}"
    text, is_distinct, is_ahead = "", None, False
    if difference is not None:
        is_distinct = difference.excludes_zero
        is_ahead = is_distinct and is_better(board.metric, difference.mean, 0.0)
        text = f"{difference.mean:+.3g} [{difference.low:+.3g}, {difference.high:+.3g}]"
    return Row(
        place=place + 1,
        trial=best.name,
        colour=colour_of(place),
        settings=", ".join(
            f"{name} {format_value(config.labels[key])}"
            for key, name in names.items()
            if key in config.labels
        ),
        cells=[format_value(config.labels.get(key)) for key in names],
        metric=f"{config.metric:.4g}{spread}",
        epochs=format_value(best.epochs) + (" (stopped)" if best.status == "stopped" else ""),
        time=format_duration(config.seconds),
        cost=f"{config.device_hours:.3g}",
        difference=text,
        is_distinct=is_distinct,
        is_ahead=is_ahead,
    )


def summary(rows: Sequence[Row], caption: str) -> str:
    """Return the answer of the sweep in a few sentences."""
    if not rows:
        return "No trial can be ranked: all failed, or none has ended yet."
    first = rows[0]
    settings = f" ({first.settings})" if first.settings else ""
    text = f"{first.trial}{settings} is in the first place with {caption} {first.metric}."
    judged = [row for row in rows[1:] if row.is_distinct is not None]
    alike = [row.trial for row in judged if not row.is_distinct]
    ahead = [row.trial for row in judged if row.is_ahead]
    if ahead:
        text += f" On single validation samples {', '.join(ahead)} is better than it."
    if alike:
        text += f" On the validation samples {', '.join(alike)} cannot be told apart from it."
    elif judged and not ahead:
        text += (
            " On the validation samples it is better than each other one that was compared, by "
            "more than chance."
        )
    return text


def seeds_remark(ranked: Sequence[RankedConfig]) -> str:
    """Return a warning where the winner's lead is smaller than the spread between seeds."""
    if len(ranked) < 2:
        return ""
    first, second = ranked[:2]
    spreads = [config.spread for config in (first, second) if config.spread is not None]
    lead = abs(second.metric - first.metric)
    if not spreads or lead >= max(spreads):
        return ""
    return (
        f"Its lead of {digits(lead)} over the second is smaller than the standard deviation "
        f"between seeds ({digits(max(spreads))}): other seeds may turn the order."
    )


def numbers(board: Leaderboard) -> list[tuple[str, str]]:
    """Return how many trials ended how, and what they cost."""
    count = {
        status: sum(record.status == status for record in board.trials)
        for status in ("finished", "stopped", "failed", "running")
    }
    return [
        ("trials", str(len(board.trials))),
        ("finished", str(count["finished"])),
        ("stopped early", str(count["stopped"])),
        ("failed", str(count["failed"])),
        *([("not ended", str(count["running"]))] if count["running"] else []),
        ("time of all trials", format_duration(sum(record.seconds for record in board.trials))),
        ("device hours", f"{sum(record.device_hours for record in board.trials):.3g}"),
    ]
