"""Samples and batches with 2D labels only, as files of labelled photographs give them."""

from dataclasses import replace

import numpy as np
import torch

from smil_ray.core.batch import LABELS, Batch, Sample

TWO_D = frozenset({"keypoints_2d"})


def two_d_only(sample: Sample, present: frozenset[str] = TWO_D) -> Sample:
    """The sample without pose, shape, 3D joints and focal length; the principal point stays."""

    def absent(values: np.ndarray) -> np.ndarray:
        return np.full_like(values, np.nan)

    fields = ("global_rot", "joint_rot", "betas", "trans", "cam_rot", "cam_trans")
    fields += ("scale_weights", "trans_weights", "keypoints_3d")
    centre = sample.intrinsics[2:]
    return replace(
        sample,
        fov=float("nan"),
        intrinsics=np.concatenate([np.full(2, np.nan, np.float32), centre]),
        mask=sample.mask if "mask" in present else None,
        present=present & sample.present,
        **{field: absent(getattr(sample, field)) for field in fields},
    )


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
