"""The reports' part about a network: figures beside baselines, joints, pictures."""

from pathlib import Path
from typing import Any

import cv2

from smil_ray.errors import DataError
from smil_ray.results.evaluation.captions import GROUPED, SHOWN, digits, is_higher_better
from smil_ray.results.evaluation.record import MEAN_POSE, Evaluation
from smil_ray.results.pages import data_address
from smil_ray.results.ranking.leaderboard import Leaderboard, RankedConfig
from smil_ray.results.ranking.sample_errors import SampleErrors, mean_per_joint
from smil_ray.results.report._bars import joints_plot
from smil_ray.results.report._plots import COLOURS

HEADLINES = ("pa_mpjpe_pct_bl", "mpjpe_ra_pct_bl", "rot_deg_joint", "pck@0.10_bbox")
"""Figures by which the winner is held against the mean pose."""
JOINT_FIGURE = "mpjpe_ra_pct_bl"
"""What is shown by joint where the ranked metric is not kept by joint."""


def winner_figures(board: Leaderboard) -> dict[str, Any] | None:
    """Return the winner's figures beside the baselines': heading, columns, rows, words."""
    found = (board.final or {}).get("metrics") or {}
    if not found.get("figures"):
        return None
    return evaluation_figures(Evaluation.from_record(found))


def evaluation_figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return a network's figures beside the baselines': heading, columns, rows, words."""
    which = "samples" if evaluation.split == "all" else "held-out samples"
    has_difference = bool(evaluation.differences.get(MEAN_POSE))
    return {
        "warning": _warning(evaluation),
        "verdict": evaluation.verdict(),
        "heading": f"{evaluation.n_samples} {which} ({evaluation.split} split)",
        "notes": evaluation.notes,
        "columns": evaluation.columns,
        "has_difference": has_difference,
        "rows": [_figure_row(evaluation, key, has_difference) for key in evaluation.figures],
        "groups": _group_rows(evaluation),
    }


def _figure_row(evaluation: Evaluation, key: str, has_difference: bool) -> dict[str, Any]:
    cells = [evaluation.cell(name, key) for name in evaluation.columns]
    if has_difference:
        cells.append(evaluation.difference(key))
    return {
        "caption": SHOWN[key],
        "count": evaluation.counts.get(key, ""),
        "cells": cells,
        "gain": evaluation.gain(key),
        "is_worse": not evaluation.is_better(key),
    }


def _group_rows(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return the figures by part of the body: headings and rows of (network, mean pose)."""
    ours = evaluation.per_group.get(evaluation.network, {})
    theirs = evaluation.per_group.get(MEAN_POSE, {})
    shown = [key for key in GROUPED if key in ours]
    if not shown:
        return None
    return {
        "columns": [SHOWN[key] for key in shown],
        "rows": [
            (
                part,
                [
                    (digits(ours[key].get(part)), digits(theirs.get(key, {}).get(part)))
                    for key in shown
                ],
            )
            for part in ours[shown[0]]
        ],
    }


def _warning(evaluation: Evaluation) -> str:
    """Return a warning where the network does no better than the mean pose, else nothing.

    All headline figures are looked at: a network that folds the animal up has a small root-aligned
    error and a pose error far above the mean pose's.
    """
    name = evaluation.network
    ours, theirs = evaluation.metrics[name], evaluation.metrics.get(MEAN_POSE, {})
    both = [key for key in HEADLINES if key in ours and key in theirs]
    lost = [key for key in both if not evaluation.is_better(key)]
    unsure = [key for key in both if key not in lost and not _is_sure(evaluation, key)]
    if not lost and not unsure:
        return ""
    shown = "; ".join(
        f"{SHOWN[key]} {digits(ours[key])} against {digits(theirs[key])}"
        + (", which may be chance" if key in unsure else "")
        for key in both
        if key in lost or key in unsure
    )
    won = [SHOWN[key].partition(" [")[0] for key in both if key not in lost + unsure]
    if len(lost) == len(both):
        sentence = f"The {name} has not learnt the task: the mean pose is as good in everything"
    elif won:
        sentence = (
            f"On these samples the {name} beats the mean pose in {' and '.join(won)}, but not "
            "in all"
        )
    else:
        sentence = f"On these samples the {name} beats the mean pose in nothing for sure"
    return f"{sentence} ({shown}). Train longer or on more samples before trusting it."


def _is_sure(evaluation: Evaluation, key: str) -> bool:
    """Return whether the difference to the mean pose is more than chance, if that is known."""
    found = evaluation.differences.get(MEAN_POSE, {}).get(key)
    return found is None or found[1] > 0.0 or found[2] < 0.0


def winner_pictures(folder: Path, board: Leaderboard) -> list[tuple[str, str]]:
    """Return captions and embedded pictures of the winner's predictions."""
    if board.final is None:
        return []
    run = folder / str(board.final["folder"])
    found = []
    name = (board.final.get("metrics") or {}).get("picture")
    if name and (run / name).is_file():
        text = "Smallest, middle and largest 2D error: image, mesh, joints (true and predicted)"
        found.append((text, embedded(run / name)))
    overlays = sorted((run / "overlays").glob("*.png"))
    if overlays:
        text = f"Validation samples, {overlays[-1].stem.replace('_', ' ')}"
        found.append((text, embedded(overlays[-1])))
    return found


def embedded(path: Path) -> str:
    """Return a picture as text, as JPEG because the page would be many megabytes otherwise."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise DataError(f"{path} is not a picture")
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data_address("image/jpeg", data.tobytes())


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
    mode = "max" if is_higher_better(figure) else "min"
    return caption, joints_plot(joints, caption, mode)
