"""Joint places in numpy are those of the body model."""

import numpy as np
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.data.synthetic.poses._kinematics import joint_places


def test_joint_places_are_those_of_the_body_model_for_any_batch() -> None:
    model = SmilModel.builtin().to(dtype=torch.float64)
    pose = np.random.default_rng(0).normal(0.0, 0.6, (2, 3, model.skeleton.n_pose, 3))
    rest = model.source.joints_at_rest()
    places = joint_places(model.skeleton, rest, pose)
    matrices = rotations.axis_angle_to_matrix(torch.from_numpy(pose))
    root = torch.eye(3, dtype=torch.float64).expand(2, 3, 1, 3, 3)
    shaped = model.with_shape(torch.zeros(model.n_betas, dtype=torch.float64))
    posed = shaped.with_pose(torch.cat([root, matrices], dim=2))
    np.testing.assert_allclose(places, posed.joints.numpy(), atol=1e-12)
