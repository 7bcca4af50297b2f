"""Poses of a data set: taken as they are, varied, matched by name, refused where none are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng
from scipy.spatial.transform import Rotation

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.synthetic.poses._recorded import RecordedPoses
from smil_ray.errors import DataError
from tests.data.synthetic.quadruped import quadruped


@pytest.fixture
def insects(insect_file: Path) -> tuple[Path, np.ndarray]:
    """The file of built-in insects and the poses in it."""
    samples = SmilDataset.from_path(insect_file).samples(range(16))
    return insect_file, np.stack([sample.joint_rot for sample in samples]).astype(np.float64)


def test_no_spread_gives_the_poses_of_the_data(insects: tuple[Path, np.ndarray]) -> None:
    path, poses = insects
    recorded = RecordedPoses.read(path, SmilModel.builtin(), 0.0)
    drawn = np.stack([recorded.draw(default_rng(seed)) for seed in range(40)])
    gap = np.abs(drawn[:, None] - poses[None]).max(axis=(2, 3)).min(axis=1)
    np.testing.assert_array_equal(gap, 0.0)
    assert len(np.unique(drawn[:, 0], axis=0)) > 8
    assert recorded.content_hash == SmilDataset.from_path(path).content_hash


def test_spread_varies_poses_no_farther_than_told(insects: tuple[Path, np.ndarray]) -> None:
    path, poses = insects
    recorded = RecordedPoses.read(path, SmilModel.builtin(), 0.3)
    widest = max(_apart(a, b).max() for a in poses for b in poses)
    seen = set()
    for seed in range(30):
        pose = recorded.draw(default_rng(seed))
        nearest = min(_apart(pose, other).max() for other in poses)
        assert nearest <= 0.3 * widest + 1e-6
        seen.add(nearest > 1e-6)
    assert True in seen


def _apart(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return (Rotation.from_rotvec(one).inv() * Rotation.from_rotvec(two)).magnitude()


def test_joints_are_matched_by_name_and_the_others_rest(
    insects: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, poses = insects
    model = SmilModel.builtin()
    names = list(model.skeleton.joint_names)
    names[5] = "another"
    renamed = replace(model, skeleton=Skeleton(tuple(names), model.skeleton.parents))
    recorded = RecordedPoses.read(path, renamed, 0.0)
    assert not recorded.poses[:, 4].any()
    kept = [j for j in range(54) if j != 4]
    np.testing.assert_array_equal(recorded.poses[:, kept], poses[:, kept])


def test_data_of_another_animal_are_refused(insect_file: Path) -> None:
    with pytest.raises(DataError, match="none of its joints is one of the model 'quadruped'"):
        RecordedPoses.read(insect_file, SmilModel.from_arrays(quadruped()), 0.0)


def test_data_without_rotations_are_refused(real_data: Path) -> None:
    folder = real_data / "data" / "replicant" / "SMIL"
    with pytest.raises(DataError, match="no sample has joint rotations"):
        RecordedPoses.read(folder, SmilModel.builtin(), 0.0)


def test_poses_of_a_real_folder_are_taken_by_another_model(real_data: Path) -> None:
    folder = real_data / "data" / "replicant" / "replicAnt-x-SMIL-TEX"
    recorded = RecordedPoses.read(folder, SmilModel.builtin(), 0.0)
    assert recorded.poses.shape == (5, 54, 3)
    assert np.degrees(np.linalg.norm(recorded.poses, axis=-1)).mean() == pytest.approx(
        39.7, abs=0.1
    )
