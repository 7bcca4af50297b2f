"""What a network has to beat: the mean pose of the training data, and how far it is beaten.

A network that reads nothing from a picture does best by predicting the mean pose. Figures without
it say little: on data that hardly move the mean pose alone looks good.

`pose_score` is what networks are ranked by. It is the mean of two errors, each divided by the mean
pose's on the same validation samples: 1 is no better than the mean pose, 0 is perfect.

- Root-aligned MPJPE alone can be lowered by folding the animal up while the direction is unknown.
- PA-MPJPE alone aligns the direction away, so that an untrained network, which predicts the mean
  pose in no particular direction, looks good.

| name | meaning |
|---|---|
| `mpjpe_ra_of_mean_pose` | `mpjpe_ra_pct_bl` over the mean pose's |
| `pa_mpjpe_of_mean_pose` | `pa_mpjpe_pct_bl` over the mean pose's |
| `rot_joint_of_mean_pose` | `rot_deg_joint` over the mean pose's |
| `pose_score` | mean of the first two |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.errors import DataError
from smil_ray.training import means
from smil_ray.training.parts import SampleSource
from smil_ray.training.validation.metrics import MetricSums

POSE_SCORE = "pose_score"
SCORED = ("mpjpe_ra_pct_bl", "pa_mpjpe_pct_bl")
"""Figures that `pose_score` is the mean of."""
RELATIVE = {
    "mpjpe_ra_of_mean_pose": "mpjpe_ra_pct_bl",
    "pa_mpjpe_of_mean_pose": "pa_mpjpe_pct_bl",
    "rot_joint_of_mean_pose": "rot_deg_joint",
}
"""Figures over the mean pose's, and what they divide."""
MOST_SAMPLES = 5000
"""Means and likely poses are of at most so many training samples, evenly spread."""
BATCH = 256


@dataclass(frozen=True)
class MeanPose:
    """Predicts the same average animal for every image.

    Rotations are averaged as matrices and projected back to SO(3) (chordal mean), depth and
    field of view as logarithms, everything else arithmetically, over samples that have the label.
    Joints that no sample has a rotation for are as in the rest pose.
    """

    params: SmilParams

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> "MeanPose":
        """Return the mean over training batches, in their reference frame.

        Raises:
            DataError: No sample has the labels that a pose needs.
        """
        targets = [batch.target for batch in batches]
        if not targets:
            raise DataError("Mean pose: no training samples")
        everything = {
            name: torch.cat([target.as_dict()[name] for target in targets])
            for name in targets[0].as_dict()
        }
        mean = {
            "global_rot": _known(means.mean_axis_angle(everything["global_rot"]), "root rotation"),
            "joint_rot": _known(means.mean_axis_angle(everything["joint_rot"]), "joint rotations"),
            "betas": means.mean_or_zero(everything["betas"]),
            "trans": _mean_position(everything["trans"]),
            "fov": means.mean_or_zero(everything["fov"].log()).exp(),
            "cam_rot": _known(means.mean_rotation(everything["cam_rot"]), "camera"),
            "cam_trans": _mean_position(everything["cam_trans"]),
        }
        return cls(SmilParams(**{name: value[None] for name, value in mean.items()}))

    def __call__(self, batch: Batch) -> SmilParams:
        """Return the mean for each sample of `batch`."""
        return self.params.map(lambda value: value.expand(batch.size, *value.shape[1:]))


def training_labels(data: SampleSource, train: np.ndarray) -> Batch:
    """Return the labels of at most MOST_SAMPLES training samples, evenly spread."""
    return means.labels_of(data, means.evenly(train, MOST_SAMPLES))


def mean_pose_figures(
    train: Batch, data: SampleSource, val: np.ndarray, model: SmilModel, body: BodyConfig
) -> dict[str, float]:
    """Return the figures of the mean pose of `train` on `val`; only labels are read.

    Empty where the training samples have no pose or the validation samples no 3D joints.

    Args:
        train: Labels that the mean is taken over, as `training_labels` gives them.
        data: The data set.
        val: Samples that it is measured on.
        model: The body model, on the device that computes.
        body: How bodies are posed.
    """
    try:
        mean = MeanPose.of([train])
    except DataError:
        return {}
    mean = MeanPose(mean.params.map(lambda value: value.to(model.device)))
    sums = MetricSums(model.skeleton, data.input_size, body)
    for first in range(0, len(val), BATCH):
        batch = means.labels_of(data, val[first : first + BATCH]).to(model.device)
        sums.add(mean(batch), batch, model)
    figures = sums.compute()
    return figures if all(name in figures for name in SCORED) else {}


def relative_figures(
    figures: Mapping[str, float], mean_pose: Mapping[str, float]
) -> dict[str, float]:
    """Return `pose_score` and the figures of RELATIVE; those that labels do not allow are absent.

    Args:
        figures: Of a network.
        mean_pose: Of the mean pose on the same samples.
    """
    found = {
        name: figures[figure] / mean_pose[figure]
        for name, figure in RELATIVE.items()
        if figure in figures and mean_pose.get(figure, 0.0) > 0
    }
    ratios = [found.get(name) for name, figure in RELATIVE.items() if figure in SCORED]
    known = [ratio for ratio in ratios if ratio is not None]
    if len(known) == len(SCORED):
        found[POSE_SCORE] = sum(known) / len(known)
    return found


def verdict(figures: Mapping[str, float], name: str = "The network", prefix: str = "val/") -> str:
    """Return in one sentence whether a network beats the mean pose in PA-MPJPE.

    Empty where the figures do not tell.

    Args:
        figures: With `pa_mpjpe_pct_bl` and `pa_mpjpe_of_mean_pose`.
        name: What the network is called at the beginning of the sentence.
        prefix: Of the figures' names.
    """
    error = figures.get(prefix + "pa_mpjpe_pct_bl")
    ratio = figures.get(prefix + "pa_mpjpe_of_mean_pose")
    if error is None or not ratio:
        return ""
    shown = f"PA-MPJPE {error:.3g} against {error / ratio:.3g} % of body length"
    if ratio < 1.0:
        return f"{name} beats the mean pose: {shown} ({100.0 * (1.0 - ratio):.0f} % lower)."
    return (
        f"{name} does not beat the mean pose: {shown}. It may place and turn the animal, but it "
        "does not read its joints. Train longer, on more samples, or from pretrained weights."
    )


def _known(mean: Tensor | None, label: str) -> Tensor:
    if mean is None:
        raise DataError(f"Mean pose: no training sample has the {label}")
    return mean


def _mean_position(points: Float[Tensor, "n 3"]) -> Float[Tensor, "3"]:
    """Mean direction of view and geometric mean of the depth, so that distant samples do not win.

    A frame in which the position is always zero keeps it.
    """
    known = means.finite_rows(points)
    if not len(known):
        raise DataError("Mean pose: no training sample has the position")
    depth = known[:, 2:].abs()
    if bool((depth < 1e-6).any()):
        return known.mean(dim=0)
    mean_depth = depth.log().mean().exp()
    return torch.cat([(known[:, :2] / depth).mean(dim=0) * mean_depth, mean_depth[None]])
