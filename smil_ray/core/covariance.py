"""Covariances of few samples in many dimensions."""

import torch
from jaxtyping import Float
from torch import Tensor


def shrunk_covariance(rows: Float[Tensor, "n d"], least_spread: float) -> Float[Tensor, "d d"]:
    """Return the covariance of rows drawn towards its diagonal, the more the fewer there are.

    Args:
        rows: Samples.
        least_spread: Standard deviation that is added to every direction.
    """
    covariance = torch.cov(rows.T)
    share = rows.shape[1] / (rows.shape[1] + len(rows))
    covariance = (1.0 - share) * covariance + share * torch.diag(covariance.diagonal())
    return covariance + least_spread**2 * torch.eye(len(covariance), dtype=rows.dtype)
