"""Where an estimate puts the joints: the body as a network sees it while it still estimates."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.body import lbs
from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.params import SmilParams
from smil_ray.models.heads.output import EstimatedJoints
from smil_ray.render.camera import Camera

_SHORTEST = 1e-6


class Kinematics(nn.Module):
    """Joints of a SMIL model by forward kinematics, without its vertices.

    Args:
        model: The SMIL model whose parameters the network predicts.
        body: Which rest joints count, and whether scales are handed on.
    """

    rest: Tensor
    directions: Tensor
    below: Tensor
    child_mean: Tensor

    def __init__(self, model: SmilModel, body: BodyConfig) -> None:
        super().__init__()
        self.parents = model.skeleton.parents
        self.propagate_scaling = body.propagate_scaling
        self.unit = float(model.body_length)
        rest, directions = model.joint_basis(body.rest_joints)
        below = torch.from_numpy(model.skeleton.lineage.T & ~np.eye(model.n_joints, dtype=bool))
        children = torch.zeros(model.n_joints, model.n_joints)
        for joint, own in enumerate(model.skeleton.children):
            children[joint, list(own)] = 1.0 / max(len(own), 1)
        for name, value in (
            ("rest", rest.float()),
            ("directions", directions.float()),
            ("below", below.float()),
            ("child_mean", children),
        ):
            self.register_buffer(name, value.clone(), persistent=False)

    def forward(
        self, params: SmilParams, intrinsics: Float[Tensor, "batch 4"] | None
    ) -> EstimatedJoints:
        """Return the joints of `params`; of `intrinsics` only the principal point is used."""
        rest = lbs.blend_shapes(params.betas, self.rest, self.directions)
        plan = lbs.kinematic_plan(self.parents, rest.device)
        local = lbs.local_transforms(
            params.rotation_matrices(),
            rest,
            params.log_beta_scales,
            params.betas_trans,
            plan,
            propagate_scaling=self.propagate_scaling,
        )
        world = lbs.forward_kinematics(local, plan)
        joints = world[..., :3, 3]
        joints = joints + (params.trans - rest[:, 0])[:, None]
        point = None if intrinsics is None else intrinsics.nan_to_num(nan=0.5)
        camera = Camera.from_params(params, point)
        in_camera = camera.to_camera(joints)
        xy, _ = camera.project(joints)
        axes = params.cam_rot.mT[:, None] @ world[..., :3, :3]
        extent = in_camera[:, :1, 2:] * torch.tan(torch.deg2rad(params.fov) / 2.0)[:, None]
        return EstimatedJoints(
            xy=xy,
            position=(in_camera - in_camera[:, :1]) / self.unit,
            rotation=axes / axes.norm(dim=-2, keepdim=True).clamp_min(_SHORTEST),
            extent=extent / self.unit,
            below=self.below,
            child_mean=self.child_mean,
        )
