"""Samples and batches with 2D labels only, as files of labelled photographs give them."""

from dataclasses import replace

import torch

from smil_ray.core.batch import LABELS, Batch, Sample, with_labels

TWO_D = frozenset({"keypoints_2d"})


def two_d_only(sample: Sample, present: frozenset[str] = TWO_D) -> Sample:
    """The sample without pose, shape, 3D joints and focal length; the principal point stays."""
    return with_labels(sample, present)


def batch_with_two_d_only(batch: Batch, present: frozenset[str] = TWO_D) -> Batch:
    """The batch without pose, shape, 3D joints and focal length; the principal point stays."""
    intrinsics = batch.intrinsics.clone()
    intrinsics[:, :2] = torch.nan
    nan = {
        field: torch.full_like(getattr(batch, field), torch.nan)
        for field in ("keypoints_3d", "scale_weights", "trans_weights")
    }
    return replace(
        batch,
        target=batch.target.map(lambda value: torch.full_like(value, torch.nan)),
        intrinsics=intrinsics,
        presence={
            label: batch.presence[label] & torch.tensor(label in present) for label in LABELS
        },
        **nan,
    )
