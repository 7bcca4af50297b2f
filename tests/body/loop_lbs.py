"""Linear blend skinning once more, independently: numpy, one joint and one vertex at a time."""

import numpy as np

from smil_ray.body.model_file.arrays import ModelArrays


def rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula."""
    angle = float(np.sqrt((axis_angle**2).sum()))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = axis_angle / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def pose_one(
    arrays: ModelArrays,
    betas: np.ndarray,
    axis_angle: np.ndarray,
    trans: np.ndarray,
    scales: np.ndarray | None = None,
    offsets: np.ndarray | None = None,
    *,
    static: bool = False,
    propagate: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return joints (J, 3) and vertices (V, 3) of one animal (section 9).

    Args:
        scales: Per-joint factors (J, 3), not logarithms.
        offsets: Per-joint offsets (J, 3), y flipped.
    """
    n_joints = arrays.skeleton.n_joints
    shaped = arrays.v_template.copy()
    for vertex in range(len(shaped)):
        for beta, amount in enumerate(betas):
            shaped[vertex] += amount * arrays.shapedirs[vertex, :, beta]
    rest = arrays.rest_joints
    if not static:
        assert arrays.joint_regressor is not None
        rest = np.zeros((n_joints, 3))
        for joint in range(n_joints):
            for vertex in np.flatnonzero(arrays.joint_regressor[joint]):
                rest[joint] += arrays.joint_regressor[joint, vertex] * shaped[vertex]
    rotations = [rotation_matrix(vector) for vector in axis_angle]
    shaped = shaped + _pose_blend(arrays, rotations)
    chain = _chain(arrays, rest, rotations, scales, offsets, propagate)
    joints = np.array([transform[:3, 3] for transform in chain])
    skinned = np.zeros_like(shaped)
    for vertex, point in enumerate(shaped):
        for joint in np.flatnonzero(arrays.weights[vertex]):
            linear, place = chain[joint][:3, :3], chain[joint][:3, 3]
            moved = linear @ (point - rest[joint]) + place
            skinned[vertex] += arrays.weights[vertex, joint] * moved
    return joints - rest[0] + trans, skinned - rest[0] + trans


def _pose_blend(arrays: ModelArrays, rotations: list[np.ndarray]) -> np.ndarray:
    total = np.zeros_like(arrays.v_template)
    if arrays.posedirs is not None:
        features = np.concatenate([(r - np.eye(3)).ravel() for r in rotations[1:]])
        for index, feature in enumerate(features):
            total += feature * arrays.posedirs[:, :, index]
    return total


def _chain(
    arrays: ModelArrays,
    rest: np.ndarray,
    rotations: list[np.ndarray],
    scales: np.ndarray | None,
    offsets: np.ndarray | None,
    propagate: bool,
) -> list[np.ndarray]:
    chain: list[np.ndarray] = []
    for joint, parent in enumerate(arrays.skeleton.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = rest[joint]
        if parent >= 0:
            local[:3, 3] -= rest[parent]
            if offsets is not None:
                local[:3, 3] += [offsets[joint, 0], -offsets[joint, 1], offsets[joint, 2]]
            if scales is not None:
                local[:3, :3] = local[:3, :3] @ np.diag(scales[joint])
                if not propagate and parent > 0:
                    local[:3, :3] = np.diag(1.0 / scales[parent]) @ local[:3, :3]
        chain.append(local if parent < 0 else chain[parent] @ local)
    return chain
