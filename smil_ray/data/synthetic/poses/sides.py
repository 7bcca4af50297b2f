"""Which joints of an animal are left and right of each other, from its rest pose."""

import numpy as np
from jaxtyping import Float, Int

from smil_ray.core.skeleton import Skeleton

_PAIRED = 0.05
"""Share of the skeleton's extent by which the mirror image of a joint may miss its partner."""


def mirror_partners(
    skeleton: Skeleton, rest_joints: Float[np.ndarray, "n_joints 3"]
) -> tuple[Int[np.ndarray, " n_joints"], int]:
    """Return each joint's partner on the other side, and the axis from side to side.

    Sides are found from the rest pose: of the three axes the one whose mirror image fits best. A
    joint without a partner there is its own.
    """
    extent = float(np.ptp(rest_joints, axis=0).max()) or 1.0
    found = [_paired(skeleton, rest_joints, axis, extent) for axis in range(3)]
    misses = [miss + (0.0 if axis == 1 else 1e-9) for axis, (_, miss) in enumerate(found)]
    best = int(np.argmin(misses))
    return found[best][0], best


def standing_axes(
    skeleton: Skeleton, rest_joints: Float[np.ndarray, "n_joints 3"]
) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from the model's axes to forward, left, up.

    SMIL and SMAL are modelled so; a model whose sides lie along x is taken as SMPL's, which stands
    along y and looks along z.
    """
    _, lateral = mirror_partners(skeleton, rest_joints)
    return np.eye(3)[[2, 0, 1]] if lateral == 0 else np.eye(3)


def _paired(
    skeleton: Skeleton, rest_joints: np.ndarray, axis: int, extent: float
) -> tuple[np.ndarray, float]:
    """Partners under the mirror across `axis` through the root, and how badly joints fit."""
    signs = np.ones(3)
    signs[axis] = -1.0
    places = rest_joints - rest_joints[0]
    gap = np.linalg.norm((places * signs)[:, None] - places[None], axis=-1)
    depth = np.zeros(skeleton.n_joints)
    for level, joints in enumerate(skeleton.levels):
        depth[list(joints)] = level
    gap = np.where(depth[:, None] == depth[None], gap, np.inf)
    nearest = gap.argmin(axis=1)
    miss = np.minimum(gap.min(axis=1), extent).mean()
    mutual = nearest[nearest] == np.arange(len(nearest))
    close = gap.min(axis=1) < _PAIRED * extent
    spread = np.abs(places[:, axis]).mean()
    partner = np.where(mutual & close, nearest, np.arange(len(nearest)))
    # An animal without extent along an axis is its own mirror image there: that is no side.
    return partner, float(miss if spread > 0.02 * extent else extent)
