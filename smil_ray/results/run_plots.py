"""Plots of one training run from its metrics: losses, validation, learning rate, gradients.

They are drawn from metrics.jsonl alone, so that a run can be drawn while it trains, after it was
resumed, and again later.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from smil_ray.config import Config

Row = Mapping[str, Any]
"""A line of metrics.jsonl: step, epoch, time and metrics."""

COLUMNS = 4
CELL_INCHES, TITLE_INCHES = (3.3, 2.4), 0.35
MARGIN_INCHES = (0.3, 0.1, 0.45, 0.55)
MOST_POINTS = 2000
"""Longer curves are drawn as means of so many groups, and still show their range."""
TRAIN_COLOUR, VAL_COLOUR, STAGE_COLOUR = "#1971c2", "#e8590c", "#868e96"
FIGURES = {
    "pose_score": "pose score (1 = mean pose)",
    "mpjpe_ra_pct_bl": "root-aligned MPJPE [% body length]",
    "pa_mpjpe_pct_bl": "PA-MPJPE [% body length]",
    "mpjpe_pct_bl": "MPJPE [% body length]",
    "kp2d_px_input": "2D error [px of the input]",
    "pck@0.05_bbox": "PCK@0.05 of the box",
    "pck@0.10_bbox": "PCK@0.10 of the box",
    "pck_auc_bbox": "PCK, area up to 0.2 of the box",
    "rot_deg_global": "root rotation error [deg]",
    "rot_deg_joint": "joint rotation error [deg]",
    "trans_pct_bl": "root position error [% body length]",
    "fov_deg": "field of view error [deg]",
    "betas_mae": "mean |beta error|",
}
"""Validation figures that are drawn, and their captions."""


def write_run_plots(rows: Sequence[Row], config: Config, folder: Path) -> list[Path]:
    """Write losses.png, validation.png and optimisation.png of a run; return what was written.

    A plot that nothing is known for yet is left out.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "losses.png": draw_losses(rows, config),
        "validation.png": draw_validation(rows, config),
        "optimisation.png": draw_optimisation(rows, config),
    }
    return [
        save_figure(figure, folder / name) for name, figure in drawn.items() if figure is not None
    ]


def draw_losses(rows: Sequence[Row], config: Config) -> Figure | None:
    """Return each loss term by epoch, not weighted, training and validation, stages marked."""
    names = sorted(
        {
            key.partition("loss/")[2]
            for row in rows
            for key, value in row["metrics"].items()
            # Terms of what is constant in the run's reference frame are always 0.
            if key.startswith(("train/loss/", "val/loss/")) and value != 0.0
        },
        key=lambda name: (name != "total", name),
    )
    if not names:
        return None
    figure, cells = _grid(len(names))
    for axes, name in zip(cells, names, strict=True):
        axes.set_title("total (weighted)" if name == "total" else name, fontsize=9)
        values = [
            *_draw_steps(axes, curve(rows, f"train/loss/{name}"), TRAIN_COLOUR, "training"),
            *_draw_epochs(axes, curve(rows, f"val/loss/{name}"), VAL_COLOUR, "validation"),
        ]
        if values and min(values) > 0 and max(values) / min(values) > 20:
            axes.set_yscale("log")
        _mark_stages(axes, {stage.epoch for stage in config.loss.stages})
        axes.set_xlabel("epoch", fontsize=8)
    cells[0].legend(fontsize=7)
    return _titled(figure, "Loss terms (dashed: curriculum stages)")


def draw_validation(rows: Sequence[Row], config: Config) -> Figure | None:
    """Return the validation metrics by epoch; the best epoch of the selection metric is marked."""
    selected = config.train.select_metric
    names = [f"val/{name}" for name in FIGURES]
    names += [] if selected in names else [selected]
    curves = {name: curve(rows, name) for name in names}
    curves = {name: found for name, found in curves.items() if len(found)}
    if not curves:
        return None
    figure, cells = _grid(len(curves))
    for axes, (name, found) in zip(cells, curves.items(), strict=True):
        title = FIGURES.get(name.removeprefix("val/"), name)
        axes.set_title(title, fontsize=9, fontweight="bold" if name == selected else "normal")
        _draw_epochs(axes, found, VAL_COLOUR, "validation")
        if name == selected and np.isfinite(found[:, 1]).any():
            choose = np.nanargmin if config.train.select_mode == "min" else np.nanargmax
            epoch, value = found[choose(found[:, 1])]
            label = f"best: {value:.4g}, epoch {epoch:g}"
            axes.plot(epoch, value, "*", color="#c92a2a", markersize=11, label=label)
            axes.legend(fontsize=7)
        _mark_stages(axes, {stage.epoch for stage in config.loss.stages})
        axes.set_xlabel("epoch", fontsize=8)
    return _titled(figure, "Validation (dashed: curriculum stages)")


def draw_optimisation(rows: Sequence[Row], config: Config) -> Figure | None:
    """Return learning rate, gradient norm before clipping, speed and data wait by epoch."""
    rate, norm = curve(rows, "train/lr"), curve(rows, "train/grad_norm")
    if not len(rate):
        return None
    figure, cells = _grid(4, columns=2)
    cells[0].set_title("learning rate", fontsize=9)
    _draw_steps(cells[0], rate, TRAIN_COLOUR, "learning rate")
    _mark_stages(cells[0], {stage.epoch for stage in config.optim.stages})
    cells[1].set_title("gradient norm before clipping", fontsize=9)
    values = _draw_steps(cells[1], norm, TRAIN_COLOUR, "gradient norm")
    if values and min(values) > 0:
        cells[1].set_yscale("log")
    if config.optim.clip_norm is not None:
        cells[1].axhline(config.optim.clip_norm, color="#c92a2a", linewidth=1, label="clipped to")
    cells[1].legend(fontsize=7)
    _mark_stages(cells[1], {stage.epoch for stage in config.loss.stages})
    cells[2].set_title("training samples per second", fontsize=9)
    _draw_epochs(cells[2], curve(rows, "train/epoch/samples_per_s"), TRAIN_COLOUR, "speed")
    cells[3].set_title("share of the time waiting for data", fontsize=9)
    _draw_epochs(cells[3], curve(rows, "train/epoch/data_wait_share"), TRAIN_COLOUR, "wait")
    for axes in cells:
        axes.set_xlabel("epoch", fontsize=8)
        axes.set_ylim(bottom=0.0 if axes.get_yscale() == "linear" else None)
    return _titled(figure, "Optimisation (dashed: stages)")


def curve(rows: Sequence[Row], name: str) -> Float[np.ndarray, "n 2"]:
    """Return (epoch, value) of a metric by epoch; what is not a number is NaN."""
    found = [
        (row["epoch"], math.nan if row["metrics"][name] is None else row["metrics"][name])
        for row in rows
        if name in row["metrics"]
    ]
    values = np.array(found, dtype=float).reshape(-1, 2)
    return values[np.argsort(values[:, 0], kind="stable")]


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG so that readers see the old or the new one, never half."""
    partial = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(partial, format="png", dpi=110)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches that needs no display and no global state."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _grid(count: int, columns: int = COLUMNS) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = -(-count // columns)
    width, height = columns * CELL_INCHES[0], rows * CELL_INCHES[1] + TITLE_INCHES
    figure = new_figure(width, height)
    # Places by hand: matplotlib's automatic layouts draw everything twice.
    top, right, bottom, left = MARGIN_INCHES
    size = (CELL_INCHES[0] - left - right) / width, (CELL_INCHES[1] - top - bottom) / height
    cells = []
    for number in range(count):
        row, column = divmod(number, columns)
        x = (column * CELL_INCHES[0] + left) / width
        y = ((rows - 1 - row) * CELL_INCHES[1] + bottom) / height
        cells.append(figure.add_axes((x, y, *size)))
        cells[-1].grid(color="#e9ecef")
        cells[-1].tick_params(labelsize=7)
    return figure, cells


def _draw_steps(
    axes: Axes, values: Float[np.ndarray, "n 2"], colour: str, label: str
) -> list[float]:
    """Draw a value of every step; return the finite values."""
    groups = np.array_split(values, MOST_POINTS) if len(values) > MOST_POINTS else None
    if groups is not None:
        low, high = ([float(f(g[:, 1])) for g in groups] for f in (np.min, np.max))
        values = np.array([group.mean(axis=0) for group in groups])
        axes.fill_between(values[:, 0], low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(values[:, 0], values[:, 1], color=colour, linewidth=0.9, label=label)
    return values[np.isfinite(values[:, 1]), 1].tolist()


def _draw_epochs(
    axes: Axes, values: Float[np.ndarray, "n 2"], colour: str, label: str
) -> list[float]:
    """Draw a value of every epoch; return the finite values."""
    marker = "o" if len(values) <= 60 else ""
    axes.plot(*values.T, marker, ls="-", color=colour, linewidth=1.4, markersize=3, label=label)
    return values[np.isfinite(values[:, 1]), 1].tolist()


def _mark_stages(axes: Axes, epochs: set[int]) -> None:
    """Draw a dashed line at each stage that lies within the curve."""
    last = axes.get_xlim()[1]
    for epoch in sorted(epochs):
        if 0 < epoch <= last:
            axes.axvline(epoch, color=STAGE_COLOUR, linestyle="--", linewidth=1)


def _titled(figure: Figure, title: str) -> Figure:
    figure.suptitle(title, fontsize=11, y=1.0 - 0.1 / figure.get_figheight(), va="top")
    return figure
