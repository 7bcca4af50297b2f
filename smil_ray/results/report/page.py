"""The page that a sweep ends with: one HTML file that needs no network and no other file."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from smil_ray.config.sweep import SWEEP_FILE
from smil_ray.results.evaluation.captions import SHOWN
from smil_ray.results.pages import render
from smil_ray.results.ranking.importance import fewest_configs, importances
from smil_ray.results.ranking.leaderboard import (
    Leaderboard,
    RankedConfig,
    best_record,
    format_value,
    searched_keys,
    short_names,
)
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.results.ranking.remarks import winner_remarks
from smil_ray.results.report import _plots as plots
from smil_ray.results.report._bars import importance_plot, seeds_plot
from smil_ray.results.report._evaluation import joint_errors, winner_figures, winner_pictures
from smil_ray.results.report._plots import Curve
from smil_ray.results.report._rows import (
    BESIDE,
    Uncertainty,
    beside_figures,
    make_rows,
    numbers,
    seeds_remark,
    summary,
    uncertainties,
)
from smil_ray.tracking.run_dir import write_atomic
from smil_ray.tracking.sync.metrics import read_metrics

REPORT_FILE = "report.html"
CAPTIONS = {"val/" + key: caption for key, caption in SHOWN.items()}
SECONDS = "cost/seconds"
COST_TITLES = {
    SECONDS: "seconds per trial",
    "cost/seconds_per_epoch": "seconds per epoch",
    "cost/device_hours": "device hours per trial",
    "cost/latency_ms": "time of one prediction [ms]",
    "cost/gflops": "GFLOP per image",
    "cost/parameters": "parameters",
}


def write_report(
    folder: Path, *, board: Leaderboard | None = None, path: Path | None = None
) -> Path:
    """Write the page about a sweep, or about any runs beside each other, and return its path.

    Args:
        folder: The sweep's folder; run folders of the leaderboard are relative to it.
        board: What to show; default: the folder's `leaderboard.json`.
        path: The page; default: `report.html` in the folder.

    Raises:
        DataError: The folder has no leaderboard.
    """
    board = board or Leaderboard.load(folder)
    page = render("smil_ray.results.report", "report.html.j2", _content(folder, board))
    path = path or folder / REPORT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page)
    return path


def _content(folder: Path, board: Leaderboard) -> dict[str, Any]:
    keys = searched_keys(board.trials)
    names = short_names(keys)
    caption = CAPTIONS.get(board.metric, board.metric)
    sure = uncertainties(folder, board.ranked, board.metric)
    rows = make_rows(board, names, sure)
    final = folder.resolve() / str((board.final or {}).get("folder", ""))
    return {
        "board": board,
        "folder": folder.resolve() if folder.is_dir() else folder.name,
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "caption": caption,
        "metric_name": caption.partition(" [")[0],
        "columns": [names[key] for key in keys],
        "rows": rows,
        "lower": [_lower(board, config, keys) for config in board.lower_levels],
        "failed": [(r, [format_value(r.labels.get(key)) for key in keys]) for r in board.failed],
        "summary": summary(rows, caption),
        "remarks": [
            *filter(None, [seeds_remark(board.ranked)]),
            *winner_remarks(board, folder),
        ],
        "beside": [BESIDE[figure][0] for figure in beside_figures(board)],
        "seeds_each": max((len(config.records) for config in board.ranked), default=1),
        "numbers": numbers(board),
        **_drawings(folder, board, names, caption, sure),
        "joints": joint_errors(folder, board),
        "evaluation": winner_figures(board),
        "pictures": winner_pictures(folder, board),
        "winner": final if (final / "checkpoints").is_dir() else None,
        "winner_config": _text(final / "config.yaml"),
        "sweep_config": _text(folder / SWEEP_FILE),
    }


def _drawings(
    folder: Path,
    board: Leaderboard,
    names: Mapping[str, str],
    caption: str,
    sure: Mapping[int, Uncertainty],
) -> dict[str, Any]:
    """Return the drawings that show every configuration."""
    ranked = board.ranked
    curves = [
        _curve(folder, board, config, place, sure.get(config.index))
        for place, config in enumerate(ranked)
    ]
    varied = [
        key for key in names if len({format_value(curve.labels.get(key)) for curve in curves}) > 1
    ]
    metric_name = caption.partition(" [")[0]
    goals = [goal.metric for goal in board.objectives if goal.metric.startswith("cost/")]
    return {
        "curves": plots.learning_curves(curves, caption),
        "seeds": seeds_plot(ranked, caption),
        "parallel": plots.parallel_coordinates(curves, varied, dict(names), caption),
        "settings": [plots.setting_plot(curves, key, names[key], metric_name) for key in varied],
        "importance": importance_plot(importances(ranked, varied), names),
        "fewest": fewest_configs(len(varied)),
        "costs": [
            plots.cost_plot(
                curves, caption, board.mode, cost=cost, title=COST_TITLES.get(cost, cost)
            )
            for cost in dict.fromkeys([*goals, SECONDS])
        ],
    }


def _curve(
    folder: Path,
    board: Leaderboard,
    config: RankedConfig,
    place: int,
    uncertainty: Uncertainty | None,
) -> Curve:
    best = best_record(config.records, board.mode)
    rows = [row for row in read_metrics(folder / best.folder) if board.metric in row.metrics]
    settings = ", ".join(f"{key}={format_value(value)}" for key, value in config.labels.items())
    bounds = None
    if uncertainty is not None:
        mean = uncertainty.mean
        bounds = (
            config.metric + mean.low - mean.mean,
            config.metric + mean.high - mean.mean,
        )
    return Curve(
        name=f"{place + 1}. {best.name}: {format_value(config.metric)} ({settings})",
        place=place,
        metric=config.metric,
        seconds=config.seconds,
        points=[(row.epoch, row.metrics[board.metric]) for row in rows],
        labels=config.labels,
        bounds=bounds,
        costs=_costs(config.records, [goal.metric for goal in board.objectives]),
    )


def _costs(
    records: tuple[TrialRecord, ...], names: list[str]
) -> dict[str, tuple[float, float, float]]:
    """Return mean, smallest and largest value of each cost over the repeats."""
    values = {name: [record.value(name) for record in records] for name in names}
    values[SECONDS] = [record.seconds for record in records]
    found = {}
    for name, given in values.items():
        known = [value for value in given if value is not None]
        if known:
            found[name] = (sum(known) / len(known), min(known), max(known))
    return found


def _lower(board: Leaderboard, config: RankedConfig, keys: list[str]) -> dict[str, Any]:
    """Return a line about a configuration that did not reach the highest level."""
    best = best_record(config.records, board.mode)
    return {
        "level": config.level,
        "trial": best.name,
        "cells": [format_value(config.labels.get(key)) for key in keys],
        "metric": f"{config.metric:.4g}",
        "epochs": format_value(best.epochs),
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
