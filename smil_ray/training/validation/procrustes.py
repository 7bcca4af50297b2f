"""Similarity Procrustes: the best scale, rotation and shift of one point set onto another."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FEWEST_POINTS = 3
"""With fewer points a similarity fits anything, so that an aligned error says nothing."""


def align(
    points: Float[Tensor, "batch n 3"],
    target: Float[Tensor, "batch n 3"],
    valid: Bool[Tensor, "batch n"],
) -> Float[Tensor, "batch n 3"]:
    """Return `points` after the similarity that brings their valid rows closest to `target`.

    Least squares after Umeyama (1991); reflections are excluded. Rows that are not valid take no
    part in the fit (they may hold NaN in `target`) and are moved along. Points that all coincide
    come back at the centre of the target.
    """
    weight = valid[..., None].to(points.dtype)
    count = weight.sum(dim=1, keepdim=True).clamp_min(1.0)
    known = torch.where(valid[..., None], target, torch.zeros_like(target))
    centre = (points * weight).sum(dim=1, keepdim=True) / count
    target_centre = known.sum(dim=1, keepdim=True) / count
    moved = points - centre
    source = moved * weight
    covariance = source.mT @ ((known - target_centre) * weight)
    u, singular, vt = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[:, 2] = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * sign[:, None]) @ vt
    spread = source.square().sum(dim=(1, 2))
    tiny = torch.finfo(points.dtype).tiny
    scale = (singular * sign).sum(dim=1) / spread.clamp_min(tiny)
    return scale[:, None, None] * (moved @ rotation) + target_centre
