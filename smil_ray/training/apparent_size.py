"""How large an animal of unknown pose appears: a start for data that have 2D labels only."""

import math

import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Batch

FEWEST_JOINTS = 3
"""Samples with fewer labelled joints say nothing about the animal's size."""
_SEEN_SHARE = 2.0 / 3.0
"""Share of the joints' variance in space that an animal turned at random shows in a picture."""


def log_extent_of_keypoints(batch: Batch, model: SmilModel) -> float | None:
    """Return the logarithm of half the viewing frustum's height at the animal, model units.

    Labelled joints of the resting animal spread as far in space as they do in the picture times
    the extent. The median over samples; None where no sample has enough joints.
    """
    points = batch.keypoints_2d.double()
    known = batch.keypoint_presence & points.isfinite().all(dim=-1)
    known = known & batch.presence["keypoints_2d"][:, None]
    rest = torch.as_tensor(model.source.joints_at_rest(), dtype=torch.float64)
    found = []
    for row in range(batch.size):
        joints = known[row].cpu()
        if int(joints.sum()) < FEWEST_JOINTS:
            continue
        in_picture = float(points[row].cpu()[joints].var(dim=0, correction=0).sum())
        in_space = float(rest[joints].var(dim=0, correction=0).sum())
        if in_picture > 0.0 and in_space > 0.0:
            # The frustum is twice its extent high, and points are fractions of its height.
            found.append(0.5 * math.log(_SEEN_SHARE * in_space / in_picture) - math.log(2.0))
    return float(torch.tensor(found).median()) if found else None
