"""Places of some joints that somebody gives: labels or clicks take the place of heat maps.

Source: prompts as further inputs of a network (Kirillov et al. 2023, "Segment Anything").
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PROMPT_SPREAD = 0.01
"""Standard deviation of a given place, fraction of the picture: clicks are not exact."""


def given_joints(prompts: Float[Tensor, "batch n_joints 2"]) -> Bool[Tensor, "batch n_joints"]:
    """Return for which joints a place is given: the others are NaN."""
    return prompts.isfinite().all(dim=-1)


def prompted(
    logits: Float[Tensor, "batch n_joints rows columns"],
    prompts: Float[Tensor, "batch n_joints 2"],
    cells: Float[Tensor, "cells 2"],
) -> Float[Tensor, "batch n_joints rows columns"]:
    """Return heat maps that are a narrow peak wherever a place is given.

    Args:
        logits: Heat maps before their softmax.
        prompts: Places as fractions of the picture, NaN where none is given. One beyond the
            picture becomes the nearest cell.
        cells: Places of the heat maps' cells.
    """
    given = given_joints(prompts)
    place = torch.where(given[..., None], prompts, 0.5).clamp(0.0, 1.0)
    distance = (place[:, :, None] - cells).square().sum(dim=-1)
    # As wide as half a cell at least, so that the peak always touches one.
    wide = max(PROMPT_SPREAD, 0.5 / max(logits.shape[-2:]))
    peak = (-0.5 * distance / wide**2).unflatten(2, tuple(logits.shape[-2:]))
    return torch.where(given[..., None, None], peak.to(logits.dtype), logits)
