"""Poses of any animal: inside limits, limbs in concert, left and right alike."""

import numpy as np
import pytest
from numpy.random import default_rng

from smil_ray.data.synthetic.poses._freehand import FreehandRig
from smil_ray.data.synthetic.poses._limits import default_limits
from smil_ray.data.synthetic.poses.sides import mirror_partners
from tests.data.synthetic.quadruped import quadruped

ANIMAL = quadruped()
LIMITS = default_limits(ANIMAL.skeleton, ANIMAL.rest_joints)


@pytest.fixture(scope="module")
def poses() -> np.ndarray:
    rig = FreehandRig.of(ANIMAL.skeleton, ANIMAL.rest_joints, LIMITS)
    return np.stack([rig.draw(default_rng(seed)) for seed in range(300)])


def test_poses_stay_inside_limits_and_use_them(poses: np.ndarray) -> None:
    low, high = LIMITS[1:, :, 0], LIMITS[1:, :, 1]
    assert (poses >= low).all()
    assert (poses <= high).all()
    assert (np.ptp(poses, axis=0) > 1.2 * high).all()


def test_left_and_right_swing_together_or_against_each_other(poses: np.ndarray) -> None:
    index = ANIMAL.skeleton.index
    left, right = (poses[:, index[f"fore_thigh_{side}"] - 1, 1] for side in ("left", "right"))
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.2
    assert np.corrcoef(np.abs(left), np.abs(right))[0, 1] > 0.15
    np.testing.assert_allclose(left.std(), right.std(), rtol=0.15)


def test_joints_along_a_limb_move_alike(poses: np.ndarray) -> None:
    index = ANIMAL.skeleton.index
    tail, tip = (poses[:, index[name] - 1, 2] for name in ("tail", "tail_tip"))
    assert np.corrcoef(tail, tip)[0, 1] > 0.3


@pytest.mark.parametrize(("along_z", "lateral"), [(False, 1), (True, 0)])
def test_sides_are_found_from_the_rest_pose(along_z: bool, lateral: int) -> None:
    animal = quadruped(along_z=along_z)
    partner, axis = mirror_partners(animal.skeleton, animal.rest_joints)
    assert axis == lateral
    names = animal.skeleton.joint_names
    for joint, name in enumerate(names):
        other = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert names[partner[joint]] == other
