"""The loss terms: pure functions of predictions and labels, each a masked mean.

To add one: a function of `TermInputs` that returns a scalar, its line in `LOSS_TERMS` (and in
`config.LOSS_TERM_NAMES`) and in `TERM_LABELS`. How joints and samples count: `term_inputs`.

With `normalise`, lengths are in body lengths and angles in 1 - cos; else it is the seed's way.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smil_ray.core import rotations
from smil_ray.core.params import log_scales_from_weights, translations_from_weights
from smil_ray.losses.heat_map_terms import (
    keypoint_confidence,
    keypoint_heatmap,
    keypoint_place,
)
from smil_ray.losses.regularisation import (
    joint_angle,
    joint_limit,
    limb_scale,
    not_modelled,
    pose_prior,
    shape_prior,
)
from smil_ray.losses.term_inputs import (
    TermInputs,
    batch_mean,
    clean,
    finite_samples,
    joint_mean,
    seen_in_frame,
)

CENTIMETRES = 10.0
"""Unreal centimetres in one model unit: the seed's terms count in them."""
_MIN_DEPTH = 1e-3
_BCE_MARGIN = 1e-6


def global_rot(inputs: TermInputs) -> Tensor:
    """Root rotation: 1 - cos of the angle; seed: Frobenius norm (6D) or squared axis-angle."""
    params, batch = inputs.params, inputs.batch
    target, present = clean(batch.target.global_rot, batch.presence["global_rot"])
    return batch_mean(_rotation_error(params.global_rot, target, inputs.normalise), present)


def joint_rot(inputs: TermInputs) -> Tensor:
    """Joint rotations relative to the parent, like `global_rot`, mean over joints."""
    params, batch = inputs.params, inputs.batch
    finite = batch.target.joint_rot.isfinite().all(dim=-1)
    target = torch.where(finite[..., None], batch.target.joint_rot, 0.0)
    error = _rotation_error(params.joint_rot, target, inputs.normalise)
    if not inputs.normalise and params.representation == "axis_angle":
        error = 3.0 * error
    weights = inputs.seen_weights()[:, 1:] * finite
    return batch_mean(joint_mean(error, weights), batch.presence["joint_rot"])


def betas(inputs: TermInputs) -> Tensor:
    """Shape: mean squared error of the coefficients."""
    target, present = clean(inputs.batch.target.betas, inputs.batch.presence["betas"])
    return batch_mean((inputs.params.betas - target).square().mean(dim=1), present)


def trans(inputs: TermInputs) -> Tensor:
    """Root position in the reference frame; see `_position_error`. Constant in the root frame."""
    present = inputs.batch.presence["trans"]
    in_camera = inputs.batch.reference_frame == "camera"
    return _position_error(inputs, "trans", present, has_depth=in_camera)


def cam_trans(inputs: TermInputs) -> Tensor:
    """Camera translation; see `_position_error`. Constant in the camera frame."""
    in_root = inputs.batch.reference_frame == "root"
    present = inputs.batch.presence["camera"]
    return _position_error(inputs, "cam_trans", present, has_depth=in_root)


def cam_rot(inputs: TermInputs) -> Tensor:
    """Camera rotation: 1 - cos of the angle; seed: mean squared error of the 9 numbers."""
    batch = inputs.batch
    present = batch.presence["camera"] & finite_samples(batch.target.cam_rot)
    # The stand-in keeps the difference of absent labels finite.
    target = torch.where(present[:, None, None], batch.target.cam_rot, 0.0)
    squared = (inputs.params.cam_rot - target).square().sum(dim=(-2, -1))
    return batch_mean(squared / (4.0 if inputs.normalise else 9.0), present)


def fov(inputs: TermInputs) -> Tensor:
    """Field of view: squared log-ratio; seed: squared degrees."""
    batch = inputs.batch
    present = batch.presence["camera"] & finite_samples(batch.target.fov)
    predicted = inputs.params.fov
    target = torch.where(present[:, None], batch.target.fov, predicted.detach())
    error = predicted.log() - target.log() if inputs.normalise else predicted - target
    return batch_mean(error.square()[:, 0], present)


def log_beta_scales(inputs: TermInputs) -> Tensor:
    """Joint scales: mean squared error of their natural logarithm."""
    predicted = inputs.params.log_beta_scales
    directions = inputs.model.scaledirs
    if predicted is None or directions is None:
        raise not_modelled("log_beta_scales", "joint_scales")
    weights, present = clean(inputs.batch.scale_weights, inputs.batch.presence["scale_weights"])
    target = log_scales_from_weights(weights, directions)
    error = (predicted - target).square().mean(dim=-1)
    return batch_mean(joint_mean(error, inputs.unignored()), present)


def betas_trans(inputs: TermInputs) -> Tensor:
    """Joint offsets: mean squared error in body lengths; seed: in model units."""
    predicted = inputs.params.betas_trans
    directions = inputs.model.transdirs
    if predicted is None or directions is None:
        raise not_modelled("betas_trans", "joint_translations")
    weights, present = clean(inputs.batch.trans_weights, inputs.batch.presence["trans_weights"])
    target = translations_from_weights(weights, directions)
    unit = inputs.batch.body_length[:, None, None] if inputs.normalise else 1.0
    error = ((predicted - target) / unit).square().mean(dim=-1)
    return batch_mean(joint_mean(error, inputs.unignored()), present)


def keypoint_2d(inputs: TermInputs) -> Tensor:
    """Projected joints: mean squared error in fractions of the picture, seen joints in frame."""
    predicted, batch = _given(inputs.xy, "xy"), inputs.batch
    counted, target = seen_in_frame(batch)
    error = (predicted - target).square().mean(dim=-1)
    weights = counted * inputs.joint_weights
    return batch_mean(joint_mean(error, weights), batch.presence["keypoints_2d"])


def keypoint_3d(inputs: TermInputs) -> Tensor:
    """Joints relative to the root in body lengths; seed: absolute, in Unreal centimetres.

    Mean squared error. Where the root itself has no label, the relative form leaves the sample
    out; position is the business of `trans` and `cam_trans`.
    """
    predicted, batch = _given(inputs.joints, "joints"), inputs.batch
    finite = batch.keypoint_presence & batch.keypoints_3d.isfinite().all(dim=-1)
    target = torch.where(finite[..., None], batch.keypoints_3d, 0.0)
    present = batch.presence["keypoints_3d"]
    weights = inputs.seen_weights() * finite
    if inputs.normalise:
        predicted = (predicted - predicted[:, :1]) / batch.body_length[:, None, None]
        target = (target - target[:, :1]) / batch.body_length[:, None, None]
        present = present & finite[:, 0]
        weights = torch.cat([torch.zeros_like(weights[:, :1]), weights[:, 1:]], dim=1)
    else:
        predicted, target = predicted * CENTIMETRES, target * CENTIMETRES
    error = (predicted - target).square().mean(dim=-1)
    return batch_mean(joint_mean(error, weights), present)


def silhouette(inputs: TermInputs) -> Tensor:
    """Silhouette: binary cross-entropy, mean over pixels."""
    predicted, batch = _given(inputs.silhouette, "silhouette"), inputs.batch
    if batch.mask is None:
        return predicted.sum() * 0.0
    target = torch.nn.functional.interpolate(
        batch.mask.to(predicted.dtype) / 255.0, size=predicted.shape[-2:], mode="area"
    )[:, 0]
    inside = predicted.clamp(_BCE_MARGIN, 1.0 - _BCE_MARGIN)
    entropy = -(target * inside.log() + (1.0 - target) * (1.0 - inside).log())
    return batch_mean(entropy.mean(dim=(-2, -1)), batch.presence["mask"])


LOSS_TERMS: Mapping[str, Callable[[TermInputs], Tensor]] = {
    "global_rot": global_rot,
    "joint_rot": joint_rot,
    "betas": betas,
    "trans": trans,
    "fov": fov,
    "cam_rot": cam_rot,
    "cam_trans": cam_trans,
    "log_beta_scales": log_beta_scales,
    "betas_trans": betas_trans,
    "keypoint_2d": keypoint_2d,
    "keypoint_3d": keypoint_3d,
    "silhouette": silhouette,
    "joint_angle": joint_angle,
    "joint_limit": joint_limit,
    "limb_scale": limb_scale,
    "pose_prior": pose_prior,
    "shape_prior": shape_prior,
    "keypoint_heatmap": keypoint_heatmap,
    "keypoint_place": keypoint_place,
    "keypoint_confidence": keypoint_confidence,
}
"""Every term by name; the keys are `config.LOSS_TERM_NAMES`."""

TERM_LABELS: Mapping[str, str | None] = {
    "global_rot": "global_rot",
    "joint_rot": "joint_rot",
    "betas": "betas",
    "trans": "trans",
    "fov": "camera",
    "cam_rot": "camera",
    "cam_trans": "camera",
    "log_beta_scales": "scale_weights",
    "betas_trans": "trans_weights",
    "keypoint_2d": "keypoints_2d",
    "keypoint_3d": "keypoints_3d",
    "silhouette": "mask",
    "joint_angle": None,
    "joint_limit": None,
    "limb_scale": None,
    "pose_prior": None,
    "shape_prior": None,
    "keypoint_heatmap": "keypoints_2d",
    "keypoint_place": "keypoints_2d",
    "keypoint_confidence": "keypoints_2d",
}
"""The label group (out of `core.batch.LABELS`) that a term compares with; None: it needs none."""


def _position_error(
    inputs: TermInputs, field: str, present: Bool[Tensor, " batch"], *, has_depth: bool
) -> Tensor:
    """Mean squared error of the root's place.

    Normalised: across the line of sight in body lengths, and along it as the logarithm of the
    frustum's half-height at the root (depth * tan(fov / 2)): a picture tells how large the animal
    appears, not how far away it is. Seed: all three in Unreal centimetres.
    """
    batch = inputs.batch
    predicted, labels = getattr(inputs.params, field), getattr(batch.target, field)
    present = present & finite_samples(labels)
    target = torch.where(present[:, None], labels, predicted.detach())
    if not inputs.normalise:
        error = (predicted - target) * CENTIMETRES
        return batch_mean(error.square().mean(dim=1), present)
    squared = ((predicted - target) / batch.body_length[:, None]).square()
    if has_depth:
        known = present[:, None] & batch.target.fov.isfinite()
        fov_target = torch.where(known, batch.target.fov, inputs.params.fov.detach())
        log_ratio = _log_extent(predicted, inputs.params.fov) - _log_extent(target, fov_target)
        squared = torch.cat([squared[:, :2], log_ratio.square()], dim=1)
    return batch_mean(squared.mean(dim=1), present)


def _log_extent(
    place: Float[Tensor, "batch 3"], fov_deg: Float[Tensor, "batch 1"]
) -> Float[Tensor, "batch 1"]:
    return (place[:, 2:].clamp_min(_MIN_DEPTH) * torch.tan(torch.deg2rad(fov_deg) / 2.0)).log()


def _rotation_error(
    predicted: Float[Tensor, "*axes width"],
    target_axis_angle: Float[Tensor, "*axes 3"],
    normalise: bool,
) -> Float[Tensor, "*axes"]:
    if not normalise and predicted.shape[-1] == 3:
        return (predicted - target_axis_angle).square().mean(dim=-1)
    difference = rotations.to_matrix(predicted) - rotations.to_matrix(target_axis_angle)
    if normalise:
        return difference.square().sum(dim=(-2, -1)) / 4.0
    return torch.linalg.vector_norm(difference, dim=(-2, -1))


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"TermInputs.{name} is needed by this term")
    return value
