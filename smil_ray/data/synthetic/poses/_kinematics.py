"""Joint places of a pose in plain numpy: quick for one pose at a time, as drawing needs it.

`body.SmilModel` is the reference; a test holds both together.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from smil_ray.core.skeleton import Skeleton


def rotation_matrices(axis_angle: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3 3"]:
    """Return the matrices of rotation vectors in radians."""
    flat = Rotation.from_rotvec(axis_angle.reshape(-1, 3)).as_matrix()
    return flat.reshape(*axis_angle.shape, 3)


def joint_places(
    skeleton: Skeleton,
    rest_joints: Float[np.ndarray, "n_joints 3"],
    joint_rot: Float[np.ndarray, "*batch n_pose 3"],
) -> Float[np.ndarray, "*batch n_joints 3"]:
    """Return the joints of poses (axis-angle, root excluded), the root unturned and in its place.

    Model frame and units; no bone scales or offsets.
    """
    total = np.empty((*joint_rot.shape[:-2], skeleton.n_joints, 3, 3))
    total[..., 0, :, :] = np.eye(3)
    local = rotation_matrices(joint_rot)
    places = np.empty(total.shape[:-1])
    places[..., 0, :] = rest_joints[0]
    offsets = (rest_joints - rest_joints[np.array(skeleton.parents)])[..., None]
    for joints, parents in _levels(skeleton):
        above = total[..., parents, :, :]
        total[..., joints, :, :] = above @ local[..., joints - 1, :, :]
        places[..., joints, :] = places[..., parents, :] + (above @ offsets[joints])[..., 0]
    return places


@lru_cache(maxsize=16)
def _levels(skeleton: Skeleton) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Joints of each level below the root, and their parents."""
    parents = np.array(skeleton.parents)
    return tuple((np.array(level), parents[list(level)]) for level in skeleton.levels[1:])
