"""Fits without a network: starts that lie over the joints, and where they lead."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core import rotations
from smil_ray.core.params import SmilParams
from smil_ray.fitting._starts import Library, lay, orthographic
from smil_ray.fitting.fit import Body
from smil_ray.fitting.prior import PosePrior
from smil_ray.fitting.scratch import fit_from_scratch
from smil_ray.render.camera import Camera
from smil_ray.results.refinement.priors import synthetic_prior
from tests.fitting.test_fit import animals, close_up, masks_of, pa_error, target_of


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


def narrow_prior(model: SmilModel) -> PosePrior:
    poses = torch.cat([animals(model, 400, seed).joint_rot for seed in (5, 6)])
    return PosePrior.fit(poses, 0.5 * torch.randn(800, model.n_betas))


def test_points_seen_from_far_away_are_turned_and_scaled_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(5, 20, 3, generator=generator)
    points = points - points.mean(dim=1, keepdim=True)
    turns = rotations.axis_angle_to_matrix(torch.randn(5, 3, generator=generator))
    wanted = 0.3 * (points @ turns.mT)[..., :2]
    rotation, size = orthographic(points, wanted)
    torch.testing.assert_close(rotation, turns, atol=2e-3, rtol=0)
    torch.testing.assert_close(size, torch.full((5,), 0.3), atol=1e-3, rtol=0)
    # Points in a plane leave the third direction open, and give numbers all the same.
    flat = points * torch.tensor([1.0, 1.0, 0.0])
    assert orthographic(flat, 0.3 * flat[..., :2])[0].isfinite().all()


def test_the_pose_that_was_seen_is_found_in_the_library(model: SmilModel) -> None:
    true = animals(model, 20)
    library = Library.of(true.joint_rot, model, BodyConfig())
    seen = replace(true, betas=model.shape_mean.expand(20, -1))
    joints = model.pose(seen).joints[7]
    rays = joints[:, :2] / joints[:, 2:]
    laid = lay(library, rays, torch.ones(model.n_joints, dtype=torch.bool), 3)
    torch.testing.assert_close(laid.joint_rot[0], true.joint_rot[7])
    turn = rotations.axis_angle_to_matrix(true.global_rot[7])
    assert float(rotations.geodesic_angle(laid.rotation[0], turn)) < 0.1
    assert float(1.0 / laid.size[0]) == pytest.approx(float(joints[0, 2]), rel=0.1)


def test_fit_from_scratch_meets_the_joints_and_says_what_it_could_not_fit(
    model: SmilModel,
) -> None:
    true = animals(model, 2)
    target = target_of(true, model)
    known = target.known.clone()
    known[1, 3:] = False
    body = Body(model, BodyConfig(), narrow_prior(model))
    fit = fit_from_scratch(replace(target, known=known), body, fov_deg=true.fov[:, 0])
    assert fit.accepted.tolist() == [True, False]
    xy, _ = Camera.from_params(fit.params).project(model.pose(fit.params).joints)
    assert float((xy - target.xy)[0].norm(dim=-1).mean()) < 0.01
    assert pa_error(fit.params, true, model)[0] < 6.0
    assert float(fit.after[0]) < float(fit.before[0])
    assert all(value.isfinite().all() for value in fit.params.as_dict().values())


def synthetic_animals(model: SmilModel, n: int) -> SmilParams:
    """Animals in postures of `synth` from above, other ones than those of its prior."""
    prior_poses = animals(model, n)
    drawn = synthetic_prior(model).draw(n, seed=9)
    limits = model.joint_limits
    assert limits is not None
    return replace(prior_poses, joint_rot=drawn.clamp(limits[1:, :, 0], limits[1:, :, 1]))


@pytest.mark.slow
def test_joints_and_masks_of_pictures_are_enough_for_most_animals(model: SmilModel) -> None:
    true = close_up(synthetic_animals(model, 20))
    target = replace(target_of(true, model), masks=masks_of(true, model))
    body = Body(model, BodyConfig(), synthetic_prior(model))
    fit = fit_from_scratch(target, body, fov_deg=true.fov[:, 0])
    error = pa_error(fit.params, true, model)
    assert (error < 5.0).mean() >= 0.8
    assert np.median(error) < 4.5


@pytest.mark.slow
def test_models_without_known_poses_are_fitted_too(model: SmilModel) -> None:
    true = animals(model, 6)
    target = target_of(true, model)
    fit = fit_from_scratch(target, Body(model, BodyConfig()), fov_deg=true.fov[:, 0])
    xy, _ = Camera.from_params(fit.params).project(model.pose(fit.params).joints)
    assert float((xy - target.xy).norm(dim=-1).mean()) < 0.01
    assert np.median(pa_error(fit.params, true, model)) < 8.0
