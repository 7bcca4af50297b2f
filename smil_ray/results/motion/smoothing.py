"""Smoothing of a sequence of poses: rotations on their manifold, places as seen, one shape.

Each frame becomes the value at its own time of a parabola through its neighbours (local
regression with tricube weights; Savitzky and Golay 1964, Cleveland 1979), which keeps speed and
acceleration of slow movements. Rotations are regressed in the tangent space at the frame's own
rotation (Moakher 2002). The root's place is smoothed as direction and logarithm of depth, so that
it stays where it is seen.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from smil_ray.core import rotations

Smoothing = Literal["none", "weak", "medium", "strong"]
HALF_WIDTHS: dict[str, int] = {"weak": 2, "medium": 4, "strong": 8}
"""How many neighbours on either side a frame is smoothed with."""
_LEAST_DEPTH = 1e-6


def local_weights(
    frames: Int[np.ndarray, " n"], half_width: int
) -> tuple[Int[np.ndarray, "n window"], Float[np.ndarray, "n window"]]:
    """Return which rows each row is made of, and with which weights; the weights sum to 1.

    Args:
        frames: Ascending numbers of frames; where some are missing, neighbours are fewer.
        half_width: How many frames on either side count, in steps of the usual size.
    """
    n = len(frames)
    step = float(np.median(np.diff(frames))) if n > 1 else 1.0
    places = np.arange(n)[:, None] + np.arange(-half_width, half_width + 1)
    inside = (places >= 0) & (places < n)
    places = places.clip(0, n - 1)
    away = (frames[places] - frames[:, None]) / max(step, 1.0)
    near = np.clip(1.0 - (np.abs(away) / (half_width + 1.0)) ** 3, 0.0, 1.0) ** 3
    kernel = np.where(inside, near, 0.0)
    powers = (away / (half_width + 1.0))[..., None] ** np.arange(3)
    weighted = powers * kernel[..., None]
    normal = powers.transpose(0, 2, 1) @ weighted
    weights = (np.linalg.pinv(normal, rcond=1e-9, hermitian=True)[:, :1] @ weighted.mT)[:, 0]
    return places, weights / weights.sum(axis=1, keepdims=True)


def smooth_rotations(
    matrices: Float[Tensor, "n *axes 3 3"],
    places: Int[np.ndarray, "m window"],
    weights: Float[np.ndarray, "m window"],
    rows: Int[np.ndarray, " m"],
) -> Float[Tensor, "m *axes 3 3"]:
    """Return smoothed rotations of some rows.

    Args:
        matrices: Rotations of all frames.
        places: Neighbours of each of `rows`.
        weights: Of the neighbours.
        rows: Which rows are wanted.
    """
    own = matrices[torch.from_numpy(rows)]
    total = torch.zeros(own.shape[:-1], dtype=own.dtype)
    for column in range(places.shape[1]):
        other = matrices[torch.from_numpy(places[:, column])]
        weight = torch.from_numpy(weights[:, column]).to(own.dtype)
        tangent = rotations.matrix_to_axis_angle(own.mT @ other)
        total += tangent * weight.reshape(-1, *[1] * (tangent.ndim - 1))
    return own @ rotations.axis_angle_to_matrix(total)


def smooth_values(
    values: Float[np.ndarray, "n *axes"],
    places: Int[np.ndarray, "m window"],
    weights: Float[np.ndarray, "m window"],
) -> Float[np.ndarray, "m *axes"]:
    """Return smoothed values of the rows that `places` and `weights` are of."""
    return np.einsum("mw,mw...->m...", weights, values[places])


def to_view(
    trans: Float[np.ndarray, "n 3"], fov_deg: Float[np.ndarray, "n 1"]
) -> Float[np.ndarray, "n 4"]:
    """Return places in camera coordinates as seen: x / z, y / z, log z, log tan(fov / 2)."""
    depth = np.maximum(trans[:, 2:], _LEAST_DEPTH)
    half = np.tan(np.radians(fov_deg) / 2.0)
    return np.concatenate([trans[:, :2] / depth, np.log(depth), np.log(half)], axis=1)


def from_view(
    view: Float[np.ndarray, "n 4"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 1"]]:
    """Return places in camera coordinates and fields of view in degrees; undoes `to_view`."""
    depth = np.exp(view[:, 2:3])
    fov_deg = np.degrees(2.0 * np.arctan(np.exp(view[:, 3:])))
    return np.concatenate([view[:, :2] * depth, depth], axis=1), fov_deg


def jitter(joints: Float[np.ndarray, "n n_joints 3"]) -> Float[np.ndarray, " frames"]:
    """Return how far joints are from the middle between the frames before and after.

    The mean over joints of half the second difference, in the unit of the joints, relative to the
    root joint; empty for fewer than three frames.
    """
    rooted = joints - joints[:, :1]
    bend = rooted[1:-1] - 0.5 * (rooted[:-2] + rooted[2:])
    return np.linalg.norm(bend, axis=-1).mean(axis=-1)
