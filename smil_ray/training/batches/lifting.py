"""Poses without pictures: a head that looks at joints learns what their places say about depth.

Rendering and a backbone cost far more than a pose. So each training step also draws bodies from
the training labels, puts them together anew, projects their joints, blurs the places as heat maps
would find them, and asks the head for the body.

Sources: lifting of joints in a picture to joints in space (Martinez et al. 2017, "A simple yet
effective baseline for 3d human pose estimation"); training on the projections of random bodies
(Sengupta et al. 2020, "Synthetic Training for Accurate 3D Human Pose and Shape Estimation in the
Wild").
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from smil_ray.core.batch import Batch
from smil_ray.core.params import (
    SmilParams,
    log_scales_from_weights,
    translations_from_weights,
)
from smil_ray.core.skeleton import Skeleton
from smil_ray.losses.objective import Objective
from smil_ray.models.features import JointPlaces

_NEEDED = ("global_rot", "joint_rot", "betas", "trans", "fov", "cam_rot", "cam_trans")
_CUT_AT_BRANCHES, _CUT_ELSEWHERE = 0.5, 0.05
"""How often the limb from a joint on comes from another sample than what it hangs on."""
_SIGMA, _JOINT_SIGMA = (0.006, 0.04), 0.5
"""Error of places, fraction of the picture: its range, and how it differs among joints."""
_LOST, _LOST_SIGMA = 0.1, 0.1
"""Share of joints that nobody sees, and the error of their places."""


@dataclass(frozen=True)
class LabelledPoses:
    """Labels of training samples of which bodies for lifting are put together."""

    labels: Batch
    skeleton: Skeleton

    @classmethod
    def of(cls, labels: Batch, skeleton: Skeleton) -> "LabelledPoses | None":
        """Return the samples whose pose, shape and camera are known; None where none is."""
        values = [getattr(labels.target, name).flatten(1) for name in _NEEDED]
        known = torch.cat(values, dim=1).isfinite().all(dim=1)
        rows = known.nonzero()[:, 0]
        return cls(labels.rows(rows), skeleton) if len(rows) else None

    def to(self, device: torch.device | str) -> "LabelledPoses":
        """Return the poses on a device."""
        return replace(self, labels=self.labels.to(device))

    def draw(self, count: int, objective: Objective) -> tuple[Batch, JointPlaces]:
        """Return bodies as a batch without pictures, and where their joints are seen.

        Randomness is that of torch's generator of the CPU.
        """
        target = self.labels.target
        total = target.betas.shape[0]
        own = torch.randint(total, (count,))
        donors = self._donors(own, total).to(target.betas.device)
        own = own.to(target.betas.device)
        joints = torch.arange(target.joint_rot.shape[1], device=own.device)
        first = donors.shape[1] - len(joints)
        batch = self.labels.rows(own)
        target = replace(batch.target, joint_rot=target.joint_rot[donors[:, first:], joints])
        with torch.no_grad():
            points, xy = objective.posed(_deformed(target, batch, objective), batch)
        sure = torch.ones_like(batch.keypoint_presence)
        every, none = sure[:, 0], ~sure[:, 0]
        presence = {"keypoints_2d": every, "keypoints_3d": every, "mask": none}
        batch = replace(
            batch,
            target=target,
            keypoints_2d=xy,
            keypoints_3d=points,
            keypoint_visibility=sure,
            keypoint_presence=sure,
            presence=batch.presence | presence,
        )
        return batch, as_seen(xy, batch.intrinsics)

    def _donors(self, own: Int64[Tensor, " n"], total: int) -> Int64[Tensor, "n n_joints"]:
        """Return which sample each joint's rotation is from; mostly its parent's."""
        parents, children = self.skeleton.parents, self.skeleton.children
        donors = own[:, None].repeat(1, len(parents))
        for joint, parent in enumerate(parents):
            if parent < 0:
                continue
            share = _CUT_AT_BRANCHES if len(children[parent]) > 1 else _CUT_ELSEWHERE
            other = torch.randint(total, own.shape)
            donors[:, joint] = torch.where(torch.rand(own.shape) < share, other, donors[:, parent])
        return donors


def as_seen(xy: Float[Tensor, "n n_joints 2"], intrinsics: Float[Tensor, "n 4"]) -> JointPlaces:
    """Return places as heat maps find them, some of them lost.

    Errors are those of trained heads on held-out pictures (`docs/learning.md`).
    """
    drawn = xy.shape[:2]
    low, high = map(math.log, _SIGMA)
    sigma = low + (high - low) * torch.rand(drawn[0], 1) + _JOINT_SIGMA * torch.randn(drawn)
    sigma = torch.where(torch.rand(drawn) < _LOST, _LOST_SIGMA, sigma.exp()).to(xy.device)
    noise = torch.randn(*drawn, 2).to(xy.device)
    outside = ((xy < 0.0) | (xy > 1.0)).any(dim=-1)
    sigma = torch.where(outside, _LOST_SIGMA, sigma)[..., None]
    return JointPlaces((xy + sigma * noise).clamp(0.0, 1.0), math.sqrt(2.0) * sigma, intrinsics)


def _deformed(params: SmilParams, batch: Batch, objective: Objective) -> SmilParams:
    """Return parameters with the joint scales and offsets of the labels, if networks have any."""
    config, model = objective.model_config, objective.model
    scales = offsets = None
    if config.joint_scales != "ignore" and model.scaledirs is not None:
        scales = log_scales_from_weights(batch.scale_weights.nan_to_num(), model.scaledirs)
    if config.joint_translations != "ignore" and model.transdirs is not None:
        offsets = translations_from_weights(batch.trans_weights.nan_to_num(), model.transdirs)
    return replace(params, log_beta_scales=scales, betas_trans=offsets)
