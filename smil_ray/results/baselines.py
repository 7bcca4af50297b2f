"""Predictors that a network has to beat: the mean pose, and the nearest training image.

The mean pose is `training.validation.mean_pose`'s, because training measures itself by it as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.errors import DataError
from smil_ray.training.validation.mean_pose import MeanPose

__all__ = ["MeanPose", "NearestNeighbour"]

THUMBNAIL = 16
"""Side in pixels of the grey thumbnails that nearest neighbours are found by."""


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
        nearest = distance.masked_fill(itself.to(distance.device), torch.inf).argmin(dim=1)
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
