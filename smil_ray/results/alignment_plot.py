"""Predicted against true distances of joints: which part of the animal is placed wrongly, and how.

A joint above the diagonal is predicted too far from the root, one below it too near: folded legs
and wrong sizes show at once, whatever the camera.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from smil_ray.results.run_plots import new_figure, save_figure

ROW_INCHES = 0.14


def write_alignment(
    predicted: Float[np.ndarray, "batch n_joints 3"],
    true: Float[np.ndarray, "batch n_joints 3"],
    valid: Bool[np.ndarray, "batch n_joints"],
    joint_names: Sequence[str],
    path: Path,
) -> Path | None:
    """Write the plot of `draw_alignment`; None where no joint is valid.

    Raises:
        OSError: The file cannot be written.
    """
    figure = draw_alignment(predicted, true, valid, joint_names)
    return None if figure is None else save_figure(figure, path)


def draw_alignment(
    predicted: Float[np.ndarray, "batch n_joints 3"],
    true: Float[np.ndarray, "batch n_joints 3"],
    valid: Bool[np.ndarray, "batch n_joints"],
    joint_names: Sequence[str],
) -> Figure | None:
    """Return distances from the root, predicted against true, and the error of every joint.

    Args:
        predicted: Joints in percent of body length, any frame.
        true: The same joints in the same frame and unit.
        valid: Joints that count; samples without a valid root (joint 0) do not.
        joint_names: In the order of the joints.
    """
    valid = valid & valid[:, :1] & np.isfinite(true).all(axis=-1)
    if not valid[:, 1:].any():
        return None
    rooted = predicted - predicted[:, :1]
    true_rooted = true - true[:, :1]
    far, true_far = np.linalg.norm(rooted, axis=-1), np.linalg.norm(true_rooted, axis=-1)
    error = np.where(valid, np.linalg.norm(rooted - true_rooted, axis=-1), np.nan)
    figure = new_figure(11.0, max(5.0, 1.2 + ROW_INCHES * len(joint_names)))
    figure.set_layout_engine("constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    joints = np.broadcast_to(np.arange(len(joint_names)), valid.shape)
    points = left.scatter(
        true_far[valid], far[valid], c=joints[valid], cmap="turbo", s=14, alpha=0.8
    )
    end = 1.05 * float(max(true_far[valid].max(), far[valid].max()))
    left.plot([0, end], [0, end], color="#868e96", linewidth=1, linestyle="--")
    left.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    left.set_xlabel("true distance from the root [% body length]")
    left.set_ylabel("predicted distance from the root [% body length]")
    left.grid(color="#e9ecef")
    shown = [joint for joint in range(1, len(joint_names)) if valid[:, joint].any()]
    colours = points.cmap(points.norm(shown))
    means = [float(np.nanmean(error[:, joint])) for joint in shown]
    right.barh([joint_names[joint] for joint in shown], means, color=colours)
    right.invert_yaxis()
    right.tick_params(axis="y", labelsize=6)
    right.margins(y=0.005)
    right.set_xlabel("mean error after root alignment [% body length]")
    count = int(valid[:, 0].sum())
    figure.suptitle(f"Joints of {count} validation samples, mean error {np.mean(means):.1f} %")
    return figure
