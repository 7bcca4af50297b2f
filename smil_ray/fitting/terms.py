"""Terms of the fitting objective, one value for each animal.

`TERMS` is the registry: a function of a `State` that returns a value for each animal. To add a
term, write the function and its line, and give it a weight in `stages.STAGES`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.params import SmilParams
from smil_ray.render.camera import Camera

ROBUST_SHARE = 0.05
"""2D distances well beyond this share of the picture count hardly more: they are mistakes."""


@dataclass(frozen=True)
class Target:
    """What bodies are fitted to.

    Attributes:
        xy: Joints in the picture, fractions of width and height; anything where not known.
        known: Which joints count.
        scale: How far off each may be, a fraction of the picture; 1 everywhere weights them alike.
        intrinsics: fx, fy, cx, cy as fractions; only the principal point is used.
    """

    xy: Float[Tensor, "batch n_joints 2"]
    known: Bool[Tensor, "batch n_joints"]
    scale: Float[Tensor, "batch n_joints"] | None = None
    intrinsics: Float[Tensor, "batch 4"] | None = None


@dataclass(frozen=True)
class State:
    """A batch of bodies on the way, in the camera frame.

    Attributes:
        params: Axis-angle.
        start: What the pose prior pulls towards.
        joints: Camera coordinates, model units.
        target: What they are fitted to.
    """

    params: SmilParams
    start: SmilParams
    joints: Float[Tensor, "batch n_joints 3"]
    target: Target
    model: SmilModel


def keypoint_2d(state: State) -> Float[Tensor, " batch"]:
    """Return the mean robust squared distance of projected joints (Geman and McClure 1987)."""
    target = state.target
    camera = Camera.from_params(state.params, target.intrinsics)
    xy, _ = camera.project(state.joints)
    square = (xy - torch.where(target.known[..., None], target.xy, xy)).square().sum(dim=-1)
    robust = square / (square + ROBUST_SHARE**2)
    weight = target.known.to(robust.dtype)
    if target.scale is not None:
        weight = weight * (target.scale.clamp_min(1e-3) / 1e-2).reciprocal().clamp_max(1.0)
    return (weight * robust).sum(dim=1) / weight.sum(dim=1).clamp_min(1e-9)


def pose_prior(state: State) -> Float[Tensor, " batch"]:
    """Return the mean squared turn of joints away from the start, radians squared."""
    turn = rotations.axis_angle_to_matrix(state.params.joint_rot).mT
    turn = turn @ rotations.axis_angle_to_matrix(state.start.joint_rot)
    return (3.0 - turn.diagonal(dim1=-2, dim2=-1).sum(dim=-1)).clamp_min(0.0).mean(dim=1)


def joint_limits(state: State) -> Float[Tensor, " batch"]:
    """Return the mean squared excess over the model's joint limits; 0 for models without."""
    limits = state.model.joint_limits
    if limits is None:
        return state.params.betas.new_zeros(state.params.batch_size)
    low, high = limits[1:, :, 0], limits[1:, :, 1]
    angles = state.params.joint_rot
    return ((low - angles).clamp_min(0) + (angles - high).clamp_min(0)).square().mean(dim=(1, 2))


def shape_prior(state: State) -> Float[Tensor, " batch"]:
    """Return the squared Mahalanobis distance of the shape from the population's mean, mean."""
    away = state.params.betas - state.model.shape_mean
    if not away.shape[1]:
        return away.new_zeros(len(away))
    cov = state.model.shape_cov
    if cov is None:
        return away.square().mean(dim=1)
    eye = 1e-6 * torch.eye(len(cov), dtype=cov.dtype, device=cov.device)
    return (away * torch.linalg.solve(cov + eye, away.mT).mT).mean(dim=1)


def smoothness(state: State) -> Float[Tensor, " batch"]:
    """Return how far joints move from one row to the next, squared body lengths.

    Only for rows that are the frames of one animal in order.
    """
    rooted = (state.joints - state.joints[:, :1]) / state.model.body_length
    step = (rooted[1:] - rooted[:-1]).square().sum(dim=-1).mean(dim=1)
    zero = step.new_zeros(1)
    return 0.5 * (torch.cat([zero, step]) + torch.cat([step, zero]))


TERMS: dict[str, Callable[[State], Tensor]] = {
    "keypoint_2d": keypoint_2d,
    "pose_prior": pose_prior,
    "joint_limits": joint_limits,
    "shape_prior": shape_prior,
    "smoothness": smoothness,
}
