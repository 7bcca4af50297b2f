"""Fitting to joints of a picture: errors fall, nothing gets worse, terms say what they mean."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.fitting.fit import refine
from smil_ray.fitting.scratch import fit_from_scratch
from smil_ray.fitting.stages import Stage
from smil_ray.fitting.terms import (
    State,
    Target,
    joint_limits,
    keypoint_2d,
    pose_prior,
    shape_prior,
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
    fit = refine(start, target_of(true, model), model)
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
    plain = refine(start, target, model, stages=stages).params
    other = change_frame(start, "root").with_representation("6d")
    again = refine(other, target, model, stages=stages).params
    one, other = (model.pose(each).joints.numpy() for each in (plain, again))
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_animal_without_joints_stays_as_it_is(model: SmilModel) -> None:
    true = animals(model, 2)
    target = target_of(true, model)
    known = target.known.clone()
    known[1] = False
    start = predicted(true)
    fit = refine(start, replace(target, known=known, xy=target.xy.nan_to_num(nan=0.0)), model)
    assert fit.accepted.tolist() == [True, False]
    torch.testing.assert_close(fit.params.joint_rot[1], start.joint_rot[1])


def test_fit_that_makes_a_part_worse_is_not_accepted(model: SmilModel) -> None:
    true = animals(model, 3)
    wrong = (Stage("away", 5, ("trans",), {"keypoint_2d": -1.0}),)
    fit = refine(predicted(true), target_of(true, model), model, stages=wrong)
    assert not fit.accepted.any()
    torch.testing.assert_close(fit.params.trans, true.trans)


def test_terms_are_zero_where_nothing_is_wrong_and_grow_with_errors(model: SmilModel) -> None:
    true = animals(model, 2)
    target = target_of(true, model)

    def state(params: SmilParams) -> State:
        return State(params, true, model.pose(params).joints, target, model)

    for term in (keypoint_2d, pose_prior):
        assert float(term(state(true)).max()) < 1e-6
        small, large = (term(state(predicted(true, deg))).mean() for deg in (3.0, 12.0))
        assert 0.0 < float(small) < float(large)
    turned = replace(true, joint_rot=true.joint_rot + torch.tensor([0.0, 0.0, 9.0]))
    assert float(joint_limits(state(turned)).min()) > 1.0
    mean = replace(true, betas=model.shape_mean.expand(2, -1))
    assert float(shape_prior(state(mean)).abs().max()) < 1e-9
    assert float(smoothness(state(true))[0]) > 0
    still = true.map(lambda value: value[:1].repeat(2, *[1] * (value.ndim - 1)))
    assert float(smoothness(state(still)).max()) < 1e-9


def test_one_joint_far_off_counts_hardly_more_than_one_that_is_off(model: SmilModel) -> None:
    true = animals(model, 1)
    target = target_of(true, model)
    values = []
    for off in (0.2, 5.0):
        xy = target.xy.clone()
        xy[0, 3, 0] += off
        state = State(true, true, model.pose(true).joints, replace(target, xy=xy), model)
        values.append(float(keypoint_2d(state)))
    assert values[1] < 1.1 * values[0]


@pytest.mark.slow
def test_joints_of_a_picture_are_enough_for_most_animals(model: SmilModel) -> None:
    true = animals(model, 6)
    target = target_of(true, model)
    fit = fit_from_scratch(target, model, fov_deg=true.fov[:, 0])
    assert np.median(pa_error(fit.params, true, model)) < 6.0
    xy, _ = Camera.from_params(fit.params).project(model.pose(fit.params).joints)
    assert float((xy - target.xy).norm(dim=-1).mean()) < 0.01
