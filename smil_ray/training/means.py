"""Means of labels over training samples: what a network starts from, and what it has to beat."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from smil_ray.core import rotations
from smil_ray.core.batch import Batch, batch_of_labels
from smil_ray.training.parts import SampleSource


def evenly(indices: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " chosen"]:
    """Return at most so many of the indices, evenly spread."""
    spread = np.linspace(0, len(indices) - 1, min(len(indices), most)).astype(int)
    return indices[spread]


def labels_of(
    data: SampleSource, indices: Sequence[int] | np.ndarray, frame: str = "camera"
) -> Batch:
    """Return samples as a batch without images, in a reference frame; only labels are read."""
    wanted = [int(index) for index in indices]
    names = [data.names[index] for index in wanted]
    return batch_of_labels(names, data.labels(wanted), frame)


def finite_rows(values: Float[Tensor, "n *axes"]) -> Float[Tensor, "known *axes"]:
    """Return the samples that have the label: those all of whose numbers are finite."""
    return values[values.flatten(1).isfinite().all(dim=1)]


def mean_or_zero(values: Float[Tensor, "n *axes"]) -> Float[Tensor, "*axes"]:
    """Return the mean over samples that have the label; zero where none has."""
    known = finite_rows(values)
    return known.mean(dim=0) if len(known) else torch.zeros_like(values[0])


def mean_rotation(
    matrices: Float[Tensor, "n *axes 3 3"],
) -> Float[Tensor, "*axes 3 3"] | None:
    """Return the rotations nearest to the mean matrices (chordal mean), taken in float64.

    Every rotation is averaged over the samples that know it; one that no sample knows is the
    identity. None where no sample knows any.
    """
    known = matrices.isfinite().flatten(-2).all(dim=-1)[..., None, None]
    if not known.any():
        return None
    counts = known.sum(dim=0)
    means = matrices.double().where(known, 0.0).sum(dim=0) / counts.clamp_min(1)
    eye = torch.eye(3, dtype=means.dtype, device=means.device)
    return rotations.nearest_rotation(means.where(counts > 0, eye)).to(matrices.dtype)


def mean_axis_angle(
    vectors: Float[Tensor, "n *axes 3"],
) -> Float[Tensor, "*axes 3"] | None:
    """Return `mean_rotation` of axis-angle vectors (radians), as axis-angle vectors."""
    mean = mean_rotation(rotations.axis_angle_to_matrix(vectors.double()))
    return None if mean is None else rotations.matrix_to_axis_angle(mean).to(vectors.dtype)
