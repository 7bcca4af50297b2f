"""Clearance: distances that agree with a plain search, touching bones found and parted."""

import numpy as np
import pytest
from numpy.random import default_rng

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.synthetic.animal import capsules_of
from smil_ray.data.synthetic.poses._kinematics import joint_places
from smil_ray.data.synthetic.poses.clearance import Capsules, segment_distance
from smil_ray.data.synthetic.poses.statistics import leg_joints

MODEL = SmilModel.builtin()
REST = MODEL.source.joints_at_rest()
LEGS = leg_joints(MODEL.skeleton)
TRUNK = [name for name in MODEL.skeleton.joint_names if name.startswith("b_")]


@pytest.fixture(scope="module")
def capsules() -> Capsules:
    return capsules_of(MODEL)


def test_segment_distance_is_that_of_a_plain_search() -> None:
    a, b, c, d = default_rng(0).normal(0.0, 1.0, (4, 30, 3))
    c[0], d[0] = a[0] + [0.0, 0.0, 1.0], b[0] + [0.0, 0.0, 1.0]  # Parallel.
    b[1] = a[1]  # A point.
    steps = np.linspace(0.0, 1.0, 201)[:, None, None]
    first, second = a + steps * (b - a), c + steps * (d - c)
    gaps = np.linalg.norm(first[:, None] - second[None], axis=-1).min(axis=(0, 1))
    np.testing.assert_allclose(segment_distance(a, b, c, d), gaps, atol=0.02)


def test_nothing_touches_at_rest_and_neighbours_are_no_pairs(capsules: Capsules) -> None:
    assert not capsules.depths(REST[None] / MODEL.body_length).any()
    ends = {frozenset(pair) for pair in capsules.end[capsules.pairs].tolist()}
    index = MODEL.skeleton.index
    assert frozenset((index["l_1_fe_l"], index["l_1_ti_l"])) not in ends
    assert frozenset((index["l_1_ti_l"], index["b_h"])) in ends
    assert frozenset((index["l_1_ti_l"], index["l_2_ti_l"])) in ends


def test_leg_through_the_body_is_found_at_its_depth_and_cleared(capsules: Capsules) -> None:
    pose = np.zeros((MODEL.skeleton.n_pose, 3))
    pose[MODEL.skeleton.index["l_3_co_l"] - 1] = [0.0, 0.0, 1.2]  # Swung into the abdomen.
    points = joint_places(MODEL.skeleton, REST, pose)[None] / MODEL.body_length
    pairs = capsules.between(LEGS, TRUNK)
    depth = capsules.depths(points)[0]
    assert 0.0 < depth[pairs].max() < 0.2
    cleared = capsules.cleared(pose, REST)
    points = joint_places(MODEL.skeleton, REST, cleared)[None] / MODEL.body_length
    assert capsules.depths(points).max() < 1e-3
    moved = np.linalg.norm(cleared - pose, axis=1) > 0.0
    assert moved.sum() == 1


def test_pose_that_touches_nothing_stays_as_it_is(capsules: Capsules) -> None:
    pose = 0.02 * default_rng(3).standard_normal((MODEL.skeleton.n_pose, 3))
    np.testing.assert_array_equal(capsules.cleared(pose, REST), pose)
