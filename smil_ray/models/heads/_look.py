"""What lies under a joint's heat map: features, place and spread.

Source: integral regression of heat maps (Sun et al. 2018, "Integral Human Pose Regression").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.core.device import exact
from smil_ray.models.features import JointPlaces
from smil_ray.models.heads._positions import grid_coordinates

_FREQUENCIES = 6
ENCODED_WIDTH = 2 + 2 * 2 * _FREQUENCIES + 1
"""Numbers that `encode` gives for a joint."""


@dataclass(frozen=True)
class Look:
    """What lies under each joint's heat map.

    Attributes:
        features: Mean features of every level under the heat map.
        xy: Expected place, fractions of the picture.
        spread: Standard deviation of the place under the heat map, fraction of the picture.
    """

    features: Float[Tensor, "batch n_joints width"]
    xy: Float[Tensor, "batch n_joints 2"]
    spread: Float[Tensor, "batch n_joints 1"]

    def beside(self, places: JointPlaces, width: float) -> "Look":
        """Return the look with rows for places that no picture stands behind.

        Args:
            places: The places.
            width: Spread of a heat map whose place is exact; it adds to the error.
        """
        blank = self.features.new_zeros(*places.xy.shape[:2], self.features.shape[2])
        return Look(
            torch.cat([self.features, blank]),
            torch.cat([self.xy, places.xy]),
            torch.cat([self.spread, (places.error.square() + width**2).sqrt()]),
        )


def look_under(
    logits: Float[Tensor, "batch n_joints rows columns"],
    levels: Sequence[Float[Tensor, "batch _width _rows _columns"]],
    cells: Float[Tensor, "cells 2"],
) -> Look:
    """Return what the softmax of each heat map finds.

    Args:
        logits: Heat maps, as fine as the last level.
        levels: Feature maps.
        cells: Places of the heat maps' cells, fractions of the picture.
    """
    heat = logits.flatten(2).softmax(dim=-1)
    maps = heat.unflatten(2, tuple(logits.shape[-2:]))
    with exact(heat.device):
        xy = heat @ cells
        square = heat @ cells.square().sum(dim=-1, keepdim=True)
    variance = square - xy.square().sum(dim=-1, keepdim=True)
    features = torch.cat([_mean_under(maps, level) for level in levels], dim=2)
    return Look(features, xy, variance.clamp_min(1e-8).sqrt())


def _mean_under(
    heat: Float[Tensor, "batch n_joints rows columns"],
    level: Float[Tensor, "batch width rows_level columns_level"],
) -> Float[Tensor, "batch n_joints width"]:
    """Return the mean features of a level under heat maps, which are pooled to its size."""
    size, own = tuple(level.shape[-2:]), tuple(heat.shape[-2:])
    if size != own:
        heat = nn.functional.interpolate(heat, size=size, mode="area")
        heat = heat * (own[0] * own[1] / (size[0] * size[1]))
    return heat.flatten(2).to(level.dtype) @ level.flatten(2).mT


def encode(look: Look) -> Float[Tensor, "batch n_joints e"]:
    """Return sines and cosines of the place, and the logarithm of the spread."""
    rates = torch.pi * 2.0 ** torch.arange(_FREQUENCIES, device=look.xy.device)
    phase = (look.xy[..., None] * rates).flatten(-2)
    return torch.cat([look.xy, phase.sin(), phase.cos(), look.spread.log()], dim=-1)


def cell_centres(grid: tuple[int, int]) -> Float[Tensor, "cells 2"]:
    """Return the places of the cells of a grid, row by row, as fractions of the picture."""
    return (grid_coordinates(grid) + 1.0) / 2.0
