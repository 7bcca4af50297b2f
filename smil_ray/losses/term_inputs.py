"""What the loss terms see, and how joints and samples count in their means.

A joint counts in a sample by presence (the data set has the label), visibility (it is seen),
`ignored_joints` and `joint_importance`. A sample's value is the weighted mean over its joints; a
term is the sum over samples, divided by the batch size. A sample without the label adds nothing.
So a term is linear in the samples: batches may be split over workers or accumulation steps.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.losses.prior import ParameterPrior


@dataclass(frozen=True)
class TermInputs:
    """Predictions, labels and constants; what no active term needs is None.

    Attributes:
        joint_weights: Importance of each joint, 0 where it is ignored.
        unseen_weight: Factor for joints that are labelled but not seen, in 3D and rotations.
        normalise: Body lengths and angles instead of the seed's formulas.
        joints: Predicted joints in the batch's reference frame, model units.
        xy: Predicted joints as fractions of the picture.
        silhouette: Predicted coverage of each pixel, 0-1.
        prior: What poses and shapes are likely.
    """

    params: SmilParams
    batch: Batch
    model: SmilModel
    joint_weights: Float[Tensor, " n_joints"]
    unseen_weight: float
    normalise: bool
    joints: Float[Tensor, "batch n_joints 3"] | None = None
    xy: Float[Tensor, "batch n_joints 2"] | None = None
    silhouette: Float[Tensor, "batch h w"] | None = None
    prior: ParameterPrior | None = None

    def seen_weights(self) -> Float[Tensor, "batch n_joints"]:
        """Return importance, lowered by `unseen_weight` where a joint is not seen."""
        seen = self.batch.keypoint_visibility
        return torch.where(seen, 1.0, self.unseen_weight) * self.joint_weights

    def unignored(self) -> Float[Tensor, "batch n_joints"]:
        """Return 1 for joints that are not ignored, else 0."""
        kept = (self.joint_weights > 0).to(self.joint_weights.dtype)
        return kept.expand(self.batch.size, -1)


def joint_mean(
    values: Float[Tensor, "batch n"], weights: Float[Tensor, "batch n"]
) -> Float[Tensor, " batch"]:
    """Return each sample's weighted mean; 0 where all weights are."""
    counted = torch.where(weights > 0, values, 0.0) * weights
    return counted.sum(dim=1) / weights.sum(dim=1).clamp_min(1e-12)


def batch_mean(values: Float[Tensor, " batch"], present: Bool[Tensor, " batch"]) -> Tensor:
    """Return the sum over the samples that have the label, divided by the batch size."""
    return torch.where(present, values, 0.0).sum() / values.shape[0]


def finite_samples(labels: Float[Tensor, "batch ..."]) -> Bool[Tensor, " batch"]:
    """Return which samples have only finite numbers."""
    return labels.flatten(1).isfinite().all(dim=1)


def clean(
    labels: Float[Tensor, "batch width"], present: Bool[Tensor, " batch"]
) -> tuple[Float[Tensor, "batch width"], Bool[Tensor, " batch"]]:
    """Return labels with zeros where they may not be used, and where they may.

    NaN must be gone before any arithmetic: masking afterwards leaves it in the gradient.
    """
    usable = present & finite_samples(labels)
    return torch.where(usable[:, None], labels, 0.0), usable


def in_frame(
    batch: Batch,
) -> tuple[Bool[Tensor, "batch n_joints"], Float[Tensor, "batch n_joints 2"]]:
    """Return which joints have a place inside the picture, and the places (else 0)."""
    labels = batch.keypoints_2d
    counted = batch.keypoint_presence & ((labels >= 0.0) & (labels <= 1.0)).all(dim=-1)
    return counted, torch.where(counted[..., None], labels, 0.0)


def seen_in_frame(
    batch: Batch,
) -> tuple[Bool[Tensor, "batch n_joints"], Float[Tensor, "batch n_joints 2"]]:
    """Return which joints are seen inside the picture, and their places (else 0)."""
    counted, _ = in_frame(batch)
    counted = counted & batch.keypoint_visibility
    return counted, torch.where(counted[..., None], batch.keypoints_2d, 0.0)
