"""The report's part about the winner: figures beside baselines, joints, pictures."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from smil_ray.errors import DataError
from smil_ray.results.evaluate import HIGHER_IS_BETTER, SHOWN
from smil_ray.results.ranking.leaderboard import Leaderboard, RankedConfig, format_value
from smil_ray.results.ranking.sample_errors import SampleErrors, mean_per_joint
from smil_ray.results.report._bars import joints_plot
from smil_ray.results.report._plots import COLOURS

HEADLINES = ("pa_mpjpe_pct_bl", "mpjpe_ra_pct_bl", "pck@0.10_bbox")
"""Figures by which the winner is held against the mean pose."""
JOINT_FIGURE = "mpjpe_ra_pct_bl"
"""What is shown by joint where the ranked metric is not kept by joint."""


def winner_figures(board: Leaderboard) -> dict[str, Any] | None:
    """Return the winner's figures beside the baselines': heading, columns, rows."""
    found = (board.final or {}).get("metrics") or {}
    figures: Mapping[str, Mapping[str, float]] = found.get("figures") or {}
    if not figures:
        return None
    columns = list(figures)
    rows = [
        (caption, [format_value(figures[name].get(key)) for name in columns])
        for key, caption in SHOWN.items()
        if figures[columns[0]].get(key) is not None
    ]
    return {
        "warning": _warning(figures),
        "heading": f"{found['n_samples']} held-out samples ({found['split']} split)",
        "body_chain": found.get("body_chain", ""),
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
        f"{SHOWN[key]} {format_value(ours[key])} against {format_value(theirs[key])}"
        for key in lost
    )
    if len(lost) == len(both):
        sentence = f"The {winner} has not learnt the task: the {name} is as good in everything"
    else:
        won = ", ".join(SHOWN[key] for key in both if key not in lost)
        sentence = f"The {winner} beats the {name} in {won}, but not in all"
    return f"{sentence} ({shown}). Train longer or on more samples before trusting this ranking."


def _is_better(key: str, ours: float, theirs: float) -> bool:
    return ours > theirs if key.startswith(HIGHER_IS_BETTER) else ours < theirs


def winner_pictures(folder: Path, board: Leaderboard) -> list[tuple[str, str]]:
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


def joint_errors(folder: Path, board: Leaderboard) -> tuple[str, str]:
    """Return the errors of the best configurations joint by joint: a caption and a drawing."""
    wanted = board.metric.rpartition("/")[2]
    best: list[tuple[RankedConfig, list[SampleErrors]]] = [
        (config, [SampleErrors.load(folder / record.folder) for record in config.records])
        for config in board.ranked[: len(COLOURS)]
    ]
    known = {name for _, runs in best for run in runs for name in run.per_joint}
    figure = wanted if wanted in known else JOINT_FIGURE
    joints = {
        f"{place}. {config.records[0].name}": found
        for place, (config, runs) in enumerate(best, start=1)
        if (found := mean_per_joint(runs, figure))
    }
    caption = SHOWN.get(figure, figure)
    mode = "max" if figure.startswith(HIGHER_IS_BETTER) else "min"
    return caption, joints_plot(joints, caption, mode)
