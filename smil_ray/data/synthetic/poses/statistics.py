"""How much a set of poses moves, and how often legs stick into the body or into each other.

The same figures for drawn and for real poses, from 3D joints alone (angles where they are known),
so that synthetic data can be held against real data without rendering or a body model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from smil_ray.core.skeleton import Skeleton, chain_length
from smil_ray.data.synthetic.poses.clearance import Capsules

_ROUNDS = 10


@dataclass(frozen=True)
class PoseStatistics:
    """What `pose_statistics` found.

    Attributes:
        samples: Number of poses.
        pa_mpjpe_pct_bl: Distance of the joints from those of the mean pose after similarity
            Procrustes, percent of body length, averaged over joints and poses: the error of a
            network that always shows the mean pose.
        pa_by_joint: The same joint by joint.
        angle_deg: Mean angle of a joint from rest; None where rotations are not known.
        angle_by_group: The same for joints whose names differ in numbers and side only.
        legs_in_body: Share of poses in which a leg sticks into the body; None for other animals.
        legs_in_legs: Share of poses in which two legs stick into each other.
    """

    samples: int
    pa_mpjpe_pct_bl: float
    pa_by_joint: Mapping[str, float]
    angle_deg: float | None
    angle_by_group: Mapping[str, float]
    legs_in_body: float | None
    legs_in_legs: float | None


def pose_statistics(
    skeleton: Skeleton,
    joints: Float[np.ndarray, "n n_joints 3"],
    joint_rot: Float[np.ndarray, "n n_pose 3"] | None = None,
    capsules: Capsules | None = None,
) -> PoseStatistics:
    """Return the statistics of poses.

    Args:
        skeleton: Names and tree of the joints.
        joints: Places in any frame and unit; each animal is measured by its own body length.
        joint_rot: Axis-angle rotations, root excluded.
        capsules: Bones that legs are measured with, of a model with the same joints.
    """
    points_bl = joints / chain_length(joints, skeleton.body_chain)[:, None, None]
    off = 100.0 * distance_from_mean_pose(points_bl)
    in_body = in_legs = None
    legs = leg_joints(skeleton)
    if capsules is not None and legs:
        body = [name for name in skeleton.joint_names if name.startswith("b_")]
        touching = capsules.depths(points_bl) > 0.0
        in_body = float(touching[:, capsules.between(legs, body)].any(axis=1).mean())
        in_legs = float(touching[:, capsules.between(legs, legs)].any(axis=1).mean())
    angles = None if joint_rot is None else np.degrees(np.linalg.norm(joint_rot, axis=-1))
    return PoseStatistics(
        samples=len(joints),
        pa_mpjpe_pct_bl=float(off.mean()),
        pa_by_joint=dict(zip(skeleton.joint_names, off.mean(axis=0).tolist(), strict=True)),
        angle_deg=None if angles is None else float(angles.mean()),
        angle_by_group={} if angles is None else _by_group(skeleton, angles),
        legs_in_body=in_body,
        legs_in_legs=in_legs,
    )


def leg_joints(skeleton: Skeleton) -> list[str]:
    """Return the joints at the lower ends of femur, tibia and tarsus of replicAnt's insects."""
    return [n for n in skeleton.joint_names if re.fullmatch(r"l_\d_(fe|ti|ta|pt)_[lr]", n)]


def distance_from_mean_pose(
    points: Float[np.ndarray, "n n_joints 3"],
) -> Float[np.ndarray, "n n_joints"]:
    """Return the distances from the mean shape of the set, aligned to each by a similarity.

    The mean is that of generalised Procrustes analysis (Gower 1975) at the set's mean size.
    """
    size = np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=(1, 2)).mean()
    mean = points[0]
    for _ in range(_ROUNDS):
        mean = aligned(points, np.broadcast_to(mean, points.shape)).mean(axis=0)
        mean = mean - mean.mean(axis=0)
        mean = mean * (size / np.linalg.norm(mean))
    fitted = aligned(np.broadcast_to(mean, points.shape), points)
    return np.linalg.norm(fitted - points, axis=-1)


def aligned(
    points: Float[np.ndarray, "n n_joints 3"], target: Float[np.ndarray, "n n_joints 3"]
) -> Float[np.ndarray, "n n_joints 3"]:
    """Return `points` after the similarities that bring them closest to `target` (Umeyama)."""
    centre = target.mean(axis=1, keepdims=True)
    here, there = points - points.mean(axis=1, keepdims=True), target - centre
    u, singular, vt = np.linalg.svd(np.einsum("nji,njk->nik", here, there))
    singular[:, 2] *= np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    scale = singular.sum(axis=1) / np.square(here).sum(axis=(1, 2))
    return scale[:, None, None] * (here @ (u @ vt)) + centre


def _by_group(skeleton: Skeleton, angles: np.ndarray) -> dict[str, float]:
    groups: dict[str, list[int]] = {}
    for column, name in enumerate(skeleton.joint_names[1:]):
        stem = re.sub(r"_[lr]$", "", name)
        groups.setdefault(re.sub(r"_?\d+", "", stem), []).append(column)
    return {group: float(angles[:, columns].mean()) for group, columns in groups.items()}
