"""The body model the straightforward way: what `smil_ray.body` is timed and checked against.

This is the published SMPL/SMAL algorithm as its usual implementations run it: vertices always,
pose blend shapes multiplied even where they are all zero, one 4 x 4 product after another along
the tree, a 4 x 4 matrix for every vertex, and joints regressed from the posed vertices.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.params import SmilParams


@dataclass(frozen=True)
class PlainBody:
    """Arrays of a model as the straightforward algorithm wants them.

    Attributes:
        template: (V, 3).
        shapedirs: (B, 3 V).
        posedirs: (9 (J - 1), 3 V), zeros where the model has none.
        regressor: (V, J).
        weights: (V, J).
        parents: Parent of each joint, -1 for the root.
    """

    template: Tensor
    shapedirs: Tensor
    posedirs: Tensor
    regressor: Tensor
    weights: Tensor
    parents: tuple[int, ...]

    @classmethod
    def of(cls, model: SmilModel) -> "PlainBody":
        """Return the arrays of a model that has a joint regressor."""
        if model.joint_regressor is None:
            raise ValueError(f"{model.name} has no joint regressor")
        features, width = 9 * (model.n_joints - 1), 3 * model.n_verts
        posedirs = torch.zeros(features, width)
        if model.posedirs is not None:
            posedirs = model.posedirs.reshape(width, features).T.contiguous()
        return cls(
            template=model.v_template,
            shapedirs=model.shapedirs.reshape(width, model.n_betas).T.contiguous(),
            posedirs=posedirs,
            regressor=model.joint_regressor.T.contiguous(),
            weights=model.weights,
            parents=model.skeleton.parents,
        )

    def pose(self, params: SmilParams) -> tuple[Tensor, Tensor]:
        """Return vertices (N, V, 3) and regressed joints (N, J, 3); scales are propagated."""
        batch, verts = len(params.betas), len(self.template)
        shaped = self.template + (params.betas @ self.shapedirs).view(batch, verts, 3)
        rest = torch.stack([shaped[..., axis] @ self.regressor for axis in range(3)], dim=2)
        pose = torch.cat([params.global_rot[:, None], params.joint_rot], dim=1)
        rotations = rodrigues(pose.reshape(-1, 3)).view(batch, -1, 3, 3)
        features = (rotations[:, 1:] - torch.eye(3)).reshape(batch, -1)
        posed = shaped + (features @ self.posedirs).view(batch, verts, 3)
        chain = self._chain(rotations, rest, params)
        rest_column = torch.nn.functional.pad(rest, (0, 1))[..., None]
        chain = chain - torch.nn.functional.pad(chain @ rest_column, (3, 0))
        weights = self.weights.tile(batch, 1, 1)
        blended = (weights @ chain.view(batch, -1, 16)).view(batch, verts, 4, 4)
        homogeneous = torch.cat([posed, torch.ones(batch, verts, 1)], dim=2)[..., None]
        vertices = (blended @ homogeneous)[..., :3, 0]
        vertices = vertices + (params.trans - rest[:, 0])[:, None]
        joints = [vertices[..., axis] @ self.regressor for axis in range(3)]
        return vertices, torch.stack(joints, dim=2)

    def _chain(self, rotations: Tensor, rest: Tensor, params: SmilParams) -> Tensor:
        """Return each joint's transform (N, J, 4, 4), joint after joint."""
        scales, offsets = torch.ones_like(rest), torch.zeros_like(rest)
        if params.log_beta_scales is not None:
            scales = params.log_beta_scales.exp()
        if params.betas_trans is not None:
            offsets = params.betas_trans * torch.tensor([1.0, -1.0, 1.0])
        chain = [rigid(rotations[:, 0], rest[:, 0])]
        for joint, parent in enumerate(self.parents[1:], start=1):
            linear = rotations[:, joint] @ torch.diag_embed(scales[:, joint])
            bone = rest[:, joint] - rest[:, parent] + offsets[:, joint]
            chain.append(chain[parent] @ rigid(linear, bone))
        return torch.stack(chain, dim=1)


def rodrigues(axis_angle: Tensor) -> Tensor:
    """Return rotation matrices (N, 3, 3) of axis-angle vectors (N, 3), by quaternions."""
    angle = (axis_angle + 1e-8).norm(dim=1, keepdim=True)
    half = 0.5 * angle
    quaternion = torch.cat([half.cos(), half.sin() * axis_angle / angle], dim=1)
    w, x, y, z = (quaternion / quaternion.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        *(w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (w * y + x * z)),
        *(2 * (w * z + x * y), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (w * x + y * z), w * w - x * x - y * y + z * z),
    ]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def rigid(linear: Tensor, offset: Tensor) -> Tensor:
    """Return 4 x 4 transforms from linear parts (N, 3, 3) and offsets (N, 3)."""
    upper = torch.cat([linear, offset[..., None]], dim=2)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(len(linear), 1, 4)
    return torch.cat([upper, last], dim=1)
