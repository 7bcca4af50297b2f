"""Terms that need no labels: what a prediction should be like, whatever the picture shows."""

import torch
from torch import Tensor

from smil_ray.core import rotations
from smil_ray.errors import ConfigError
from smil_ray.losses.prior import ParameterPrior
from smil_ray.losses.term_inputs import TermInputs, batch_mean, joint_mean


def joint_angle(inputs: TermInputs) -> Tensor:
    """Regularisation towards rest: mean squared angle (6D: 2 - 2 cos, the same near 0)."""
    if inputs.params.representation == "axis_angle":
        squared = inputs.params.joint_rot.square().sum(dim=-1)
    else:
        matrices = rotations.to_matrix(inputs.params.joint_rot)
        eye = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
        squared = (matrices - eye).square().sum(dim=(-2, -1)) / 2.0
    return joint_mean(squared, inputs.unignored()[:, 1:]).mean()


def joint_limit(inputs: TermInputs) -> Tensor:
    """Mean hinge of axis-angle components (radians) outside the model's joint limits."""
    limits = inputs.model.joint_limits
    if limits is None:
        raise ConfigError(
            "loss weight joint_limit",
            expected="a SMIL model with joint limits",
            found=f"{inputs.model.name} without",
            remedy="set the weight to 0 or choose another body.model",
        )
    angles = inputs.params.with_representation("axis_angle").joint_rot
    low, high = limits[1:, :, 0], limits[1:, :, 1]
    outside = (angles - high).clamp_min(0.0) + (low - angles).clamp_min(0.0)
    return joint_mean(outside.mean(dim=-1), inputs.unignored()[:, 1:]).mean()


def limb_scale(inputs: TermInputs) -> Tensor:
    """Regularisation of joint scales: mean squared natural logarithm."""
    if inputs.params.log_beta_scales is None:
        raise not_modelled("limb_scale", "joint_scales")
    return inputs.params.log_beta_scales.square().mean()


def pose_prior(inputs: TermInputs) -> Tensor:
    """Distance from likely poses, of samples whose pose is not labelled; see `losses.prior`."""
    distance = _prior(inputs, "pose_prior").pose_distance(inputs.params.joint_rot)
    return batch_mean(distance, ~inputs.batch.presence["joint_rot"])


def shape_prior(inputs: TermInputs) -> Tensor:
    """Distance from likely shapes, of samples whose shape is not labelled."""
    distance = _prior(inputs, "shape_prior").shape_distance(inputs.params.betas)
    return batch_mean(distance, ~inputs.batch.presence["betas"])


def no_prior(term: str) -> ConfigError:
    """Return the error of a term that needs a prior where there is none."""
    return ConfigError(
        f"loss weight {term}",
        expected="training samples with poses and shapes, or train.init_from with a run that has "
        "been trained on some",
        found="neither",
        remedy=f"set loss.base_weights.{term} (and in stages) to 0, or mix in synthetic samples",
    )


def _prior(inputs: TermInputs, term: str) -> ParameterPrior:
    if inputs.prior is None:
        raise no_prior(term)
    return inputs.prior


def not_modelled(term: str, setting: str) -> ConfigError:
    """Return the error of a term whose quantity the network does not predict."""
    return ConfigError(
        f"loss weight {term}",
        expected=f"model.{setting} other than ignore, and a SMIL model with such directions",
        remedy=f"set model.{setting} (e.g. pca) or the weight to 0",
    )
