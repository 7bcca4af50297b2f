"""The labels of a batch as if they were a prediction: the network that makes no error."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Batch
from smil_ray.core.params import (
    SmilParams,
    log_scales_from_weights,
    translations_from_weights,
)


def true_params(batch: Batch, model: SmilModel) -> SmilParams:
    """Return the labels of a batch as parameters, in the batch's reference frame.

    Per-joint scales and offsets come from the weights in the data through the model's directions.
    Where a sample lacks betas, scales or offsets, the mean shape stands in; rotations, position
    and camera that are absent stay NaN.
    """
    target = batch.target
    params = replace(target, betas=_known(target.betas, batch.presence["betas"]))
    if model.scaledirs is not None:
        weights = _known(batch.scale_weights, batch.presence["scale_weights"])
        params = replace(params, log_beta_scales=log_scales_from_weights(weights, model.scaledirs))
    if model.transdirs is not None:
        weights = _known(batch.trans_weights, batch.presence["trans_weights"])
        params = replace(params, betas_trans=translations_from_weights(weights, model.transdirs))
    return params


def _known(
    values: Float[Tensor, "batch width"], present: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch width"]:
    return torch.where(present[:, None], values, torch.zeros_like(values))
