"""The page that a sweep ends with: one HTML file that needs no network and no other file."""

import base64
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
from jinja2 import Environment, PackageLoader, StrictUndefined

from smil_ray.errors import DataError
from smil_ray.results import report_plots
from smil_ray.results.bootstrap import Interval, paired_difference
from smil_ray.results.evaluate import HIGHER_IS_BETTER, SHOWN
from smil_ray.results.ranking import (
    SAMPLE_ERRORS_FILE,
    Leaderboard,
    RankedConfig,
    best_record,
    duration,
    searched_keys,
    short_names,
    show,
)
from smil_ray.results.report_plots import Curve
from smil_ray.tracking.run_dir import write_atomic
from smil_ray.tracking.sync_metrics import read_metrics

REPORT_FILE = "report.html"
HEADLINES = ("pa_mpjpe_pct_bl", "mpjpe_ra_pct_bl", "pck@0.10_bbox")
"""Figures by which the winner is held against the mean pose."""
CAPTIONS = {"val/" + key: caption for key, caption in SHOWN.items()}


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; `difference` is to the winner, on the same samples."""

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


def write_report(folder: Path) -> Path:
    """Write `report.html` of the sweep in `folder` and return its path.

    Raises:
        DataError: The folder has no leaderboard.
    """
    board = Leaderboard.load(folder)
    page = _environment().get_template("report.html.j2").render(_content(folder, board))
    path = folder / REPORT_FILE
    write_atomic(path, page)
    return path


def _environment() -> Environment:
    loader = PackageLoader("smil_ray.results", "templates")
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _content(folder: Path, board: Leaderboard) -> dict[str, Any]:
    ranked = board.ranked
    keys = searched_keys(board.trials)
    names = short_names(keys)
    caption = CAPTIONS.get(board.metric, board.metric)
    metric_name = caption.partition(" [")[0]
    curves = [_curve(folder, board, config, place) for place, config in enumerate(ranked)]
    differences = _differences(folder, ranked)
    rows = [
        _row(board, config, names, place, differences.get(config.index))
        for place, config in enumerate(ranked)
    ]
    varied = [key for key in keys if len({show(curve.labels.get(key)) for curve in curves}) > 1]
    return {
        "board": board,
        "folder": folder.resolve(),
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "caption": caption,
        "metric_name": metric_name,
        "columns": [names[key] for key in keys],
        "rows": rows,
        "failed": [(r, [show(r.labels.get(key)) for key in keys]) for r in board.failed],
        "summary": _summary(board, rows, caption),
        "numbers": _numbers(board),
        "curves": report_plots.learning_curves(curves, caption),
        "parallel": report_plots.parallel_coordinates(curves, varied, names, caption),
        "settings": [
            report_plots.setting_plot(curves, key, names[key], metric_name) for key in varied
        ],
        "cost": report_plots.cost_plot(curves, caption, board.mode),
        "evaluation": _evaluation(board),
        "pictures": _pictures(folder, board),
        "winner": folder.resolve() / str((board.final or {}).get("folder", "")),
        "winner_config": _text(
            folder / str((board.final or {}).get("folder", "")) / "config.yaml"
        ),
        "sweep_config": _text(folder / "sweep.yaml"),
    }


def _curve(folder: Path, board: Leaderboard, config: RankedConfig, place: int) -> Curve:
    best = best_record(config.records, board.mode)
    rows = [row for row in read_metrics(folder / best.folder) if board.metric in row.metrics]
    settings = ", ".join(f"{key}={show(value)}" for key, value in config.labels.items())
    return Curve(
        name=f"{place + 1}. {best.name}: {show(config.metric)} ({settings})",
        place=place,
        metric=config.metric,
        seconds=config.seconds,
        points=[(row.epoch, row.metrics[board.metric]) for row in rows],
        labels=config.labels,
    )


def _row(
    board: Leaderboard,
    config: RankedConfig,
    names: Mapping[str, str],
    place: int,
    difference: Interval | None,
) -> Row:
    best = best_record(config.records, board.mode)
    spread = "" if config.spread is None else f" ± {config.spread:.2g}"
    text, is_distinct = "", None
    if difference is not None:
        is_distinct = difference.excludes_zero
        text = f"{difference.mean:+.3g} [{difference.low:+.3g}, {difference.high:+.3g}]"
    return Row(
        place=place + 1,
        trial=best.name,
        colour=report_plots.colour_of(place),
        settings=", ".join(
            f"{name} {show(config.labels[key])}"
            for key, name in names.items()
            if key in config.labels
        ),
        cells=[show(config.labels.get(key)) for key in names],
        metric=f"{config.metric:.4g}{spread}",
        epochs=show(best.epochs) + (" (stopped)" if best.status == "stopped" else ""),
        time=duration(config.seconds),
        cost=f"{config.device_hours:.3g}",
        difference=text,
        is_distinct=is_distinct,
    )


def _differences(folder: Path, ranked: Sequence[RankedConfig]) -> dict[int, Interval]:
    """Return by how much each configuration is worse than the first one, sample by sample."""
    if len(ranked) < 2:
        return {}
    first = _sample_errors(folder, ranked[0])
    found = {}
    for config in ranked[1:]:
        interval = paired_difference(_sample_errors(folder, config), first)
        if interval is not None:
            found[config.index] = interval
    return found


def _sample_errors(folder: Path, config: RankedConfig) -> dict[str, float]:
    """Return the error of each sample, averaged over the configuration's repeats."""
    collected: dict[str, list[float]] = {}
    for record in config.records:
        try:
            text = (folder / record.folder / SAMPLE_ERRORS_FILE).read_text(encoding="utf-8")
            errors: Mapping[str, float] = json.loads(text)["errors"]
        except (OSError, ValueError, KeyError):
            return {}
        for name, value in errors.items():
            collected.setdefault(name, []).append(value)
    return {name: statistics.fmean(values) for name, values in collected.items()}


def _summary(board: Leaderboard, rows: Sequence[Row], caption: str) -> str:
    if not rows:
        return "No trial can be ranked: all failed, or none has ended yet."
    first = rows[0]
    text = f"{first.trial} ({first.settings}) is in the first place with {caption} {first.metric}."
    judged = [row for row in rows[1:] if row.is_distinct is not None]
    alike = [row.trial for row in judged if not row.is_distinct]
    if alike:
        text += f" On the validation samples {', '.join(alike)} cannot be told apart from it."
    elif judged:
        text += " It is better than each other one that was compared, by more than chance."
    return text


def _numbers(board: Leaderboard) -> list[tuple[str, str]]:
    count = {
        status: sum(record.status == status for record in board.trials)
        for status in ("finished", "stopped", "failed", "running")
    }
    return [
        ("trials", str(len(board.trials))),
        ("finished", str(count["finished"])),
        ("stopped early", str(count["stopped"])),
        ("failed", str(count["failed"])),
        ("time of all trials", duration(sum(record.seconds for record in board.trials))),
        ("device hours", f"{sum(record.device_hours for record in board.trials):.3g}"),
    ]


def _evaluation(board: Leaderboard) -> dict[str, Any] | None:
    """Return the winner's figures beside the baselines': heading, columns, rows."""
    found = (board.final or {}).get("metrics") or {}
    figures: Mapping[str, Mapping[str, float]] = found.get("figures") or {}
    if not figures:
        return None
    columns = list(figures)
    rows = [
        (caption, [show(figures[name].get(key)) for name in columns])
        for key, caption in SHOWN.items()
        if figures[columns[0]].get(key) is not None
    ]
    return {
        "warning": _warning(figures),
        "heading": f"{found['n_samples']} held-out samples ({found['split']} split)",
        "columns": columns,
        "rows": rows,
    }


def _warning(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return a warning where the winner does no better than a baseline, else nothing.

    All headline figures are looked at: a network that folds the animal up has a small root-aligned
    error and a pose error far above the mean pose's.
    """
    (winner, ours), *baselines = figures.items()
    name, theirs = next(iter(baselines), ("", {}))
    both = [key for key in HEADLINES if key in ours and key in theirs]
    lost = [key for key in both if not _is_better(key, ours[key], theirs[key])]
    if not lost:
        return ""
    shown = "; ".join(
        f"{SHOWN[key]} {show(ours[key])} against {show(theirs[key])}" for key in lost
    )
    if len(lost) == len(both):
        sentence = f"The {winner} has not learnt the task: the {name} is as good in everything"
    else:
        won = ", ".join(SHOWN[key] for key in both if key not in lost)
        sentence = f"The {winner} beats the {name} in {won}, but not in all"
    return f"{sentence} ({shown}). Train longer or on more samples before trusting this ranking."


def _is_better(key: str, ours: float, theirs: float) -> bool:
    return ours > theirs if key.startswith(HIGHER_IS_BETTER) else ours < theirs


def _pictures(folder: Path, board: Leaderboard) -> list[tuple[str, str]]:
    """Return captions and embedded pictures of the winner's predictions."""
    if board.final is None:
        return []
    run = folder / str(board.final["folder"])
    found = []
    name = (board.final.get("metrics") or {}).get("picture")
    if name and (run / name).is_file():
        text = "Smallest, middle and largest 2D error: image, mesh, joints (true and predicted)"
        found.append((text, _embedded(run / name)))
    overlays = sorted((run / "overlays").glob("*.png"))
    if overlays:
        text = f"Validation samples, {overlays[-1].stem.replace('_', ' ')}"
        found.append((text, _embedded(overlays[-1])))
    return found


def _embedded(path: Path) -> str:
    """Return a picture as text, as JPEG because the page would be many megabytes otherwise."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise DataError(f"{path} is not a picture")
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
