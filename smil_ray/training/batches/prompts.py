"""Which joints a network is told while it trains."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smil_ray.core.batch import Batch

MOST_PROMPTS = 8


def draw_prompts(batch: Batch, share: float) -> Float[Tensor, "batch n_joints 2"]:
    """Return the true places of some seen joints of a `share` of the samples, else NaN."""
    known = batch.keypoint_visibility & batch.keypoint_presence
    known = known & batch.presence["keypoints_2d"][:, None]
    return torch.where(drawn(known, share)[..., None], batch.keypoints_2d, torch.nan)


def drawn(known: Bool[Tensor, "batch n_joints"], share: float) -> Bool[Tensor, "batch n_joints"]:
    """Return 1 to MOST_PROMPTS of the known joints of a `share` of the rows, all equally likely.

    Drawn from torch's generator of the CPU, whatever the device, so that a step draws the same
    everywhere.
    """
    rows = known.shape[0]
    order = torch.rand(known.shape).to(known.device).masked_fill(~known, 2.0)
    count = torch.randint(1, MOST_PROMPTS + 1, (rows, 1)).to(known.device)
    some = (torch.rand(rows, 1) < share).to(known.device)
    return (order.argsort(dim=1).argsort(dim=1) < count) & known & some
