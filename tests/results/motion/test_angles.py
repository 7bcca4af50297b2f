"""Joint angles of known poses, whichever way the animal is turned; legs by their names."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.skeleton import Skeleton
from smil_ray.results.motion.angles import (
    angular_velocities,
    body_coordinates,
    find_legs,
    joint_angles,
)

SKELETON = Skeleton(
    ("body", "head", "left_hip", "left_knee", "left_foot", "right_hip", "right_foot"),
    (-1, 0, 0, 2, 3, 0, 5),
)
JOINTS = np.array(
    [
        *([0.0, 0, 0], [1.0, 0, 0], [0.0, 0.5, 0], [0.0, 1.5, 0], [1.0, 1.5, 0]),
        *([0.0, -0.5, 0], [-1.0, -1.5, -np.sqrt(2.0)]),
    ]
)


def test_legs_go_from_hip_to_foot() -> None:
    left, right = find_legs(SKELETON, JOINTS)
    assert (left.joints, left.side) == ((2, 3, 4), 1)
    assert (right.joints, right.side) == ((5, 6), -1)
    assert find_legs(Skeleton(("a", "b"), (-1, 0)), JOINTS[:2]) == []


def test_built_in_insect_has_six_legs_that_end_in_claws() -> None:
    model = SmilModel.builtin()
    legs = find_legs(model.skeleton, model.source.joints_at_rest())
    feet = [model.skeleton.joint_names[leg.foot] for leg in legs]
    hips = [model.skeleton.joint_names[leg.hip] for leg in legs]
    sides = [f"l_{n}_{{}}_{s}" for s in "lr" for n in (1, 2, 3)]
    assert feet == [side.format("pt") for side in sides]
    assert hips == [side.format("co") for side in sides]


def test_angles_are_those_that_the_pose_was_made_with() -> None:
    legs = find_legs(SKELETON, JOINTS)
    angles, values = joint_angles(JOINTS[None], SKELETON, legs)
    found = {(a.joint, a.kind): value for a, value in zip(angles, values[0], strict=True)}
    assert found["left_knee", "flexion"] == pytest.approx(90.0)
    assert found["left_hip", "protraction"] == pytest.approx(45.0)
    assert found["left_hip", "levation"] == pytest.approx(0.0)
    assert found["right_hip", "protraction"] == pytest.approx(-45.0)
    assert found["right_hip", "levation"] == pytest.approx(-45.0)
    assert ("body", "flexion") not in found


def test_angles_do_not_depend_on_where_the_camera_is() -> None:
    turns = Rotation.from_rotvec(np.random.default_rng(0).normal(size=(5, 3))).as_matrix()
    seen = JOINTS @ turns.transpose(0, 2, 1) + np.array([1.0, 2.0, 9.0])
    body = body_coordinates(seen, turns, np.eye(3))
    np.testing.assert_allclose(body, np.tile(JOINTS - JOINTS[0], (5, 1, 1)), atol=1e-12)


def test_velocity_is_the_slope_and_unknown_without_time() -> None:
    time = np.array([0.0, 0.1, 0.2, 0.4])
    values = 30.0 * time[:, None]
    np.testing.assert_allclose(angular_velocities(values, time), 30.0)
    assert np.isnan(angular_velocities(values, np.full(4, np.nan))).all()
    assert np.isnan(angular_velocities(values[:1], time[:1])).all()
