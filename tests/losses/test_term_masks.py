"""Presence, visibility and ignored joints are three masks, and NaN never gets through."""

from dataclasses import replace

import pytest
import torch

from smil_ray.config import (
    LOSS_TERM_NAMES,
    BodyConfig,
    LossConfig,
    ModelConfig,
    ReferenceFrame,
)
from smil_ray.core.batch import LABELS
from smil_ray.losses.objective import Objective
from smil_ray.losses.term_inputs import batch_mean, joint_mean
from smil_ray.losses.terms import LOSS_TERMS, TERM_LABELS

COMPARING = tuple(
    name for name, label in TERM_LABELS.items() if label is not None and name != "silhouette"
)


def build(insect, frame: ReferenceFrame = "camera", prior=None, **loss):
    model_config = ModelConfig(reference_frame=frame, joint_scales="pca", joint_translations="pca")
    return Objective(insect, LossConfig(**loss), BodyConfig(), model_config, prior)


def without_labels(batch, row):
    """The batch with sample `row` stripped of every label, as a reader would leave it."""

    def blank(value):
        value = value.clone()
        value[row] = torch.nan
        return value

    fields = ("keypoints_2d", "keypoints_3d", "scale_weights", "trans_weights", "intrinsics")
    presence = {}
    for label in LABELS:
        presence[label] = batch.presence[label].clone()
        presence[label][row] = False
    visible, given = batch.keypoint_visibility.clone(), batch.keypoint_presence.clone()
    visible[row], given[row] = False, False
    return replace(
        batch,
        target=batch.target.map(blank),
        presence=presence,
        keypoint_visibility=visible,
        keypoint_presence=given,
        **{field: blank(getattr(batch, field)) for field in fields},
    )


def looked(params):
    """The parameters with heat maps, as of a head that looks at each joint."""
    count, joints = params.batch_size, params.joint_rot.shape[1] + 1
    generator = torch.Generator().manual_seed(7)
    return replace(
        params,
        keypoint_xy=torch.rand(count, joints, 2, generator=generator),
        keypoint_scale=torch.ones(count, joints),
        keypoint_logits=torch.randn(count, joints, 4, 4, generator=generator),
    )


def only(params, batch, row):
    keep = slice(row, row + 1)
    values = {
        key: value[keep] for key, value in vars(batch).items() if isinstance(value, torch.Tensor)
    }
    presence = {label: value[keep] for label, value in batch.presence.items()}
    target = batch.target[keep]
    names = batch.names[keep]
    return params[keep], replace(batch, target=target, presence=presence, names=names, **values)


def test_joint_mean_weighs_and_masks():
    values = torch.tensor([[1.0, 3.0, torch.nan], [5.0, 6.0, 7.0]])
    weights = torch.tensor([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    assert joint_mean(values, weights).tolist() == [2.5, 0.0]


def test_batch_mean_divides_by_the_batch_size():
    present = torch.tensor([True, False])
    assert batch_mean(torch.tensor([4.0, torch.nan]), present) == 2.0


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("frame", ["camera", "root"])
@pytest.mark.parametrize("name", COMPARING)
def test_sample_without_labels_adds_nothing(name, normalise, frame, insect, make_truth, perturb):
    params, batch = make_truth(count=2, frame=frame)
    objective = build(insect, frame, normalise=normalise)
    leaves = perturb(looked(params), 0.1)
    inputs = objective.inputs(leaves, without_labels(batch, 0), (name,))
    value = LOSS_TERMS[name](inputs)
    alone, its_batch = only(leaves, batch, 1)
    expected = LOSS_TERMS[name](objective.inputs(alone, its_batch, (name,))) / 2
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    value.backward()
    for leaf in leaves.as_dict().values():
        if leaf.grad is not None:
            assert leaf.grad.isfinite().all()
            assert leaf.grad[0].abs().max() == 0.0


@pytest.mark.parametrize("name", COMPARING)
def test_batch_without_the_label_gives_zero_with_a_gradient_of_zero(
    name, insect, make_truth, perturb
):
    params, batch = make_truth(count=1)
    leaves = perturb(looked(params), 0.1)
    value = LOSS_TERMS[name](build(insect).inputs(leaves, without_labels(batch, 0), (name,)))
    assert value.item() == 0.0
    value.backward()
    gradients = [leaf.grad for leaf in leaves.as_dict().values() if leaf.grad is not None]
    assert all(gradient.abs().max() == 0.0 for gradient in gradients)


def test_terms_are_linear_in_the_samples(insect, make_truth, perturb):
    params, batch = make_truth(count=4)
    batch = without_labels(batch, 2)
    moved = perturb(looked(params), 0.1).detach()
    objective = build(insect)
    for name in COMPARING:
        whole = LOSS_TERMS[name](objective.inputs(moved, batch, (name,)))
        parts = [
            LOSS_TERMS[name](objective.inputs(*only(moved, batch, row), (name,)))
            for row in range(4)
        ]
        assert float(whole) == pytest.approx(float(torch.stack(parts).mean()), rel=1e-4), name


def change_joint(batch, joint):
    """The batch with the labels of one joint far off."""
    points, pixels = batch.keypoints_3d.clone(), batch.keypoints_2d.clone()
    points[:, joint] += 1.0
    pixels[:, joint] = 0.5
    rotations = batch.target.joint_rot.clone()
    rotations[:, joint - 1] += 1.0
    target = replace(batch.target, joint_rot=rotations)
    return replace(batch, keypoints_3d=points, keypoints_2d=pixels, target=target)


JOINT_TERMS = ("joint_rot", "keypoint_2d", "keypoint_3d")


@pytest.mark.parametrize("name", JOINT_TERMS)
def test_ignored_joint_does_not_count(name, insect, make_truth):
    params, batch = make_truth()
    joint = insect.skeleton.index["b_a_5"]
    wrong = change_joint(batch, joint)
    ignoring = build(insect, ignored_joints=("b_a_5",))
    assert float(LOSS_TERMS[name](ignoring.inputs(params, wrong, (name,)))) < 1e-6
    assert float(LOSS_TERMS[name](build(insect).inputs(params, wrong, (name,)))) > 1e-5


@pytest.mark.parametrize("name", JOINT_TERMS)
def test_unseen_joint_counts_by_its_weight(name, insect, make_truth):
    params, batch = make_truth(count=1)
    joint = insect.skeleton.index["b_a_5"]
    hidden = batch.keypoint_visibility.clone()
    hidden[:, joint] = False
    wrong = replace(change_joint(batch, joint), keypoint_visibility=hidden)
    values = [
        float(
            LOSS_TERMS[name](
                build(insect, unseen_joint_weight=weight).inputs(params, wrong, (name,))
            )
        )
        for weight in (0.0, 1.0)
    ]
    assert values[0] < 1e-6
    assert (values[1] > 1e-5) == (name != "keypoint_2d")


def test_joint_that_the_data_lacks_does_not_count(insect, make_truth):
    params, batch = make_truth(count=1)
    joint = insect.skeleton.index["b_a_5"]
    given, points = batch.keypoint_presence.clone(), batch.keypoints_3d.clone()
    given[:, joint] = False
    points[:, joint] = torch.nan
    lacking = replace(batch, keypoint_presence=given, keypoints_3d=points)
    value = LOSS_TERMS["keypoint_3d"](build(insect).inputs(params, lacking, ("keypoint_3d",)))
    assert float(value) < 1e-8


def test_keypoint_outside_the_frame_does_not_count_in_2d(insect, make_truth):
    params, batch = make_truth(count=1)
    pixels = batch.keypoints_2d.clone()
    pixels[:, 5] = torch.tensor([1.2, 0.5])
    visible = torch.ones_like(batch.keypoint_visibility)
    visible[:, ~batch.keypoint_visibility[0]] = False
    outside = replace(batch, keypoints_2d=pixels, keypoint_visibility=visible)
    value = LOSS_TERMS["keypoint_2d"](build(insect).inputs(params, outside, ("keypoint_2d",)))
    assert float(value) < 1e-9


def test_important_joint_counts_as_many(insect, make_truth):
    params, batch = make_truth(count=1)
    joint = insect.skeleton.index["b_a_5"]
    wrong = change_joint(batch, joint)
    name = "keypoint_3d"
    plain = float(LOSS_TERMS[name](build(insect).inputs(params, wrong, (name,))))
    heavy = build(insect, joint_importance={"b_a_5": 10.0})
    n = insect.n_joints - 1
    value = float(LOSS_TERMS[name](heavy.inputs(params, wrong, (name,))))
    assert value == pytest.approx(plain * 10 * n / (n + 9), rel=1e-4)


def test_regularisers_need_no_label(insect, make_truth, prior):
    params, batch = make_truth(count=1)
    bare = without_labels(batch, 0)
    for name in set(LOSS_TERM_NAMES) - set(COMPARING) - {"silhouette"}:
        inputs = build(insect, prior=prior).inputs(params, bare, (name,))
        assert LOSS_TERMS[name](inputs).isfinite()
