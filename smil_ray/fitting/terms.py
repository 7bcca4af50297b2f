"""Terms of the fitting objective, one value for each animal.

`TERMS` is the registry: a function of a `State` that returns a value for each animal. To add a
term, write the function and its line, and give it a weight in `stages`.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.core import rotations
from smil_ray.fitting.state import State
from smil_ray.render.camera import Camera

EXACT = 0.01
"""Places that may be off by no more than this share of the picture have the full weight."""
BONE_SCALE = 0.03
"""Usual deviation of the logarithm of a bone's scale."""
BONE_OFFSET = 0.003
"""Usual deviation of a joint from its place on the bone before, body lengths."""
SOFTNESS = 1e-4
"""Sigma of fitted silhouettes (`render.silhouette`), NDC squared: a pixel of 64 a side."""


def keypoint_2d(state: State) -> Float[Tensor, " batch"]:
    """Return the mean robust squared distance of projected joints (Geman and McClure 1987).

    Joints that may be off by `scale` weigh by (EXACT / scale) squared. The mean is over all known
    joints, sure and unsure: a picture of which nothing is sure pulls weakly.
    """
    target = state.target
    camera = Camera.from_params(state.params, target.intrinsics)
    xy, _ = camera.project(state.joints)
    square = (xy - torch.where(target.known[..., None], target.xy, xy)).square().sum(dim=-1)
    robust = square / (square + state.robust**2)
    known = target.known.to(robust.dtype)
    weight = known
    if target.scale is not None:
        weight = known * (EXACT / target.scale.clamp_min(EXACT)).square()
    return (weight * robust).sum(dim=1) / known.sum(dim=1).clamp_min(1e-9)


def silhouette(state: State) -> Float[Tensor, " batch"]:
    """Return 1 less the soft intersection over union with the mask; 0 without a mask."""
    masks = state.target.masks
    if masks is None:
        return state.params.fov.new_zeros(state.params.batch_size)
    drawn = state.silhouettes(*masks.shape[-2:], sigma=SOFTNESS)
    both = (drawn * masks).sum(dim=(1, 2))
    either = (drawn + masks - drawn * masks).sum(dim=(1, 2))
    return torch.where(masks.amax(dim=(1, 2)) > 0.0, 1.0 - both / either.clamp_min(1e-9), 0.0)


def pose_change(state: State) -> Float[Tensor, " batch"]:
    """Return the mean squared turn of joints away from the start, radians squared."""
    turn = rotations.axis_angle_to_matrix(state.params.joint_rot).mT
    turn = turn @ rotations.axis_angle_to_matrix(state.start.joint_rot)
    return (3.0 - turn.diagonal(dim1=-2, dim2=-1).sum(dim=-1)).clamp_min(0.0).mean(dim=1)


def pose_prior(state: State) -> Float[Tensor, " batch"]:
    """Return how unlikely the pose is, about 1 for poses like those known; 0 without a prior."""
    if state.prior is None:
        return state.params.fov.new_zeros(state.params.batch_size)
    return state.prior.pose_distance(state.params.joint_rot)


def joint_limits(state: State) -> Float[Tensor, " batch"]:
    """Return the mean squared excess over the model's joint limits; 0 for models without."""
    limits = state.model.joint_limits
    if limits is None:
        return state.params.betas.new_zeros(state.params.batch_size)
    low, high = limits[1:, :, 0], limits[1:, :, 1]
    angles = state.params.joint_rot
    return ((low - angles).clamp_min(0) + (angles - high).clamp_min(0)).square().mean(dim=(1, 2))


def shape_prior(state: State) -> Float[Tensor, " batch"]:
    """Return the squared Mahalanobis distance of the shape from the known ones' mean, mean.

    Without a prior the known ones are the population that the model states.
    """
    if state.prior is not None:
        return state.prior.shape_distance(state.params.betas)
    away = state.params.betas - state.model.shape_mean
    if not away.shape[1]:
        return away.new_zeros(len(away))
    cov = state.model.shape_cov
    if cov is None:
        return away.square().mean(dim=1)
    eye = 1e-6 * torch.eye(len(cov), dtype=cov.dtype, device=cov.device)
    return (away * torch.linalg.solve(cov + eye, away.mT).mT).mean(dim=1)


def bone_prior(state: State) -> Float[Tensor, " batch"]:
    """Return how far bones are from their usual lengths, mean square in usual deviations."""
    total = state.params.fov.new_zeros(state.params.batch_size)
    for values, unit in (
        (state.params.log_beta_scales, BONE_SCALE),
        (state.params.betas_trans, BONE_OFFSET * state.model.body_length),
    ):
        if values is not None:
            total = total + 0.5 * (values / unit).square().mean(dim=(1, 2))
    return total


def smoothness(state: State) -> Float[Tensor, " batch"]:
    """Return how far joints move from one frame of an animal to the next, squared body lengths.

    Half of a step counts for either frame. Animals that are in one picture only have 0.
    """
    animals = state.target.animals
    if animals is None:
        return state.params.fov.new_zeros(state.params.batch_size)
    rooted = (state.joints - state.joints[:, :1]) / state.model.body_length
    step = (rooted[1:] - rooted[:-1]).square().sum(dim=-1).mean(dim=1)
    step = torch.where(animals[1:] == animals[:-1], step, 0.0)
    zero = step.new_zeros(1)
    return 0.5 * (torch.cat([zero, step]) + torch.cat([step, zero]))


TERMS: dict[str, Callable[[State], Tensor]] = {
    "keypoint_2d": keypoint_2d,
    "silhouette": silhouette,
    "pose_change": pose_change,
    "pose_prior": pose_prior,
    "joint_limits": joint_limits,
    "shape_prior": shape_prior,
    "bone_prior": bone_prior,
    "smoothness": smoothness,
}
