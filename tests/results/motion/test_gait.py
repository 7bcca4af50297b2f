"""Stance and swing from true parameters of a known walk, and from feet that hardly move."""

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.synthetic.walk import Walk, WalkOptions
from smil_ray.results.motion.angles import body_coordinates
from smil_ray.results.motion.gait import find_stance, find_steps


@pytest.mark.parametrize(("duty", "cycle"), [(0.6, 30), (0.75, 24), (0.5, 16)])
def test_stance_is_what_the_walk_was_made_from(duty: float, cycle: int) -> None:
    options = WalkOptions(frames=90, frames_a_cycle=cycle, duty_factor=duty)
    walk, model = Walk(options), SmilModel.builtin()
    params = walk.params()
    joints = model.pose(params).joints.numpy()
    roots = params.rotation_matrices()[:, 0].numpy()
    feet = [model.skeleton.index[name] for name in walk.feet]
    forward = body_coordinates(joints, roots, np.eye(3))[:, feet, 0] / model.body_length
    found = find_stance(forward.astype(np.float64), np.arange(90))
    assert (found == walk.stance()).mean() >= 0.9
    steps = find_steps(found, forward)
    factors = [step.duty_factor for step in steps if step.duty_factor is not None]
    np.testing.assert_allclose(factors, duty, atol=0.12)
    assert min(step.stride for step in steps) > 0.05


def test_animal_that_stands_with_trembling_feet_has_no_swing() -> None:
    forward = 0.004 * np.random.default_rng(0).normal(size=(200, 6))
    assert find_stance(forward, np.arange(200)).all()
    assert find_stance(forward[:2], np.arange(2)).all()


def test_steps_know_their_beginning_and_end() -> None:
    stance = np.ones((20, 1), dtype=bool)
    stance[[0, 1, 6, 7, 8, 14, 15], 0] = False
    forward = np.arange(20.0)[:, None] / 100.0
    first, second = find_steps(stance, forward)
    assert (first.lift_off, first.touch_down, first.next_lift_off) == (6, 9, 14)
    assert first.duty_factor == pytest.approx(5 / 8)
    assert (second.lift_off, second.next_lift_off, second.duty_factor) == (14, None, None)
    assert first.stride == pytest.approx(0.03)
