"""A filmed walk: feet on the ground stay there, legs alternate, joints are where they are said."""

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.synthetic.walk import Walk, WalkOptions
from smil_ray.errors import ConfigError
from smil_ray.render.camera import Camera


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk(WalkOptions(frames=31, frames_a_cycle=20, image_size=96))


def test_feet_on_the_ground_stay_there_and_others_move(walk: Walk) -> None:
    model = SmilModel.builtin()
    joints = model.pose(walk.params()).joints.numpy()
    feet = joints[:, [model.skeleton.index[name] for name in walk.feet]]
    speed = np.linalg.norm(np.diff(feet, axis=0), axis=-1) / model.body_length
    stance = walk.stance()
    both = stance[1:] & stance[:-1]
    assert np.median(speed[both]) < 0.01
    assert np.quantile(speed[both], 0.95) < 0.02
    assert np.median(speed[~stance[1:] & ~stance[:-1]]) > 0.04


def test_tripods_alternate_and_each_foot_has_its_duty_factor(walk: Walk) -> None:
    stance = walk.stance()
    assert stance[:20].mean() == pytest.approx(0.6)
    one = [number for number, foot in enumerate(walk.feet) if foot in ("l_1_pt_l", "l_2_pt_r")]
    np.testing.assert_array_equal(stance[:, one[0]], stance[:, one[1]])
    assert stance[:20].sum(axis=1).min() == 3


def test_picture_and_truth_agree(walk: Walk) -> None:
    params = walk.params()
    joints = SmilModel.builtin().pose(params).joints
    xy, _ = Camera.from_params(params).project(joints)
    frames = [frame for number, frame in enumerate(walk.render()) if number % 15 == 0]
    for number, frame in zip((0, 15, 30), frames, strict=True):
        np.testing.assert_allclose(xy[number].numpy() * 96, frame.joints_px, atol=0.01)
        np.testing.assert_allclose(joints[number].numpy(), frame.joints_cam, atol=1e-3)
        inside = (frame.joints_px > 0).all() and (frame.joints_px < 96).all()
        assert inside
        np.testing.assert_array_equal(frame.stance, walk.stance()[number])
    still = np.abs(frames[0].rgb.astype(int) - frames[1].rgb).mean(axis=2)
    assert np.median(still) < 12  # The ground stays as it is but for the noise.


def test_duty_factor_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"walk; expected six legs.*duty factor 1\.5"):
        Walk(WalkOptions(duty_factor=1.5))
