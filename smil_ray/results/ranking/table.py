"""The ranked table that a sweep ends with in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from smil_ray.results.ranking.leaderboard import (
    Leaderboard,
    RankedConfig,
    best_record,
    format_duration,
    format_value,
    searched_keys,
    short_names,
)
from smil_ray.results.ranking.pareto import Objective
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.results.ranking.remarks import winner_remarks

WIDE = 140
"""Characters of a terminal in which every setting gets its own column."""


def ranking_table(board: Leaderboard, limit: int | None = None, *, width: int = WIDE) -> Table:
    """Return the ranked table for the terminal; failed trials come last with their reason.

    In a terminal narrower than `WIDE` all settings share one column. With objectives, each has a
    column and a star marks what is on the Pareto front. Trials of lower levels follow the ranked
    ones without a place.
    """
    names = short_names(searched_keys(board.trials))
    is_wide = width >= WIDE
    others = [goal for goal in board.objectives if goal.metric != board.metric]
    table = Table(
        title=f"{board.sweep}: best {board.metric} ({board.mode})",
        title_justify="left",
        caption=escape("\n".join(_captions(board))) or None,
        caption_justify="left",
    )
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("trial", no_wrap=True)
    for heading in list(names.values()) if is_wide and names else ["settings"]:
        table.add_column(heading)
    for goal in (board.metric, *(goal.metric for goal in others)):
        table.add_column(goal.rpartition("/")[2], justify="right", no_wrap=True)
    table.add_column("epochs", justify="right")
    table.add_column("time", justify="right")
    front = {record.index for record in board.front}
    for place, config in enumerate(board.ranked[:limit], start=1):
        mark = "* " if config.index in front else ""
        style = "bold green" if place == 1 else None
        cells = _cells(board, config, names, others, is_wide=is_wide)
        table.add_row(f"{mark}{place}", *cells, style=style)
    for config in board.lower_levels if limit is None else []:
        cells = _cells(board, config, names, others, is_wide=is_wide)
        table.add_row(f"level {config.level}", *cells)
    for record in board.failed:
        shown = _settings(record.labels, names, is_wide=is_wide)
        shown[-1] += f": {record.reason}" if record.reason else ""
        blank = [""] * (len(others) + 2)
        table.add_row("-", _name(record), *shown, record.status, *blank, style="dim")
    return table


def _name(record: TrialRecord) -> str:
    return record.name if record.parent is None else f"{record.name}\n from {record.parent}"


def _captions(board: Leaderboard) -> list[str]:
    lines = [*board.remarks, *winner_remarks(board)]
    if board.front:
        goals = " and ".join(f"{goal.metric} ({goal.mode})" for goal in board.objectives)
        lines.insert(0, f"* on the Pareto front of {goals}")
    return lines


def _cells(
    board: Leaderboard,
    config: RankedConfig,
    names: Mapping[str, str],
    others: Sequence[Objective],
    *,
    is_wide: bool,
) -> list[str]:
    best = best_record(config.records, board.mode)
    spread = "" if config.spread is None else f" ± {config.spread:.2g}"
    return [
        _name(best),
        *_settings(config.labels, names, is_wide=is_wide),
        f"{config.metric:.4g}{spread}",
        *(format_value(best.value(goal.metric)) for goal in others),
        format_value(best.epochs) + (" (stopped)" if best.status == "stopped" else ""),
        format_duration(config.seconds),
    ]


def _settings(labels: Mapping[str, Any], names: Mapping[str, str], *, is_wide: bool) -> list[str]:
    if is_wide and names:
        return [format_value(labels.get(key)) for key in names]
    given = [f"{name}={format_value(labels[key])}" for key, name in names.items() if key in labels]
    return [" ".join(given)]
