"""Every term: zero at the truth, right by hand, right in its gradient."""

import math
from dataclasses import replace

import pytest
import torch

from smil_ray.config import (
    LOSS_TERM_NAMES,
    BodyConfig,
    LossConfig,
    ModelConfig,
    ReferenceFrame,
    RotationRepresentation,
)
from smil_ray.core.batch import LABELS
from smil_ray.losses import terms
from smil_ray.losses.objective import Objective
from smil_ray.losses.terms import LOSS_TERMS, TERM_LABELS

HEAT_MAPS = ("keypoint_heatmap", "keypoint_place", "keypoint_confidence")
PLAIN = tuple(name for name in LOSS_TERM_NAMES if name not in HEAT_MAPS and name != "silhouette")
REGULARISERS = ("joint_angle", "joint_limit", "limb_scale", "pose_prior", "shape_prior")
COMPARING = tuple(name for name in PLAIN if name not in REGULARISERS)


@pytest.fixture(scope="module")
def objective_for(insect, prior):
    def make(
        frame: ReferenceFrame = "camera", representation: RotationRepresentation = "6d", **loss
    ):
        model_config = ModelConfig(
            rotation_representation=representation,
            reference_frame=frame,
            joint_scales="pca",
            joint_translations="pca",
        )
        return Objective(insect, LossConfig(**loss), BodyConfig(), model_config, prior)

    return make


def test_terms_are_those_of_the_configuration():
    assert tuple(LOSS_TERMS) == LOSS_TERM_NAMES
    assert set(TERM_LABELS) == set(LOSS_TERM_NAMES)
    assert {label for label in TERM_LABELS.values() if label} <= set(LABELS)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("frame", ["camera", "root"])
@pytest.mark.parametrize("representation", ["6d", "axis_angle"])
def test_every_comparing_term_is_zero_at_the_truth(
    normalise, frame, representation, objective_for, make_truth
):
    params, batch = make_truth(frame=frame, representation=representation)
    objective = objective_for(frame, representation, normalise=normalise)
    inputs = objective.inputs(params, batch, COMPARING)
    values = {name: float(LOSS_TERMS[name](inputs)) for name in COMPARING}
    assert values == pytest.approx(dict.fromkeys(COMPARING, 0.0), abs=2e-5)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("frame", ["camera", "root"])
def test_every_comparing_term_grows_away_from_the_truth(
    normalise, frame, objective_for, make_truth, perturb
):
    params, batch = make_truth(frame=frame)
    objective = objective_for(frame, normalise=normalise)
    inputs = objective.inputs(perturb(params, 0.1), batch, COMPARING)
    for name in COMPARING:
        assert LOSS_TERMS[name](inputs) > 3e-5, name


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("representation", ["6d", "axis_angle"])
@pytest.mark.parametrize("name", PLAIN)
def test_gradient_at_the_truth_is_finite(
    normalise, representation, name, objective_for, make_truth, perturb
):
    params, batch = make_truth(count=2, representation=representation)
    leaves = perturb(params, 0.0)
    objective = objective_for("camera", representation, normalise=normalise)
    value = LOSS_TERMS[name](objective.inputs(leaves, batch, (name,)))
    if value.requires_grad:
        value.backward()
    gradients = [leaf.grad for leaf in leaves.as_dict().values() if leaf.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("representation", ["6d", "axis_angle"])
def test_gradient_is_that_of_finite_differences(
    name, representation, objective_for, insect, make_truth, perturb
):
    params, batch = make_truth(count=1, representation=representation, seed=4)
    params, batch = params.map(torch.Tensor.double), _double(batch)
    objective = objective_for("camera", representation)
    objective.model = insect.to(dtype=torch.float64)
    objective.joint_weights = objective.joint_weights.double()
    leaves = perturb(params, 0.05)
    direction = perturb(leaves.map(torch.zeros_like), 1.0, seed=9).detach()

    def along(step: torch.Tensor) -> torch.Tensor:
        moved = {
            key: value.detach() + step * direction.as_dict()[key]
            for key, value in leaves.as_dict().items()
        }
        inputs = objective.inputs(type(leaves).from_dict(moved), batch, (name,))
        return LOSS_TERMS[name](inputs)

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(along, (step,), eps=1e-6, atol=1e-6, rtol=1e-4)


def test_rotation_term_is_one_minus_cosine(objective_for, make_truth):
    params, batch = make_truth(count=1, representation="axis_angle")
    target = replace(batch.target, global_rot=torch.tensor([[0.0, 0.0, 0.5]]))
    moved = replace(params, global_rot=torch.tensor([[0.0, 0.0, 1.3]]))
    inputs = objective_for("camera", "axis_angle").inputs(moved, replace(batch, target=target), ())
    assert float(terms.global_rot(inputs)) == pytest.approx(1 - math.cos(0.8), abs=1e-6)


def test_seed_rotation_terms_are_its_formulas(objective_for, make_truth):
    params, batch = make_truth(count=1, representation="axis_angle")
    offset = torch.tensor([0.3, -0.2, 0.1])
    moved = replace(params, joint_rot=params.joint_rot + offset, global_rot=params.global_rot + 1)
    inputs = objective_for("camera", "axis_angle", normalise=False).inputs(moved, batch, ())
    assert float(terms.joint_rot(inputs)) == pytest.approx(0.14, abs=1e-5)
    assert float(terms.global_rot(inputs)) == pytest.approx(1.0, abs=1e-5)


def test_position_across_is_in_body_lengths_and_along_in_log_extent(
    objective_for, make_truth, insect
):
    params, batch = make_truth(count=1)
    objective = objective_for()
    aside = replace(params, trans=params.trans + torch.tensor([[insect.body_length, 0.0, 0.0]]))
    far = replace(params, trans=params.trans * torch.tensor([1.0, 1.0, math.e]))
    assert float(terms.trans(objective.inputs(aside, batch, ()))) == pytest.approx(1 / 3, 1e-4)
    assert float(terms.trans(objective.inputs(far, batch, ()))) == pytest.approx(1 / 3, 1e-4)


def test_depth_and_field_of_view_that_show_the_same_size_cost_no_position(
    objective_for, make_truth
):
    params, batch = make_truth(count=2)
    narrow = torch.rad2deg(2 * torch.atan(torch.tan(torch.deg2rad(params.fov) / 2) / 2))
    place = params.trans * torch.tensor([1.0, 1.0, 2.0])
    inputs = objective_for().inputs(replace(params, fov=narrow, trans=place), batch, ())
    assert float(terms.trans(inputs)) == pytest.approx(0.0, abs=1e-6)
    assert float(terms.fov(inputs)) > 0.1


def test_seed_position_is_in_centimetres(objective_for, make_truth):
    params, batch = make_truth(count=1)
    moved = replace(params, trans=params.trans + 0.5)
    inputs = objective_for(normalise=False).inputs(moved, batch, ())
    assert float(terms.trans(inputs)) == pytest.approx(25.0, rel=1e-4)


def test_keypoints_3d_ignore_position_only_when_normalised(objective_for, make_truth):
    params, batch = make_truth(count=1)
    moved = replace(params, trans=params.trans + 0.5)
    relative = objective_for().inputs(moved, batch, ("keypoint_3d",))
    absolute = objective_for(normalise=False).inputs(moved, batch, ("keypoint_3d",))
    assert float(terms.keypoint_3d(relative)) == pytest.approx(0.0, abs=1e-8)
    assert float(terms.keypoint_3d(absolute)) == pytest.approx(25.0, rel=1e-3)


def test_keypoints_2d_are_in_fractions_of_the_picture(objective_for, make_truth):
    params, batch = make_truth(count=2)
    shifted = replace(batch, keypoints_2d=batch.keypoints_2d + torch.tensor([0.001, -0.003]))
    inputs = objective_for().inputs(params, shifted, ("keypoint_2d",))
    assert float(terms.keypoint_2d(inputs)) == pytest.approx(5e-6, rel=0.02)


def test_joint_angle_is_the_squared_angle_near_rest(objective_for, make_truth):
    params, batch = make_truth(count=1, representation="axis_angle")
    small = replace(params, joint_rot=torch.full_like(params.joint_rot, 0.02))
    in_6d = small.with_representation("6d")
    first = terms.joint_angle(objective_for("camera", "axis_angle").inputs(small, batch, ()))
    second = terms.joint_angle(objective_for().inputs(in_6d, batch, ()))
    assert float(first) == pytest.approx(0.0012, rel=1e-4)
    assert float(second) == pytest.approx(0.0012, rel=1e-3)


def test_joint_limit_counts_only_what_is_outside(objective_for, make_truth, insect):
    params, batch = make_truth(count=1, representation="axis_angle")
    assert insect.joint_limits is not None
    middle = insect.joint_limits[1:].mean(dim=-1)[None]
    outside = insect.joint_limits[1:, :, 1][None] + 0.1
    values = []
    for joint_rot in (middle, outside):
        inputs = objective_for("camera", "axis_angle").inputs(
            replace(params, joint_rot=joint_rot), batch, ()
        )
        values.append(float(terms.joint_limit(inputs)))
    assert values == pytest.approx([0.0, 0.1], abs=1e-5)


def test_limb_scale_is_the_mean_square(objective_for, make_truth):
    params, batch = make_truth(count=1)
    assert params.log_beta_scales is not None
    even = replace(params, log_beta_scales=torch.full_like(params.log_beta_scales, 0.2))
    value = terms.limb_scale(objective_for().inputs(even, batch, ()))
    assert float(value) == pytest.approx(0.04)


def test_silhouette_is_the_binary_cross_entropy(objective_for, make_truth):
    params, batch = make_truth(count=2)
    mask = torch.zeros_like(batch.mask)
    mask[:, :, :32] = 255
    predicted = torch.full((2, 16, 16), 0.25)
    inputs = objective_for().inputs(params, replace(batch, mask=mask), ())
    value = terms.silhouette(replace(inputs, silhouette=predicted))
    assert float(value) == pytest.approx(-(math.log(0.25) + math.log(0.75)) / 2, rel=1e-5)
    perfect = torch.zeros(2, 16, 16)
    perfect[:, :8] = 1.0
    assert float(terms.silhouette(replace(inputs, silhouette=perfect))) < 1e-5


def _double(batch):
    values = {
        key: value.double()
        for key, value in vars(batch).items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    return replace(batch, target=batch.target.map(torch.Tensor.double), **values)
