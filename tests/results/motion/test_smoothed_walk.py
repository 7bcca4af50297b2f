"""A known walk, seen with errors: smoothing halves the jitter and costs no accuracy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.params import SmilParams
from smil_ray.data.synthetic.walk import Walk, WalkOptions
from smil_ray.results.motion.smoothing import (
    HALF_WIDTHS,
    jitter,
    local_weights,
    smooth_rotations,
)


def noisy(params: SmilParams, deg: float) -> SmilParams:
    """The walk with independent errors of every rotation in every frame."""
    rng = np.random.default_rng(0)
    shape = (params.batch_size, params.joint_rot.shape[1] + 1, 3)
    error = torch.from_numpy(rng.normal(0.0, np.radians(deg) / np.sqrt(3.0), shape)).float()
    turned = params.rotation_matrices() @ rotations.axis_angle_to_matrix(error)
    return with_rotations(params, turned)


def with_rotations(params: SmilParams, matrices: torch.Tensor) -> SmilParams:
    vectors = rotations.matrix_to_axis_angle(matrices)
    return replace(params, global_rot=vectors[:, 0], joint_rot=vectors[:, 1:])


def joints_of(params: SmilParams) -> np.ndarray:
    joints = SmilModel.builtin().pose(params).joints.numpy()
    return joints - joints[:, :1]


@pytest.mark.parametrize("strength", ["weak", "medium"])
@pytest.mark.parametrize("deg", [6.0, 15.0])
def test_jitter_is_halved_and_errors_do_not_grow(strength: str, deg: float) -> None:
    true = Walk(WalkOptions(frames=80)).params()
    seen = noisy(true, deg)
    frames = np.arange(80)
    places, weights = local_weights(frames, HALF_WIDTHS[strength])
    smooth = smooth_rotations(seen.rotation_matrices(), places, weights, frames)
    expected, before = joints_of(true), joints_of(seen)
    after = joints_of(with_rotations(seen, smooth))
    assert jitter(after).mean() < 0.5 * jitter(before).mean()
    errors = [np.linalg.norm(found - expected, axis=-1).mean() for found in (before, after)]
    assert errors[1] <= 1.02 * errors[0]
    assert errors[1] < 0.8 * errors[0]
