"""What drawn poses add up to, beside the real ones: width, sides, and legs in the body."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.replicant.files import find_entries
from smil_ray.data.replicant.reading import ReadOptions, read_samples
from smil_ray.data.synthetic.animal import RenderBody, capsules_of
from smil_ray.data.synthetic.poses._kinematics import joint_places
from smil_ray.data.synthetic.poses.statistics import (
    PoseStatistics,
    aligned,
    distance_from_mean_pose,
    pose_statistics,
)

DRAWN = 100


@pytest.fixture(scope="module")
def body() -> RenderBody:
    return RenderBody.open("builtin")


def draw(body: RenderBody, samples: int = DRAWN) -> np.ndarray:
    return np.stack([body.poses.draw(default_rng([5, index])) for index in range(samples)])


def statistics(body: RenderBody, poses: np.ndarray) -> PoseStatistics:
    skeleton, rest = body.model.skeleton, body.model.source.joints_at_rest()
    capsules = capsules_of(SmilModel.builtin())
    return pose_statistics(skeleton, joint_places(skeleton, rest, poses), poses, capsules)


def test_drawn_poses_are_as_wide_as_real_ones_and_keep_legs_out_of_the_body(
    body: RenderBody,
) -> None:
    found = statistics(body, draw(body))
    assert 11.0 < found.pa_mpjpe_pct_bl < 19.0
    assert found.angle_deg is not None
    assert 25.0 < found.angle_deg < 40.0
    least = {"l_co": 25, "l_tr": 25, "l_fe": 22, "l_ta": 15, "an": 20, "b_h": 10, "b_a": 5}
    for group, degrees in least.items():
        assert degrees < found.angle_by_group[group] < 60.0, group
    for tip in ("l_1_pt_l", "l_2_pt_r", "l_3_pt_l"):
        assert 18.0 < found.pa_by_joint[tip] < 40.0
    # Of 35 real samples 23 % and 11 %, measured in the same way.
    assert found.legs_in_body is not None
    assert found.legs_in_legs is not None
    assert found.legs_in_body < 0.05
    assert found.legs_in_legs < 0.05


def test_left_and_right_move_alike(body: RenderBody) -> None:
    poses = draw(body, 160)
    mirror = np.array(body.model.skeleton.mirror)[1:] - 1
    angles = np.degrees(np.linalg.norm(poses, axis=-1)).mean(axis=0)
    np.testing.assert_allclose(angles, angles[mirror], atol=8.0)
    mean = poses.mean(axis=0)
    np.testing.assert_allclose(mean, mean[mirror] * [-1, 1, -1], atol=0.25)


def test_small_range_gives_narrow_poses() -> None:
    body = RenderBody.open("builtin", pose_range=0.4)
    found = statistics(body, draw(body, 60))
    assert 3.0 < found.pa_mpjpe_pct_bl < 7.0
    still = RenderBody.open("builtin", pose_range=0.0)
    assert not draw(still, 2).any()


def test_stick_insect_without_limits_turns_its_joints_as_much(real_data: Path) -> None:
    body = RenderBody.open(str(real_data / "models" / "SMILy_STICK.pkl"))
    found = statistics(body, draw(body, 80))
    assert 7.5 < found.pa_mpjpe_pct_bl < 19.0  # Its legs are short for its body.
    assert found.angle_deg is not None
    assert 24.0 < found.angle_deg < 40.0


REAL = {
    "SMIL": (18.9, None),
    "replicAnt-x-SMIL-demo": (12.9, 32.6),
    "replicAnt-x-SMIL-TEX": (8.1, 39.7),
}
"""Set -> PA-MPJPE of its mean pose in percent of body length, mean joint angle in degrees."""


@pytest.mark.slow
def test_real_sets_have_the_figures_that_drawn_poses_are_held_against(real_data: Path) -> None:
    model = SmilModel.load(real_data / "models" / "SMILy_STICK.pkl")
    capsules = capsules_of(SmilModel.builtin())
    everything = []
    for name, (percent, degrees) in REAL.items():
        samples = [
            sample
            for entry in find_entries(real_data / "data" / "replicant" / name)
            for sample in read_samples(entry, model, ReadOptions()).samples
        ]
        joints = np.stack([sample.keypoints_3d for sample in samples]).astype(np.float64)
        poses = np.stack([sample.joint_rot for sample in samples]) if degrees else None
        found = pose_statistics(model.skeleton, joints, poses, capsules)
        assert found.pa_mpjpe_pct_bl == pytest.approx(percent, abs=0.1)
        assert found.angle_deg == pytest.approx(degrees, abs=0.1)
        everything.append(joints)
    found = pose_statistics(model.skeleton, np.concatenate(everything), None, capsules)
    assert found.legs_in_body == pytest.approx(0.23, abs=0.01)
    assert found.legs_in_legs == pytest.approx(0.11, abs=0.01)


def test_distance_from_the_mean_pose_ignores_place_turn_and_size(body: RenderBody) -> None:
    skeleton, rest = body.model.skeleton, body.model.source.joints_at_rest()
    points = joint_places(skeleton, rest, draw(body, 6))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(0)).double())[0].numpy()
    turn *= np.sign(np.linalg.det(turn))
    off = distance_from_mean_pose(points)
    again = distance_from_mean_pose(points @ turn + 3.0)
    np.testing.assert_allclose(again, off, atol=1e-6)
    alike = np.repeat(points[:1], 4, axis=0)
    np.testing.assert_allclose(distance_from_mean_pose(alike), 0.0, atol=1e-9)


def test_alignment_finds_back_a_similarity_and_never_mirrors() -> None:
    points = default_rng(1).standard_normal((3, 12, 3))
    target = 1.7 * points[:, :, [1, 2, 0]] + [1.0, -2.0, 0.5]
    np.testing.assert_allclose(aligned(points, target), target, atol=1e-12)
    mirrored = aligned(points, points * [1.0, 1.0, -1.0])
    assert np.linalg.norm(mirrored - points * [1.0, 1.0, -1.0]) > 1.0
