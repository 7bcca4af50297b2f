"""Legs: hinges that agree with the skeleton, and feet that arrive where they are sent."""

import numpy as np
import pytest
from numpy.random import default_rng

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.synthetic.poses._kinematics import joint_places
from smil_ray.data.synthetic.poses._legs import HINGES, Legs
from smil_ray.data.synthetic.poses._postures import walking

MODEL = SmilModel.builtin()
REST = MODEL.source.joints_at_rest()


@pytest.fixture(scope="module")
def legs() -> Legs:
    found = Legs.of(MODEL.skeleton, REST)
    assert found is not None
    return found


def test_model_without_six_such_legs_has_none() -> None:
    assert Legs.of(Skeleton(("b_t", "b_h"), (-1, 0)), np.eye(3)[:2]) is None


def test_hinge_angles_put_feet_where_the_skeleton_has_them(legs: Legs) -> None:
    angles = default_rng(1).uniform(legs.low, legs.high)
    pose = np.zeros((MODEL.skeleton.n_joints, 3))
    pose[legs.joints[:, :5]] = legs.rotations(angles)
    places = joint_places(MODEL.skeleton, REST, pose[1:])
    np.testing.assert_allclose(legs.feet(angles), places[legs.joints[:, 5]], atol=1e-12)


def test_positive_angles_swing_forward_lift_and_bend(legs: Legs) -> None:
    def moved(hinge: tuple[str, str]) -> np.ndarray:
        angles = np.zeros((6, len(HINGES)))
        angles[:, HINGES.index(hinge)] = 0.2
        return legs.feet(angles) - legs.feet(np.zeros_like(angles))

    assert (moved(("co", "swing"))[:, 0] > 0.0).all()
    assert (moved(("tr", "lift"))[:, 2] > 0.0).all()
    outward = (moved(("fe", "bend")) * legs.outward).sum(axis=1)
    assert (outward < 0.0).all()


def test_feet_reach_the_ground_of_a_walking_animal(legs: Legs) -> None:
    landmarks = {name: REST[joint] for name, joint in MODEL.skeleton.index.items()}
    missed = []
    for seed in range(40):
        posture = walking(default_rng(seed), legs, landmarks)
        angles = legs.reach(posture.feet, posture.bend)
        assert (angles >= legs.low).all()
        assert (angles <= legs.high).all()
        gap = np.linalg.norm(legs.feet(angles) - posture.feet, axis=1)
        missed.append(gap / legs.length)
    assert np.median(missed) < 0.04


def test_mirrored_angles_give_mirrored_feet(legs: Legs) -> None:
    angles = default_rng(2).uniform(legs.low, legs.high)
    swapped = np.array([1, 0, 3, 2, 5, 4])
    np.testing.assert_array_equal(legs.side[swapped], -legs.side)
    mirrored = legs.feet(angles[swapped])
    np.testing.assert_allclose(mirrored[swapped], legs.feet(angles) * [1, -1, 1], atol=1e-9)
