"""Fitting to joints of a picture: errors fall, nothing gets worse, terms say what they mean."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core import rotations
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.fitting.fit import Body, refine
from smil_ray.fitting.prior import PosePrior
from smil_ray.fitting.stages import REFINE, Stage
from smil_ray.fitting.state import State, Target
from smil_ray.fitting.terms import (
    bone_prior,
    joint_limits,
    keypoint_2d,
    pose_change,
    pose_prior,
    shape_prior,
    silhouette,
    smoothness,
)
from smil_ray.render.camera import Camera
from smil_ray.training.validation.procrustes import align


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


def animals(model: SmilModel, n: int, seed: int = 0) -> SmilParams:
    """Animals from above in poses of some 15 degrees a joint."""
    rng = np.random.default_rng(seed)

    def tensor(value: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(value).float()

    # The head points up in the picture, the back at the camera: x to up, y to left, z back.
    view = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    tilt = rotations.axis_angle_to_matrix(tensor(rng.normal(0.0, 0.3, (n, 3))))
    return SmilParams(
        global_rot=rotations.matrix_to_axis_angle(view @ tilt),
        joint_rot=tensor(rng.normal(0.0, 0.15, (n, model.n_joints - 1, 3))),
        betas=tensor(rng.normal(0.0, 0.5, (n, model.n_betas))),
        trans=tensor(np.tile([0.0, 0.0, 14.0], (n, 1)) + rng.normal(0.0, 0.3, (n, 3))),
        fov=torch.full((n, 1), 30.0),
        cam_rot=torch.eye(3).repeat(n, 1, 1),
        cam_trans=torch.zeros(n, 3),
    )


def predicted(true: SmilParams, deg: float = 12.0, seed: int = 1) -> SmilParams:
    """The animals with errors of rotation in every joint."""
    rng = np.random.default_rng(seed)
    shape = (true.batch_size, true.joint_rot.shape[1] + 1, 3)
    error = torch.from_numpy(rng.normal(0.0, np.radians(deg) / np.sqrt(3.0), shape)).float()
    turned = true.rotation_matrices() @ rotations.axis_angle_to_matrix(error)
    vectors = rotations.matrix_to_axis_angle(turned)
    return replace(true, global_rot=vectors[:, 0], joint_rot=vectors[:, 1:])


def body_of(model: SmilModel, prior: PosePrior | None = None) -> Body:
    return Body(model, BodyConfig(), prior)


def target_of(true: SmilParams, model: SmilModel) -> Target:
    xy, _ = Camera.from_params(true).project(model.pose(true).joints)
    return Target(xy, torch.ones(xy.shape[:2], dtype=torch.bool))


def pa_error(params: SmilParams, true: SmilParams, model: SmilModel) -> np.ndarray:
    """PA-MPJPE of each animal, percent of body length."""
    points, wanted = (model.pose(each).joints.double() for each in (params, true))
    known = torch.ones(points.shape[:2], dtype=torch.bool)
    away = (align(points, wanted, known) - wanted).norm(dim=-1).mean(dim=1)
    return (100.0 * away / model.body_length).numpy()


def test_true_joints_in_the_picture_bring_the_pose_nearer(model: SmilModel) -> None:
    true = animals(model, 20)
    start = predicted(true)
    fit = refine(start, target_of(true, model), body_of(model))
    before, after = (pa_error(each, true, model) for each in (start, fit.params))
    assert (after < before).mean() >= 0.95
    assert (after <= 1.01 * before).all()
    assert after.mean() < 0.7 * before.mean()
    assert (fit.after[fit.accepted] < fit.before[fit.accepted]).all()
    assert float(fit.accepted.float().mean()) > 0.8


def test_frame_and_representation_of_the_start_do_not_matter(model: SmilModel) -> None:
    true = animals(model, 2)
    start, target = predicted(true), target_of(true, model)
    stages = (Stage("short", 5, ("global_rot", "joint_rot"), {"keypoint_2d": 1.0}),)
    plain = refine(start, target, body_of(model), stages=stages).params
    other = change_frame(start, "root").with_representation("6d")
    again = refine(other, target, body_of(model), stages=stages).params
    one, other = (model.pose(each).joints.numpy() for each in (plain, again))
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_animal_without_joints_stays_as_it_is(model: SmilModel) -> None:
    true = animals(model, 2)
    target = target_of(true, model)
    known = target.known.clone()
    known[1] = False
    start = predicted(true)
    xy = target.xy.nan_to_num(nan=0.0)
    fit = refine(start, replace(target, known=known, xy=xy), body_of(model))
    assert fit.accepted.tolist() == [True, False]
    torch.testing.assert_close(fit.params.joint_rot[1], start.joint_rot[1])


def test_fit_that_makes_a_part_worse_is_not_accepted(model: SmilModel) -> None:
    true = animals(model, 3)
    wrong = (Stage("away", 5, ("trans",), {"keypoint_2d": -1.0}),)
    fit = refine(predicted(true), target_of(true, model), body_of(model), stages=wrong)
    assert not fit.accepted.any()
    torch.testing.assert_close(fit.params.trans, true.trans)


def test_terms_are_zero_where_nothing_is_wrong_and_grow_with_errors(model: SmilModel) -> None:
    true = animals(model, 2)
    target, body = target_of(true, model), body_of(model)

    def state(params: SmilParams, target: Target = target) -> State:
        return body.state(params, true, target, 0.05)

    for term in (keypoint_2d, pose_change):
        assert float(term(state(true)).max()) < 1e-6
        small, large = (term(state(predicted(true, deg))).mean() for deg in (3.0, 12.0))
        assert 0.0 < float(small) < float(large)
    turned = replace(true, joint_rot=true.joint_rot + torch.tensor([0.0, 0.0, 9.0]))
    assert float(joint_limits(state(turned)).min()) > 1.0
    mean = replace(true, betas=model.shape_mean.expand(2, -1))
    assert float(shape_prior(state(mean)).abs().max()) < 1e-9
    longer = replace(true, log_beta_scales=torch.full((2, model.n_joints, 3), 0.06))
    assert float(bone_prior(state(true)).max()) == 0.0
    assert float(bone_prior(state(longer)).min()) == pytest.approx(2.0, rel=1e-4)
    assert float(smoothness(state(true)).max()) == 0.0
    one = replace(target, animals=torch.zeros(2, dtype=torch.long))
    assert float(smoothness(state(true, one))[0]) > 0
    still = true.map(lambda value: value[:1].repeat(2, *[1] * (value.ndim - 1)))
    assert float(smoothness(state(still, one)).max()) < 1e-9


def test_likely_poses_are_about_one_away_and_other_axes_of_a_hinge_far(model: SmilModel) -> None:
    generator = torch.Generator().manual_seed(0)
    poses = torch.zeros(500, model.n_joints - 1, 3)
    poses[..., 1] = 0.5 * torch.randn(500, model.n_joints - 1, generator=generator)
    prior = PosePrior.fit(poses, torch.randn(500, model.n_betas, generator=generator))
    drawn = prior.draw(300, seed=1)
    assert float(prior.pose_distance(drawn).mean()) == pytest.approx(1.0, abs=0.05)
    assert drawn[..., 1].std() == pytest.approx(0.5, abs=0.05)
    along, across = (torch.zeros(1, model.n_joints - 1, 3) for _ in range(2))
    along[0, 7, 1], across[0, 7, 0] = 0.6, 0.6
    near, far = (float(prior.pose_distance(pose)) for pose in (along, across))
    assert far > 20.0 * near
    true = animals(model, 2)
    state = body_of(model, prior).state(true, true, target_of(true, model), 0.05)
    torch.testing.assert_close(pose_prior(state), prior.pose_distance(true.joint_rot))


def close_up(true: SmilParams) -> SmilParams:
    """The animals as a crop shows them."""
    return replace(true, fov=torch.full_like(true.fov, 12.0))


def masks_of(true: SmilParams, model: SmilModel, side: int = 64) -> torch.Tensor:
    state = body_of(model).state(true, true, target_of(true, model), 0.05)
    return state.silhouettes(side, side, sigma=1e-5)


def test_silhouettes_fit_their_own_masks_best_and_no_mask_counts_nothing(model: SmilModel) -> None:
    true = animals(model, 2)
    masks = masks_of(true, model)
    masks[1] = 0.0
    target = replace(target_of(true, model), masks=masks)

    def value(params: SmilParams) -> torch.Tensor:
        return silhouette(body_of(model).state(params, true, target, 0.05))

    own, moved = (
        value(true),
        value(replace(true, trans=true.trans + torch.tensor([0.2, 0.0, 0.0]))),
    )
    assert own[0] < 0.5
    assert moved[0] > own[0] + 0.1
    assert own[1] == moved[1] == 0.0


def test_masks_bring_the_trunk_to_where_it_is_seen(model: SmilModel) -> None:
    true = close_up(animals(model, 2))
    target = target_of(true, model)
    # Known joints of one leg only, which say little about the trunk.
    known = torch.zeros_like(target.known)
    known[:, [model.skeleton.index[n] for n in ("l_1_co_r", "l_1_tr_r", "l_1_fe_r")]] = True
    start = predicted(true)
    stages = [replace(s, weights={**s.weights, "silhouette": 0.2}) for s in REFINE]
    found = []
    for masks in (None, masks_of(true, model)):
        aim = replace(target, known=known, masks=masks)
        found.append(refine(start, aim, body_of(model), stages=stages).params)
    xy = [Camera.from_params(p).project(model.pose(p).joints)[0] for p in found]
    trunk = list(model.skeleton.body_chain)
    without, fitted = ((each - target.xy)[:, trunk].norm(dim=-1).mean() for each in xy)
    assert fitted < without


def test_frames_of_one_animal_have_one_shape_and_move_smoothly(model: SmilModel) -> None:
    one = animals(model, 1)
    rng = torch.Generator().manual_seed(0)
    n = 8
    true = one.map(lambda value: value.repeat(n, *[1] * (value.ndim - 1)))
    sway = 0.1 * torch.linspace(-1.0, 1.0, n)[:, None, None]
    true = replace(true, joint_rot=true.joint_rot + sway)
    target = target_of(true, model)
    noisy = target.xy + 0.004 * torch.randn(target.xy.shape, generator=rng)
    apart = replace(target, xy=noisy)
    together = replace(apart, animals=torch.zeros(n, dtype=torch.long))
    start = predicted(true, 6.0)
    found = [refine(start, aim, body_of(model)).params for aim in (apart, together)]
    assert float(found[0].betas.std(dim=0).max()) > 1e-3
    assert float(found[1].betas.std(dim=0).max()) < 1e-5

    def jitter(params: SmilParams) -> float:
        joints = model.pose(params).joints
        return float((joints - joints[:, :1]).diff(n=2, dim=0).norm(dim=-1).mean())

    assert jitter(found[1]) < 0.8 * jitter(found[0])
    assert pa_error(found[1], true, model).mean() < pa_error(found[0], true, model).mean()


def test_steps_across_do_not_depend_on_the_field_of_view(model: SmilModel) -> None:
    near = animals(model, 2)
    far = replace(near, trans=8.0 * near.trans, fov=torch.full((2, 1), 3.8))
    for true in (near, far):
        start = predicted(true, 6.0)
        fit = refine(start, target_of(true, model), body_of(model))
        assert fit.accepted.all()
        xy = Camera.from_params(fit.params).project(model.pose(fit.params).joints)[0]
        assert float((xy - target_of(true, model).xy).norm(dim=-1).mean()) < 0.02


def test_one_joint_far_off_counts_hardly_more_than_one_that_is_off(model: SmilModel) -> None:
    true = animals(model, 1)
    target = target_of(true, model)
    values = []
    for off in (0.2, 5.0):
        xy = target.xy.clone()
        xy[0, 3, 0] += off
        state = body_of(model).state(true, true, replace(target, xy=xy), 0.05)
        values.append(float(keypoint_2d(state)))
    assert values[1] < 1.1 * values[0]
