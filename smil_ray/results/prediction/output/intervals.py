"""Intervals of joints in pixels of whole pictures, and how uncertain an animal is."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from smil_ray.results.prediction.parts import Rows
from smil_ray.results.uncertainty.conformal import JointIntervals, spread_of

Intervals = Callable[[Rows], tuple[np.ndarray, np.ndarray]]
"""Rows -> radii (n, J) of the intervals of each joint: pixels, percent of body length."""


def intervals_of_rows(found: JointIntervals) -> Intervals:
    """Return a function that gives the intervals of rows."""

    def radii(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        of_square, of_length = found.radii(_spread(rows), len(rows["frame"]))
        return of_square * rows["window"][:, 2:], of_length

    return radii


def uncertainty_of_rows(rows: Rows) -> Float[np.ndarray, " n"] | None:
    """Return how uncertain each animal is, the mean of its joints as a share of the square.

    None for heads that say nothing of their error.
    """
    spread = _spread(rows)
    return None if spread is None else np.nanmean(spread, axis=1)


def _spread(rows: Rows) -> Float[np.ndarray, "n n_joints"] | None:
    """Return how unsure the network is, shares of the side of the square that it saw."""
    if "keypoint_scale_px" not in rows:
        return None
    names = ("keypoint_scale_px", "keypoints_px", "joints_2d_px")
    return spread_of(*(rows[name].astype(np.float64) for name in names)) / rows["window"][:, 2:]
