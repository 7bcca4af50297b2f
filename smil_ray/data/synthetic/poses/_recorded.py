"""Poses of a data set, and new ones between and around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Sample
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import DataError

MOST_POSES = 5000
"""So many poses of a larger data set are taken, evenly spaced."""
_READ_AT_ONCE = 64


@dataclass(frozen=True)
class RecordedPoses:
    """Poses to draw from.

    Attributes:
        poses: Axis-angle rotations in the order of the model's joints, root excluded; joints that
            the data lack stay at rest.
        spread: 0 gives the poses themselves. Otherwise each joint goes up to this share of the
            way towards, or away from, its rotation in another pose.
        content_hash: Of the data set.
    """

    poses: Float[np.ndarray, "n n_pose 3"]
    spread: float
    content_hash: str

    @classmethod
    def read(cls, path: Path, model: SmilModel, spread: float) -> "RecordedPoses":
        """Return the poses of an HDF5 file or a replicAnt folder, matched by joint name.

        Raises:
            DataError: The data cannot be read, hold no rotations, or share no joint's name.
        """
        is_folder = Path(path).is_dir()
        data = SmilDataset.from_path(path, model=model if is_folder else None, input_size=32)
        shared = [name for name in model.skeleton.joint_names[1:] if name in data.skeleton.index]
        if not shared:
            raise DataError(
                f"{path}: none of its joints is one of the model {model.name!r}",
                expected=f"names such as {', '.join(model.skeleton.joint_names[1:4])}",
                found=", ".join(data.joint_names[1:4]),
                remedy="choose a data set of the same kind of animal",
            )
        found = _rotations(data)
        if not len(found):
            raise DataError(
                f"{path}: no sample has joint rotations",
                expected="the label joint_rot",
                found=f"{len(data)} samples without",
                remedy="choose a data set with rotations, or leave --pose-from out",
            )
        poses = np.zeros((len(found), model.skeleton.n_pose, 3))
        ours = [model.skeleton.index[name] - 1 for name in shared]
        theirs = [data.skeleton.index[name] - 1 for name in shared]
        poses[:, ours] = found[:, theirs]
        return cls(poses, spread, data.content_hash)

    def draw(self, rng: Generator) -> Float[np.ndarray, "n_pose 3"]:
        """Return a pose of the data, varied by `spread` along the way to another one."""
        first, second = rng.integers(len(self.poses), size=2)
        pose = self.poses[first]
        if self.spread == 0.0:
            return pose
        here = Rotation.from_rotvec(pose)
        way = (here.inv() * Rotation.from_rotvec(self.poses[second])).as_rotvec()
        share = self.spread * rng.uniform(-1.0, 1.0)
        return (here * Rotation.from_rotvec(share * way)).as_rotvec()


def _rotations(data: SmilDataset) -> np.ndarray:
    """Axis-angle rotations (n, n_pose, 3) of the samples that have them."""
    step = max(-(-len(data) // MOST_POSES), 1)
    wanted = list(range(0, len(data), step))
    found: list[np.ndarray] = []
    for at in range(0, len(wanted), _READ_AT_ONCE):
        found.extend(_with_rotations(data.samples(wanted[at : at + _READ_AT_ONCE])))
    skeleton: Skeleton = data.skeleton
    return np.stack(found).astype(np.float64) if found else np.zeros((0, skeleton.n_pose, 3))


def _with_rotations(samples: Sequence[Sample]) -> list[np.ndarray]:
    return [sample.joint_rot for sample in samples if "joint_rot" in sample.present]
