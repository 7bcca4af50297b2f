"""The whole loss: only what has a weight, refused before the first batch where it cannot be."""

from dataclasses import replace

import pytest
import torch

from smil_ray.body.smil_model import PosedBody
from smil_ray.config import BodyConfig, LossConfig, ModelConfig
from smil_ray.core.batch import LABELS
from smil_ray.errors import ConfigError
from smil_ray.losses.objective import Objective

EVERYTHING: dict[str, int] = dict.fromkeys(LABELS, 10)


def build(insect, model=None, body=None, **loss):
    return Objective(insect, LossConfig(**loss), body or BodyConfig(), model or ModelConfig())


def test_total_is_the_weighted_sum_of_the_terms(insect, make_truth, perturb):
    params, batch = make_truth()
    objective = build(insect, base_weights={"betas": 2.0, "keypoint_3d": 0.5, "fov": 0.0})
    result = objective(perturb(params, 0.1), batch, 0)
    assert set(result.terms) == {"betas", "keypoint_3d"}
    assert result.weights == {"betas": 2.0, "keypoint_3d": 0.5, "fov": 0.0}
    expected = 2.0 * result.terms["betas"] + 0.5 * result.terms["keypoint_3d"]
    torch.testing.assert_close(result.total.detach(), expected)
    assert not any(term.requires_grad for term in result.terms.values())
    result.total.backward()


@pytest.mark.parametrize("frame", ["camera", "root"])
@pytest.mark.parametrize("representation", ["6d", "axis_angle"])
def test_default_loss_is_zero_at_the_truth_in_both_frames(
    frame, representation, insect, make_truth
):
    params, batch = make_truth(frame=frame, representation=representation)
    model = ModelConfig(reference_frame=frame, rotation_representation=representation)
    assert float(build(insect, model)(params, batch, 0).total) < 1e-5


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_default_loss_reaches_every_parameter_in_both_frames(frame, insect, make_truth, perturb):
    params, batch = make_truth(frame=frame)
    leaves = perturb(params, 0.05)
    build(insect, ModelConfig(reference_frame=frame))(leaves, batch, 0).total.backward()
    informative = {
        "camera": ("global_rot", "joint_rot", "betas", "trans", "fov"),
        "root": ("cam_rot", "cam_trans", "joint_rot", "betas", "fov"),
    }[frame]
    gradients = {name: leaf.grad for name, leaf in leaves.as_dict().items()}
    for name in informative:
        gradient = gradients[name]
        assert gradient is not None
        assert gradient.abs().max() > 0


def test_stage_switches_terms_on(insect, make_truth):
    params, batch = make_truth()
    objective = build(
        insect, base_weights={"betas": 1.0}, stages=((3, {"betas": 0.0, "keypoint_2d": 1.0}),)
    )
    assert set(objective(params, batch, 2.9).terms) == {"betas"}
    assert set(objective(params, batch, 3).terms) == {"keypoint_2d"}


def test_vertices_are_computed_only_for_the_silhouette(insect, make_truth, monkeypatch):
    params, batch = make_truth(count=1)

    def refuse(_):
        raise AssertionError("skinned without need")

    monkeypatch.setattr(PosedBody, "skin", refuse)
    build(insect)(params, batch, 0)
    with pytest.raises(AssertionError, match="skinned"):
        build(insect, base_weights={"silhouette": 1.0})(params, batch, 0)


def test_joints_are_not_computed_for_parameter_terms(insect, make_truth):
    params, batch = make_truth(count=1)
    assert build(insect).inputs(params, batch, ("betas", "fov")).joints is None


def test_constant_terms_still_give_a_graph(insect, make_truth, perturb):
    params, batch = make_truth(count=1, frame="camera")
    leaves = perturb(params, 0.0)
    constant = replace(leaves, cam_rot=leaves.cam_rot.detach())
    total = build(insect, base_weights={"cam_rot": 1.0})(constant, batch, 0).total
    assert total.requires_grad
    total.backward()
    gradients = [value.grad for value in leaves.as_dict().values() if value.grad is not None]
    assert gradients
    assert not any(gradient.any() for gradient in gradients)


def test_batch_in_another_frame_is_refused(insect, make_truth):
    params, batch = make_truth(frame="root")
    with pytest.raises(ConfigError, match=r"reference_frame.*camera.*root"):
        build(insect)(params, batch, 0)


def test_posed_gives_the_labelled_joints_at_the_truth(insect, make_truth):
    params, batch = make_truth(frame="root")
    joints, xy = build(insect, ModelConfig(reference_frame="root")).posed(params, batch)
    torch.testing.assert_close(joints, batch.keypoints_3d, atol=1e-4, rtol=0)
    torch.testing.assert_close(xy, batch.keypoints_2d, atol=1e-4, rtol=0)


def test_rest_joints_follow_the_body_settings(insect, make_truth):
    params, batch = make_truth(count=1)
    joints = {
        rest: build(insect, body=BodyConfig(rest_joints=rest)).posed(params, batch)[0]
        for rest in ("static", "regressed")
    }
    assert (joints["static"] - joints["regressed"]).abs().max() > 1e-3


def test_check_accepts_the_defaults_on_complete_data(insect):
    build(insect).check(EVERYTHING)


@pytest.mark.parametrize(
    ("term", "label"),
    [
        ("betas", "betas"),
        ("fov", "camera"),
        ("keypoint_2d", "keypoints_2d"),
        ("silhouette", "mask"),
    ],
)
def test_check_refuses_a_weight_for_a_label_that_the_data_lacks(term, label, insect):
    objective = build(insect, base_weights={"joint_rot": 1.0}, stages=((4, {term: 0.1}),))
    with pytest.raises(ConfigError, match=f"loss weight {term}.*{label}"):
        objective.check(EVERYTHING | {label: 0})
    with pytest.raises(ConfigError, match=f"loss weight {term}"):
        objective.check({"joint_rot": 3})


@pytest.mark.parametrize("term", ["log_beta_scales", "betas_trans", "limb_scale"])
def test_check_refuses_a_weight_for_what_the_network_does_not_predict(term, insect):
    objective = build(insect, base_weights={term: 1.0})
    with pytest.raises(ConfigError, match=r"other than ignore"):
        objective.check(EVERYTHING)


def test_check_refuses_joint_limits_of_a_model_without(insect):
    objective = build(insect, base_weights={"joint_limit": 1.0})
    objective.check(EVERYTHING)
    objective.model = replace(insect, joint_limits=None)
    with pytest.raises(ConfigError, match="joint_limits"):
        objective.check(EVERYTHING)


def test_check_refuses_a_start_without_any_weight(insect):
    objective = build(insect, base_weights={"betas": 0.0}, stages=((2, {"betas": 1.0}),))
    with pytest.raises(ConfigError, match="epoch 0"):
        objective.check(EVERYTHING)


@pytest.mark.parametrize("setting", ["ignored_joints", "joint_importance"])
def test_unknown_joint_names_its_neighbour(setting, insect):
    value = ("b_a_55",) if setting == "ignored_joints" else {"b_a_55": 2.0}
    with pytest.raises(ConfigError, match=rf"loss\.{setting}.*b_a_55.*'b_a_5'"):
        build(insect, **{setting: value})


def test_ignoring_every_joint_is_refused(insect):
    with pytest.raises(ConfigError, match="some joint left"):
        build(insect, ignored_joints=insect.skeleton.joint_names)


def test_ignored_joints_are_named_unless_that_is_not_wanted(insect):
    line = build(insect, ignored_joints=("b_a_5",)).ignored_joints()
    assert line == "ignored joints: b_a_5; 54 of 55 joints are supervised"
    quiet = build(insect, ignored_joints=("b_a_5",), verbose_ignored_joints=False)
    assert quiet.ignored_joints() is None
    assert build(insect).ignored_joints() is None


def test_default_terms_that_a_configuration_leaves_without_a_weight_are_named(insect):
    assert build(insect).without_weight() is None
    some = {term: 1.0 for term in LossConfig().base_weights if term not in ("betas", "fov")}
    assert build(insect, base_weights=some).without_weight() == (
        "loss terms without a weight: betas, fov"
    )
    later = ({"epoch": 1, "weights": {"betas": 1.0}},)
    assert build(insect, base_weights=some, stages=later).without_weight() == (
        "loss terms without a weight: fov"
    )


@pytest.mark.usefixtures("silhouette_kernels")
def test_silhouette_of_the_truth_costs_less_than_of_a_shifted_body(insect, make_truth, perturb):
    params, batch = make_truth(count=1, image_size=32)
    weights = {"base_weights": {"silhouette": 1.0}, "silhouette_size": 32}
    objective = build(insect, **weights)
    inputs = objective.inputs(params, batch, ("silhouette",))
    assert inputs.silhouette is not None
    mask = (inputs.silhouette[:, None] * 255).to(torch.uint8)
    batch = replace(batch, mask=mask)
    leaves = perturb(params, 0.0)
    aside = replace(leaves, trans=leaves.trans + torch.tensor([[0.3, 0.0, 0.0]]))
    shifted = objective(aside, batch, 0)
    assert objective(params, batch, 0).total.item() < shifted.total.item()
    shifted.total.backward()
    assert leaves.trans.grad is not None
    assert leaves.trans.grad.isfinite().all()
    assert leaves.trans.grad[0, 0] > 0
