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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core import rotations
from smil_ray.core.batch import Batch, batch_of_labels
from smil_ray.core.params import SmilParams
from smil_ray.errors import DataError
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
"""The mean is over at most so many training samples, evenly spread."""
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
        truths = [(batch.target, batch.presence) for batch in batches]
        if not truths:
            raise DataError("Mean pose: no training samples")
        everything = {
            name: torch.cat([target.as_dict()[name] for target, _ in truths])
            for name in truths[0][0].as_dict()
        }
        return cls(
            SmilParams(
                global_rot=_mean_rotation(everything["global_rot"]),
                joint_rot=_mean_joint_rotations(everything["joint_rot"]),
                betas=_mean(everything["betas"]),
                trans=_mean_position(everything["trans"]),
                fov=_mean(everything["fov"].log()).exp(),
                cam_rot=_mean_matrix(everything["cam_rot"]),
                cam_trans=_mean_position(everything["cam_trans"]),
            )
        )

    def __call__(self, batch: Batch) -> SmilParams:
        """Return the mean for each sample of `batch`."""
        return self.params.map(lambda value: value.expand(batch.size, *value.shape[1:]))


def mean_pose_figures(
    data: SampleSource,
    train: np.ndarray,
    val: np.ndarray,
    model: SmilModel,
    body: BodyConfig,
) -> dict[str, float]:
    """Return the figures of the mean pose of `train` on `val`; only labels are read.

    Empty where the training samples have no pose or the validation samples no 3D joints.

    Args:
        data: The data set.
        train: Samples that the mean is taken over (see `MOST_SAMPLES`).
        val: Samples that it is measured on.
        model: The body model, on the device that computes.
        body: How bodies are posed.
    """
    try:
        mean = MeanPose.of([_labels(data, evenly(train, MOST_SAMPLES))])
    except DataError:
        return {}
    mean = MeanPose(mean.params.map(lambda value: value.to(model.device)))
    sums = MetricSums(model.skeleton, data.input_size, body)
    for first in range(0, len(val), BATCH):
        batch = _labels(data, val[first : first + BATCH]).to(model.device)
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


def evenly(indices: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of the indices, evenly spread."""
    spread = np.linspace(0, len(indices) - 1, min(len(indices), most)).astype(int)
    return indices[spread]


def _labels(data: SampleSource, indices: Sequence[int] | np.ndarray) -> Batch:
    """Return samples without images, in the camera frame: metrics do not depend on the frame."""
    wanted = [int(index) for index in indices]
    names = [data.names[index] for index in wanted]
    return batch_of_labels(names, data.labels(wanted), "camera")


def _rows_without_nan(values: Tensor, name: str = "label") -> Tensor:
    good = torch.isfinite(values.flatten(1)).all(dim=1)
    if not bool(good.any()):
        raise DataError(f"Baseline: no training sample has this {name}")
    return values[good]


def _mean(values: Tensor) -> Tensor:
    """Mean over finite samples; zero (the mean of standardised betas) where none has the label."""
    good = torch.isfinite(values.flatten(1)).all(dim=1)
    if not bool(good.any()):
        return torch.zeros_like(values[:1])
    return values[good].mean(dim=0, keepdim=True)


def _mean_position(points: Float[Tensor, "n 3"]) -> Float[Tensor, "1 3"]:
    """Mean direction of view and geometric mean of the depth, so that distant samples do not win.

    A frame in which the position is always zero keeps it.
    """
    good = _rows_without_nan(points, "position")
    depth = good[:, 2:].abs()
    if bool((depth < 1e-6).any()):
        return good.mean(dim=0, keepdim=True)
    mean_depth = depth.log().mean().exp()
    direction = (good[:, :2] / depth).mean(dim=0)
    return torch.cat([direction * mean_depth, mean_depth[None]])[None]


def _mean_matrix(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "1 3 3"]:
    mean = _rows_without_nan(matrices, "rotation").mean(dim=0)
    u, _, vt = torch.linalg.svd(mean)
    sign = torch.det(u @ vt)
    flip = torch.diag(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign]))
    return (u @ flip @ vt)[None]


def _mean_rotation(axis_angles: Float[Tensor, "n 3"]) -> Float[Tensor, "1 3"]:
    good = _rows_without_nan(axis_angles, "rotation")
    mean = _mean_matrix(rotations.axis_angle_to_matrix(good))
    return rotations.matrix_to_axis_angle(mean)


def _mean_joint_rotations(axis_angles: Float[Tensor, "n joints 3"]) -> Float[Tensor, "1 joints 3"]:
    known = torch.isfinite(axis_angles).all(dim=-1).any(dim=0)
    if not bool(known.any()):
        raise DataError("Baseline: no training sample has joint rotations")
    rest = torch.zeros(1, 3)
    means = [
        _mean_rotation(axis_angles[:, joint]) if bool(known[joint]) else rest
        for joint in range(axis_angles.shape[1])
    ]
    return torch.stack(means, dim=1)
