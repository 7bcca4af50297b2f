"""The body model against another implementation, and gradients; conventions_3d.md section 9."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smil_ray.body import builtin_insect
from smil_ray.body.lbs import kinematic_plan
from smil_ray.body.model_file.arrays import ModelArrays
from smil_ray.body.model_file.reading import read_model_file
from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from tests.body.loop_lbs import pose_one
from tests.body.small_models import small_arrays

MODES = [
    pytest.param(rest, propagate, id=f"{rest}-{'propagated' if propagate else 'own'}-scale")
    for rest in ("regressed", "static")
    for propagate in (True, False)
]


def largest_error(arrays: ModelArrays, rest: Any, propagate: bool) -> float:
    """Return how far joints and vertices are off the other implementation's, over their size."""
    random = np.random.default_rng(3)
    joints, betas = arrays.skeleton.n_joints, random.normal(size=arrays.shapedirs.shape[-1])
    pose = 0.6 * random.normal(size=(joints, 3))
    scales = np.exp(0.2 * random.normal(size=(joints, 3)))
    offsets, trans = 0.05 * random.normal(size=(joints, 3)), 10.0 * random.normal(size=3)
    model = SmilModel.from_arrays(arrays, dtype=torch.float64)
    shaped = model.with_shape(
        torch.tensor(betas), torch.tensor(scales).log(), torch.tensor(offsets), rest=rest
    )
    posed = shaped.with_pose(
        rotations.axis_angle_to_matrix(torch.tensor(pose)),
        torch.tensor(trans),
        propagate_scaling=propagate,
    )
    true_joints, true_vertices = pose_one(
        arrays,
        betas,
        pose,
        trans,
        scales,
        offsets,
        static=rest == "static",
        propagate=propagate,
    )
    pairs = (posed.joints.numpy(), true_joints), (posed.skin().numpy(), true_vertices)
    return float(
        np.max([np.abs(found - true).max() / np.abs(true).max() for found, true in pairs])
    )


@pytest.mark.parametrize(("rest", "propagate"), MODES)
def test_builtin_insect_equals_loop_by_loop_skinning(rest: str, propagate: bool) -> None:
    assert largest_error(builtin_insect.build(), rest, propagate) < 1e-6


@pytest.mark.parametrize(("rest", "propagate"), MODES)
def test_real_model_equals_loop_by_loop_skinning(
    real_data: Path, rest: str, propagate: bool
) -> None:
    arrays = read_model_file(real_data / "models" / "SMILy_STICK.pkl")
    assert largest_error(arrays, rest, propagate) < 1e-6


@pytest.mark.parametrize(("rest", "propagate"), MODES)
def test_model_with_pose_blend_shapes_equals_loop_by_loop_skinning(
    rest: str, propagate: bool
) -> None:
    assert largest_error(small_arrays(posedirs=True), rest, propagate) < 1e-6


@pytest.mark.parametrize(
    ("rest", "propagate", "posedirs"),
    [("regressed", True, True), ("regressed", False, False), ("static", True, False)],
)
def test_gradients_of_pose_shape_scales_and_translations(
    rest: Any, propagate: bool, posedirs: bool
) -> None:
    model = SmilModel.from_arrays(small_arrays(posedirs=posedirs), dtype=torch.float64)
    random = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        values = 0.4 * torch.randn(*shape, generator=random, dtype=torch.float64)
        return values.requires_grad_()

    def posed(
        pose: torch.Tensor,
        betas: torch.Tensor,
        log_scales: torch.Tensor,
        offsets: torch.Tensor,
        trans: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shaped = model.with_shape(betas, log_scales, offsets, rest=rest)
        matrices = rotations.axis_angle_to_matrix(pose)
        body = shaped.with_pose(matrices, trans, propagate_scaling=propagate)
        return body.joints, body.skin()

    inputs = (draw(5, 3), draw(2), draw(5, 3), draw(5, 3), draw(3))
    assert torch.autograd.gradcheck(posed, inputs)


def test_gradient_at_the_rest_pose_is_finite() -> None:
    model = SmilModel.from_arrays(small_arrays())
    pose = torch.zeros(5, 3, requires_grad=True)
    body = model.with_shape(torch.zeros(2)).with_pose(rotations.axis_angle_to_matrix(pose))
    body.skin().square().sum().backward()
    assert pose.grad is not None
    assert torch.isfinite(pose.grad).all()
    assert pose.grad.abs().max() > 0


def test_kinematic_plan_visits_every_joint_after_its_parent() -> None:
    parents = (-1, 0, 1, 0, 3, 4, 2)
    plan = kinematic_plan(parents, torch.device("cpu"))
    place = {joint: at for at, joint in enumerate(plan.order.tolist())}
    assert sorted(place) == list(range(7))
    assert all(place[parent] < place[joint] for joint, parent in enumerate(parents) if joint)
    assert plan.sizes == (1, 2, 2, 2)
    assert plan.order[plan.inverse].tolist() == list(range(7))
