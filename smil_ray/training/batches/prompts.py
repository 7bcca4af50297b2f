"""Which joints a network is told while it trains."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from smil_ray.core.batch import Batch

MOST_PROMPTS = 8


def draw_prompts(batch: Batch, share: float) -> Float[Tensor, "batch n_joints 2"]:
    """Return the true places of some seen joints of a `share` of the samples, else NaN."""
    known = batch.keypoint_visibility & batch.keypoint_presence
    known = known & batch.presence["keypoints_2d"][:, None]
    return torch.where(drawn(known, share)[..., None], batch.keypoints_2d, torch.nan)


def drawn(known: Bool[Tensor, "batch n_joints"], share: float) -> Bool[Tensor, "batch n_joints"]:
    """Return 1 to MOST_PROMPTS known joints of a `share` of the rows, all equally likely."""
    rows = known.shape[0]
    count = torch.randint(1, MOST_PROMPTS + 1, (rows, 1)).to(known.device)
    some = (torch.rand(rows, 1) < share).to(known.device)
    return some_of(known, count) & some


def some_of(
    known: Bool[Tensor, "batch n_joints"],
    count: Int64[Tensor, "batch 1"] | int,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "batch n_joints"]:
    """Return `count` of the known joints of each row, or all if there are fewer.

    Drawn from a generator of the CPU (torch's own where None), whatever the device, so that a step
    draws the same everywhere.
    """
    order = torch.rand(known.shape, generator=generator).to(known.device).masked_fill(~known, 2.0)
    return (order.argsort(dim=1).argsort(dim=1) < count) & known
