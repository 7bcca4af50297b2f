"""Samples with 2D labels only: what their gradients reach, and what does not count them."""

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
from smil_ray.losses.objective import Objective
from smil_ray.losses.terms import TERM_LABELS
from tests.partial_labels import batch_with_two_d_only

COMPARING_3D = tuple(
    name for name, label in TERM_LABELS.items() if label not in (None, "keypoints_2d", "mask")
)
REACHED: dict[ReferenceFrame, tuple[str, ...]] = {
    "camera": ("global_rot", "joint_rot", "betas", "trans", "fov"),
    "root": ("cam_rot", "joint_rot", "betas", "cam_trans", "fov"),
}
"""Pose, shape and camera, where each frame holds them."""


@pytest.fixture
def objective_of(insect):
    """Every comparing term has a weight: those of 3D and of parameters as well."""

    def build(frame: ReferenceFrame) -> Objective:
        terms = [t for t in LOSS_TERM_NAMES if TERM_LABELS[t] not in (None, "mask")]
        loss = LossConfig(base_weights=dict.fromkeys(terms, 1.0), stages=())
        scales = ModelConfig(reference_frame=frame, joint_scales="pca", joint_translations="pca")
        objective = Objective(insect.to(dtype=torch.float64), loss, BodyConfig(), scales)
        objective.joint_weights = objective.joint_weights.double()
        return objective

    return build


def in_float64(batch):
    values = {
        name: value.double()
        for name, value in vars(batch).items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    return replace(batch, target=batch.target.map(torch.Tensor.double), **values)


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_gradients_of_2d_labels_reach_pose_shape_and_camera(
    frame, objective_of, make_truth, perturb
):
    params, batch = make_truth(count=2, frame=frame)
    batch = in_float64(batch_with_two_d_only(batch))
    params = perturb(params.map(torch.Tensor.double), 0.02)
    objective = objective_of(frame)
    objective(params, batch, 0).total.backward()
    generator = torch.Generator().manual_seed(3)
    step = 1e-6
    for name in REACHED[frame]:
        leaf = getattr(params, name)
        direction = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
        low, high = (
            objective(
                replace(params, **{name: leaf.detach() + sign * step * direction}), batch, 0
            ).total.detach()
            for sign in (-1.0, 1.0)
        )
        slope = float((high - low) / (2.0 * step))
        assert abs(slope) > 1e-7, name
        assert float((leaf.grad * direction).sum()) == pytest.approx(slope, rel=1e-4), name


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_no_3d_or_parameter_term_counts_a_sample_with_2d_labels(
    frame, objective_of, make_truth, perturb
):
    params, batch = make_truth(count=2, frame=frame)
    params = perturb(params.map(torch.Tensor.double), 0.02)
    result = objective_of(frame)(params, in_float64(batch_with_two_d_only(batch)), 0)
    assert set(COMPARING_3D) <= set(result.terms)
    assert {name: float(result.terms[name]) for name in COMPARING_3D} == dict.fromkeys(
        COMPARING_3D, 0.0
    )
    assert float(result.terms["keypoint_2d"]) > 0.0


def test_samples_with_2d_labels_leave_the_others_gradients_alone(
    objective_of, make_truth, perturb
):
    params, batch = make_truth(count=2)
    params, batch = params.map(torch.Tensor.double), in_float64(batch)
    partial = batch_with_two_d_only(batch)
    first = torch.tensor([True, False])

    def mix(whole, part):
        return torch.where(first.reshape(-1, *[1] * (whole.ndim - 1)), whole, part)

    fields = {
        name: mix(value, getattr(partial, name))
        for name, value in vars(batch).items()
        if isinstance(value, torch.Tensor)
    }
    target = {
        name: mix(value, partial.target.as_dict()[name])
        for name, value in batch.target.as_dict().items()
    }
    mixed = replace(
        batch,
        target=type(batch.target).from_dict(target),
        presence={name: batch.presence[name] & first for name in batch.presence}
        | {"keypoints_2d": batch.presence["keypoints_2d"]},
        **fields,
    )
    objective = objective_of("camera")
    gradients = []
    for one in (batch, mixed):
        leaves = perturb(params, 0.05)
        objective(leaves, one, 0).total.backward()
        gradients.append(leaves.global_rot.grad)
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert not torch.equal(gradients[0][1], gradients[1][1])
    assert gradients[1].isfinite().all()
