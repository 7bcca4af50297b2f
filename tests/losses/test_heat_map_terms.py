"""Terms of heat maps: right by hand, right in their gradient, absent where nobody looks."""

import math
from dataclasses import replace

import pytest
import torch

from smil_ray.config import BodyConfig, LossConfig, ModelConfig
from smil_ray.losses import heat_map_terms as terms
from smil_ray.losses.objective import Objective

SIDE = 8


@pytest.fixture
def objective(insect):
    return Objective(insect, LossConfig(), BodyConfig(), ModelConfig())


@pytest.fixture
def looked(make_truth, insect):
    """A truth with random heat maps, all joints seen at known places."""
    params, batch = make_truth(count=2)
    generator = torch.Generator().manual_seed(5)
    places = torch.rand(2, insect.n_joints, 2, generator=generator)
    every = torch.ones(2, insect.n_joints, dtype=torch.bool)
    batch = replace(batch, keypoints_2d=places, keypoint_visibility=every, keypoint_presence=every)
    params = replace(
        params,
        keypoint_xy=torch.rand(2, insect.n_joints, 2, generator=generator),
        keypoint_scale=0.02 + 0.1 * torch.rand(2, insect.n_joints, generator=generator),
        keypoint_logits=torch.randn(2, insect.n_joints, SIDE, SIDE, generator=generator),
    )
    return params, batch


def test_heat_map_term_is_the_cross_entropy_against_a_gaussian_of_one_cell(objective, looked):
    params, batch = looked
    found = float(terms.keypoint_heatmap(objective.inputs(params, batch, ())))
    total = 0.0
    for logits, place in zip(
        params.keypoint_logits.flatten(0, 1), batch.keypoints_2d.flatten(0, 1), strict=True
    ):
        x, y = (place * SIDE).tolist()
        density = torch.tensor(
            [
                [math.exp(-((c + 0.5 - x) ** 2 + (r + 0.5 - y) ** 2) / 2) for c in range(SIDE)]
                for r in range(SIDE)
            ]
        )
        log_heat = logits.flatten().log_softmax(0).reshape(SIDE, SIDE)
        total -= float((density / density.sum() * log_heat).sum())
    joints = batch.keypoints_2d.shape[0] * batch.keypoints_2d.shape[1]
    assert found == pytest.approx(total / joints / math.log(SIDE * SIDE), rel=1e-5)


def test_map_that_knows_nothing_costs_one(objective, looked):
    params, batch = looked
    flat = replace(params, keypoint_logits=torch.zeros_like(params.keypoint_logits))
    assert float(terms.keypoint_heatmap(objective.inputs(flat, batch, ()))) == pytest.approx(1.0)


def test_place_term_is_the_mean_absolute_error(objective, looked):
    params, batch = looked
    expected = (params.keypoint_xy - batch.keypoints_2d).abs().sum(dim=-1).mean()
    found = terms.keypoint_place(objective.inputs(params, batch, ()))
    torch.testing.assert_close(found, expected)


def test_confidence_term_is_least_where_scale_is_half_the_error(objective, looked):
    params, batch = looked
    distance = (params.keypoint_xy - batch.keypoints_2d).norm(dim=-1)

    def value(factor: float) -> float:
        told = replace(params, keypoint_scale=factor * distance)
        return float(terms.keypoint_confidence(objective.inputs(told, batch, ())))

    assert value(0.5) < min(value(0.4), value(0.6))


def test_joints_that_are_not_seen_have_no_heat_map_but_a_place(objective, looked):
    params, batch = looked
    unseen = replace(batch, keypoint_visibility=torch.zeros_like(batch.keypoint_visibility))
    inputs = objective.inputs(params, unseen, ())
    assert float(terms.keypoint_heatmap(inputs)) == 0.0
    assert float(terms.keypoint_place(inputs)) > 0.0


def test_joints_out_of_frame_or_ignored_do_not_count(insect, looked):
    params, batch = looked
    loss = LossConfig(
        ignored_joints=(insect.skeleton.joint_names[3],), verbose_ignored_joints=False
    )
    objective = Objective(insect, loss, BodyConfig(), ModelConfig())
    moved = batch.keypoints_2d.clone()
    moved[:, 3] = 0.9
    moved[:, 4] = 1.4
    elsewhere = params.keypoint_xy.clone()
    elsewhere[:, 4] = 0.1
    for term in (terms.keypoint_heatmap, terms.keypoint_place, terms.keypoint_confidence):
        first = term(objective.inputs(params, replace(batch, keypoints_2d=moved), ()))
        moved[:, 3] = 0.2
        other = replace(params, keypoint_xy=elsewhere)
        second = term(objective.inputs(other, replace(batch, keypoints_2d=moved), ()))
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", ["keypoint_heatmap", "keypoint_place", "keypoint_confidence"])
def test_gradient_is_that_of_finite_differences(name, objective, looked):
    params, batch = looked
    field = {"keypoint_heatmap": "keypoint_logits", "keypoint_place": "keypoint_xy"}.get(
        name, "keypoint_scale"
    )
    start = getattr(params, field)[:1, :2].double()

    def value(part: torch.Tensor) -> torch.Tensor:
        whole = getattr(params, field).double().clone()
        whole[:1, :2] = part
        return getattr(terms, name)(objective.inputs(replace(params, **{field: whole}), batch, ()))

    torch.autograd.gradcheck(value, (start.requires_grad_(),), eps=1e-6, atol=1e-5)


def test_terms_are_left_out_for_heads_that_do_not_look_at_joints(objective, make_truth, looked):
    params, batch = looked
    assert {"keypoint_heatmap", "keypoint_place"} <= set(objective(params, batch, 0).terms)
    plain = replace(params, keypoint_xy=None, keypoint_scale=None, keypoint_logits=None)
    assert not {"keypoint_heatmap", "keypoint_place", "keypoint_confidence"} & set(
        objective(plain, batch, 0).terms
    )
