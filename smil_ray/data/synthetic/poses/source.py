"""Where the poses of a synthetic data set come from, as one object that draws them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.synthetic.poses._freehand import FreehandRig
from smil_ray.data.synthetic.poses._insect import InsectRig
from smil_ray.data.synthetic.poses._limits import default_limits, no_limits, read_joint_limits
from smil_ray.data.synthetic.poses._recorded import RecordedPoses
from smil_ray.data.synthetic.poses.clearance import Capsules


@runtime_checkable
class PoseKind(Protocol):
    """Something that draws poses: postures of insects, freehand, or from a data set.

    Attributes:
        content_hash: Of the data that it draws from; empty where there are none.
    """

    @property
    def content_hash(self) -> str:
        """Hash of the data that poses are drawn from."""
        ...

    def draw(self, rng: Generator) -> Float[np.ndarray, "n_pose 3"]:
        """Return one pose as axis-angle rotations, root excluded."""
        ...


@dataclass(frozen=True)
class PoseSource:
    """Draws poses, keeps them inside limits and the limbs out of each other.

    Attributes:
        kind: What the poses are like.
        limits: Least and greatest axis-angle component; None where the data's poses stand.
        capsules: The model's bones; None where poses are taken as they are.
        rest_joints: Model units.
        pose_range: Factor of all angles.
    """

    kind: PoseKind
    skeleton: Skeleton
    limits: Float[np.ndarray, "n_joints 3 2"] | None
    capsules: Capsules | None
    rest_joints: Float[np.ndarray, "n_joints 3"]
    pose_range: float = 1.0

    @property
    def content_hash(self) -> str:
        """SHA-256 of the data set and of the limits that poses depend on."""
        digest = hashlib.sha256(str(self.kind.content_hash).encode())
        if self.limits is not None:
            digest.update(np.ascontiguousarray(self.limits, dtype="<f8").tobytes())
        return digest.hexdigest()

    def draw(self, rng: Generator) -> Float[np.ndarray, "n_pose 3"]:
        """Return a random pose as axis-angle rotations, root excluded."""
        pose = self.pose_range * self.kind.draw(rng)
        if self.limits is not None:
            pose = np.clip(pose, self.limits[1:, :, 0], self.limits[1:, :, 1])
        if self.capsules is not None:
            pose = self.capsules.cleared(pose, self.rest_joints)
        return pose


def open_pose_source(
    model: SmilModel,
    capsules: Capsules,
    *,
    pose_range: float = 1.0,
    joint_limits: str | None = None,
    pose_from: str | None = None,
    pose_spread: float = 0.0,
) -> PoseSource:
    """Return the poses of a model: of a data set where one is given, else drawn.

    An insect with replicAnt's joints takes postures; any other model moves its joints within
    limits: those of the file, else the model's own, else cautious ones.

    Args:
        model: The body model.
        capsules: Its bones.
        pose_range: Factor of all angles.
        joint_limits: YAML file with limits by joint name.
        pose_from: HDF5 file or replicAnt folder whose poses are drawn.
        pose_spread: How far drawn poses may lie from those of `pose_from`.

    Raises:
        ConfigError: The limits cannot be read or name unknown joints.
        DataError: The data set cannot be read or has no poses.
    """
    skeleton, rest = model.skeleton, model.source.joints_at_rest()
    rig = InsectRig.of(skeleton, rest)
    limits = model.source.joint_limits
    if limits is None:
        # The hinges of an insect's legs have limits of their own.
        limits = default_limits(skeleton, rest) if rig is None else no_limits(skeleton)
    if joint_limits is not None:
        limits = read_joint_limits(Path(joint_limits), skeleton, limits)
    if pose_from is not None:
        kind = RecordedPoses.read(Path(pose_from), model, pose_spread)
        given = limits if joint_limits is not None else None
        return PoseSource(kind, skeleton, given, None, rest, pose_range)
    kind = rig or FreehandRig.of(skeleton, rest, limits)
    return PoseSource(kind, skeleton, limits, capsules, rest, pose_range)
