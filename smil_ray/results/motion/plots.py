"""Plots of motion: angles of the legs over time, and the gait diagram."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from smil_ray.results.motion.angles import Angle

_SWING, _STANCE = "#d9d9d9", "#1b1b1b"
_MOST_LINES = 12


def plot_gait(
    stance: Bool[np.ndarray, "n n_feet"],
    time: Float[np.ndarray, " n"],
    feet: Sequence[str],
    unit: str,
    path: Path,
) -> Path:
    """Draw the gait diagram: a row for each foot, black in stance, grey in swing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.5 + 0.35 * len(feet)), layout="constrained")
    axes = figure.subplots()
    step = float(np.median(np.diff(time))) if len(time) > 1 else 1.0
    for row in range(len(feet)):
        changes = np.flatnonzero(np.diff(stance[:, row])) + 1
        starts = np.concatenate([[0], changes])
        ends = np.concatenate([changes, [len(time)]])
        for start, end in zip(starts, ends, strict=True):
            color = _STANCE if stance[start, row] else _SWING
            span = (float(time[start]), float(time[end - 1] - time[start]) + step)
            axes.broken_barh([span], (row - 0.4, 0.8), facecolors=color)
    axes.set_yticks(range(len(feet)), labels=list(feet))
    axes.invert_yaxis()
    axes.set_xlabel(f"time [{unit}]; black: stance, grey: swing")
    figure.savefig(path, dpi=100)
    return path


def plot_angles(
    angles: Sequence[Angle],
    values_deg: Float[np.ndarray, "n n_angles"],
    time: Float[np.ndarray, " n"],
    unit: str,
    path: Path,
) -> Path:
    """Draw the angles of legs over time, a panel for each kind; those that move most if many."""
    from matplotlib.figure import Figure

    kinds = [k for k in ("protraction", "levation", "flexion") if any(a.kind == k for a in angles)]
    figure = Figure(figsize=(9, 2.6 * len(kinds)), layout="constrained")
    panels = figure.subplots(len(kinds), 1, squeeze=False)[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        columns = [number for number, angle in enumerate(angles) if angle.kind == kind]
        columns.sort(key=lambda number: -float(np.ptp(values_deg[:, number])))
        for number in sorted(columns[:_MOST_LINES]):
            axes.plot(time, values_deg[:, number], linewidth=1, label=angles[number].joint)
        axes.set_ylabel(f"{kind} [deg]")
        axes.legend(fontsize="x-small", ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if len(panels):
        panels[-1].set_xlabel(f"time [{unit}]")
    figure.savefig(path, dpi=100)
    return path
