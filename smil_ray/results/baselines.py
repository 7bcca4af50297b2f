"""What a network has to beat: the mean pose of the training data, and the nearest training image.

A table without them says nothing: on easy data the mean pose alone can look good.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from smil_ray.core import rotations
from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.errors import DataError

THUMBNAIL = 16
"""Side in pixels of the grey thumbnails that nearest neighbours are found by."""


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


@dataclass(frozen=True)
class NearestNeighbour:
    """Predicts the labels of the training image that looks most alike, pixel by pixel.

    A sample is never its own neighbour: one that is asked for by the name of a remembered one gets
    the next most alike.
    """

    names: tuple[str, ...]
    thumbnails: Float[Tensor, "n pixels"]
    params: SmilParams

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> "NearestNeighbour":
        """Return the predictor that remembers `batches`; samples without a full pose are left out.

        Raises:
            DataError: No sample has a full pose.
        """
        kept = [
            (_thumbnails(batch), batch.target, _complete(batch), batch.names) for batch in batches
        ]
        kept = [
            (thumbs[full], target, full, names)
            for thumbs, target, full, names in kept
            if bool(full.any())
        ]
        if not kept:
            raise DataError("Nearest neighbour: no training sample has rotations and a camera")
        return cls(
            names=tuple(
                name
                for _, _, full, names in kept
                for name, known in zip(names, full.tolist(), strict=True)
                if known
            ),
            thumbnails=torch.cat([thumbs for thumbs, _, _, _ in kept]),
            params=SmilParams.from_dict(
                {
                    name: torch.cat([target.as_dict()[name][full] for _, target, full, _ in kept])
                    for name in kept[0][1].as_dict()
                }
            ),
        )

    def __call__(self, batch: Batch) -> SmilParams:
        """Return the labels of each sample's nearest training image."""
        distance = torch.cdist(_thumbnails(batch), self.thumbnails)
        itself = torch.tensor([[name == other for other in self.names] for name in batch.names])
        nearest = distance.masked_fill(itself, torch.inf).argmin(dim=1)
        found = self.params.map(lambda value: value[nearest])
        return found.map(lambda value: torch.nan_to_num(value))


def _complete(batch: Batch) -> Tensor:
    needed = ("global_rot", "joint_rot", "trans", "camera")
    return torch.stack([batch.presence[label] for label in needed]).all(dim=0)


def _thumbnails(batch: Batch) -> Float[Tensor, "batch pixels"]:
    """Return grey thumbnails, each brought to zero mean and unit variance."""
    if batch.image is None:
        raise DataError("Nearest neighbour: the batch has cached features instead of images")
    grey = batch.image.float().mean(dim=1, keepdim=True)
    small = functional.interpolate(grey, size=(THUMBNAIL, THUMBNAIL), mode="area").flatten(1)
    centred = small - small.mean(dim=1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-6)


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
