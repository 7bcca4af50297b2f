"""Loss terms of heads that look at each joint: heat maps, the places under them, confidence.

Sources: heat maps as Gaussians (Tompson et al. 2014), places as expectations (Sun et al. 2018,
"Integral Human Pose Regression"), learnt scales of errors (Kendall and Gal 2017).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.errors import ConfigError
from smil_ray.losses.term_inputs import (
    TermInputs,
    batch_mean,
    in_frame,
    joint_mean,
    seen_in_frame,
)


def keypoint_heatmap(inputs: TermInputs) -> Tensor:
    """Heat maps: cross-entropy against a Gaussian of one cell around each seen joint in frame.

    In units of the logarithm of the number of cells: 1 is a map that knows nothing.
    """
    logits, batch = _looked(inputs.params.keypoint_logits), inputs.batch
    counted, target = seen_in_frame(batch)
    rows, columns = logits.shape[-2:]
    place = target.to(logits.dtype)
    vertical = _gaussian(place[..., 1] * rows, rows)
    horizontal = _gaussian(place[..., 0] * columns, columns)
    log_heat = logits.flatten(2).log_softmax(dim=-1).unflatten(2, (rows, columns))
    # The Gaussian is a product of two, so the map needs not be made.
    entropy = -torch.einsum("bjrc,bjr,bjc->bj", log_heat, vertical, horizontal)
    weights = counted * inputs.joint_weights
    return batch_mean(
        joint_mean(entropy / math.log(rows * columns), weights), batch.presence["keypoints_2d"]
    )


def keypoint_place(inputs: TermInputs) -> Tensor:
    """Places under the heat maps: mean absolute error in fractions of the picture, in frame.

    Joints that are not seen count by `unseen_joint_weight`.
    """
    batch = inputs.batch
    predicted = _looked(inputs.params.keypoint_xy)
    counted, target = in_frame(batch)
    error = (predicted - target).abs().sum(dim=-1)
    weights = counted * inputs.seen_weights()
    return batch_mean(joint_mean(error, weights), batch.presence["keypoints_2d"])


def keypoint_confidence(inputs: TermInputs) -> Tensor:
    """Scales of the places' errors: negative log-likelihood, r / b + 2 log b, joints in frame."""
    batch = inputs.batch
    xy, scale = _looked(inputs.params.keypoint_xy), _looked(inputs.params.keypoint_scale)
    counted, target = in_frame(batch)
    distance = (xy.detach() - target).norm(dim=-1)
    weights = counted * inputs.unignored()
    error = distance / scale + 2.0 * scale.log()
    return batch_mean(joint_mean(error, weights), batch.presence["keypoints_2d"])


def _gaussian(
    place: Float[Tensor, "batch n_joints"], cells: int
) -> Float[Tensor, "batch n_joints cells"]:
    """Return a Gaussian of one cell around a place, in cells from the edge, that sums to 1."""
    centres = torch.arange(cells, device=place.device) + 0.5
    density = (-0.5 * (place[..., None] - centres).square()).exp()
    return density / density.sum(dim=-1, keepdim=True)


def _looked(value: Tensor | None) -> Tensor:
    if value is None:
        raise ConfigError(
            "loss weights keypoint_heatmap, keypoint_place and keypoint_confidence",
            expected="a head with heat maps, in training mode",
            remedy="set model.head.type: joint_tokens or the weights to 0",
        )
    return value
