"""Likely poses and shapes: Gaussians, and the terms that use them."""

from dataclasses import replace

import pytest
import torch

from smil_ray.config import BodyConfig, LossConfig, ModelConfig
from smil_ray.core import rotations
from smil_ray.errors import ConfigError
from smil_ray.losses.objective import Objective
from smil_ray.losses.prior import ParameterPrior

JOINTS, BETAS = 4, 3


def poses(count: int = 400, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return poses in which the first two joints always bend alike, and shapes."""
    generator = torch.Generator().manual_seed(seed)
    joint_rot = 0.3 * torch.randn(count, JOINTS, 3, generator=generator)
    joint_rot[:, 1] = joint_rot[:, 0]
    joint_rot[:, 3] = 0.0
    betas = 2.0 + 0.5 * torch.randn(count, BETAS, generator=generator)
    return joint_rot, betas


def fitted() -> ParameterPrior:
    prior = ParameterPrior.fit(*poses())
    assert prior is not None
    return prior


def test_poses_like_the_fitted_ones_are_at_a_distance_of_about_one() -> None:
    joint_rot, betas = poses(seed=1)
    prior = fitted()
    # The joint that never moved counts as if it might a little, and is always at its mean.
    assert 0.4 < float(prior.pose_distance(joint_rot).mean()) < 1.1
    assert float(prior.shape_distance(betas).mean()) == pytest.approx(0.85, abs=0.15)


def test_unlikely_combinations_are_farther_than_likely_ones() -> None:
    prior = fitted()
    alike = torch.zeros(1, JOINTS, 3)
    alike[:, :2, 0] = 0.4
    against = alike.clone()
    against[:, 1, 0] = -0.4
    stiff = torch.zeros(1, JOINTS, 3)
    stiff[:, 3, 0] = 0.4
    near = float(prior.pose_distance(alike))
    assert float(prior.pose_distance(against)) > 3.0 * near
    assert float(prior.pose_distance(stiff)) > 3.0 * near


def test_both_representations_of_a_pose_are_equally_far() -> None:
    joint_rot, _ = poses(5, seed=2)
    in_6d = rotations.matrix_to_6d(rotations.axis_angle_to_matrix(joint_rot))
    torch.testing.assert_close(
        fitted().pose_distance(in_6d), fitted().pose_distance(joint_rot), rtol=1e-4, atol=1e-4
    )


def test_samples_without_labels_are_left_out_and_too_few_give_no_prior() -> None:
    joint_rot, betas = poses()
    gaps = joint_rot.clone()
    gaps[100:] = torch.nan
    some = ParameterPrior.fit(gaps, betas)
    same = ParameterPrior.fit(joint_rot[:100], betas[:100])
    assert some is not None
    assert same is not None
    assert torch.equal(some.pose_mean, same.pose_mean)
    assert ParameterPrior.fit(gaps[90:], betas[90:]) is None


def build(insect, prior, **weights: float) -> Objective:
    loss = LossConfig(base_weights=weights)
    return Objective(insect, loss, BodyConfig(), ModelConfig(), prior)


def test_prior_terms_count_only_samples_without_the_label(insect, make_truth) -> None:
    params, batch = make_truth(count=3)
    prior = ParameterPrior.fit(make_truth(count=40)[1].target.joint_rot, torch.randn(40, 5))
    assert prior is not None
    presence = {
        **batch.presence,
        "joint_rot": torch.tensor([True, False, True]),
        "betas": torch.tensor([False, False, True]),
    }
    batch = replace(batch, presence=presence)
    prior = replace(
        prior, betas_mean=torch.zeros(insect.n_betas), betas_spread=torch.ones(insect.n_betas)
    )
    found = build(insect, prior, pose_prior=1.0, shape_prior=1.0)(params, batch, 0).terms
    pose = prior.pose_distance(params.joint_rot)[1] / 3.0
    shape = prior.shape_distance(params.betas)[:2].sum() / 3.0
    assert float(found["pose_prior"]) == pytest.approx(float(pose), rel=1e-5)
    assert float(found["shape_prior"]) == pytest.approx(float(shape), rel=1e-5)


def test_prior_pulls_a_pose_towards_the_likely_ones(insect, make_truth) -> None:
    params, batch = make_truth(count=1)
    truth = make_truth(count=40)[1].target
    prior = ParameterPrior.fit(truth.joint_rot, truth.betas)
    assert prior is not None
    batch = replace(batch, presence={**batch.presence, "joint_rot": torch.tensor([False])})
    joint_rot = params.joint_rot.clone().requires_grad_()
    objective = build(insect, prior, pose_prior=1.0)
    before = objective(replace(params, joint_rot=joint_rot), batch, 0).total
    before.backward()
    assert joint_rot.grad is not None
    moved = (joint_rot - 0.01 * joint_rot.grad / joint_rot.grad.norm()).detach()
    after = objective(replace(params, joint_rot=moved), batch, 0).total
    assert float(after) < float(before.detach())


@pytest.mark.parametrize("term", ["pose_prior", "shape_prior"])
def test_prior_term_without_a_prior_is_refused(insect, term: str) -> None:
    objective = build(insect, None, **{term: 1.0, "keypoint_2d": 1.0})
    with pytest.raises(ConfigError, match=f"loss weight {term}; expected training samples"):
        objective.check({"keypoints_2d": 5})
