"""What a backbone gives: tokens, a pooled feature and finer maps, and the sizes of each."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Features(NamedTuple):
    """What a backbone sees in a batch of images.

    Attributes:
        tokens: Cells of the last feature map (CNN) or patch tokens without prefix tokens (ViT),
            row by row from the top left.
        pooled: One vector per image, as the model itself defines it before its classifier.
        maps: Finer maps of earlier stages, from fine to coarse; see `BackboneSpec.maps`.
    """

    tokens: Float[Tensor, "batch tokens d"]
    pooled: Float[Tensor, "batch p"]
    maps: tuple[Float[Tensor, "batch _c _rows _columns"], ...] = ()

    def packed(self) -> Float[Tensor, "batch width"]:
        """Return all as one row per image, the form in which features are cached."""
        maps = [one.flatten(1) for one in self.maps]
        return torch.cat([self.tokens.flatten(1), self.pooled, *maps], dim=1)


class JointPlaces(NamedTuple):
    """Where joints were seen in pictures that are not there.

    Attributes:
        xy: Places, fractions of the picture.
        error: Root mean square of each place's distance to the joint.
        intrinsics: fx, fy, cx, cy as fractions of width and height.
    """

    xy: Float[Tensor, "batch n_joints 2"]
    error: Float[Tensor, "batch n_joints 1"]
    intrinsics: Float[Tensor, "batch 4"]


class MapSpec(NamedTuple):
    """One of the finer maps of a backbone: its place among timm's intermediate maps, its size."""

    stage: int
    channels: int
    grid: tuple[int, int]

    @property
    def width(self) -> int:
        """Numbers in the map of one image."""
        return self.channels * self.grid[0] * self.grid[1]


@dataclass(frozen=True)
class BackboneSpec:
    """Facts about a timm backbone at one input size.

    Attributes:
        name: timm name.
        input_size: Side of the square input image, pixels.
        mean: Normalisation of RGB in [0, 1], by channel.
        std: Like `mean`.
        grid: Rows and columns of the token grid.
        token_width: Channels of a token.
        num_features: Channels of the pooled feature.
        fixed_size: The architecture is built for one image size (most ViTs).
        maps: The finer maps that are given besides the tokens, from fine to coarse; none unless
            they were asked for, and none where all maps are as coarse as the tokens (ViTs).
    """

    name: str
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    grid: tuple[int, int]
    token_width: int
    num_features: int
    fixed_size: bool
    maps: tuple[MapSpec, ...] = ()

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return self.grid[0] * self.grid[1]

    @property
    def widths(self) -> list[int]:
        """Numbers in the tokens, the pooled feature and each map of one image."""
        tokens = self.n_tokens * self.token_width
        return [tokens, self.num_features, *(one.width for one in self.maps)]

    def unpack(self, packed: Float[Tensor, "batch width"]) -> Features:
        """Return the features, in float32, of rows that `Features.packed` made."""
        tokens, pooled, *maps = packed.float().split(self.widths, dim=1)
        return Features(
            tokens.unflatten(1, (self.n_tokens, self.token_width)),
            pooled,
            tuple(
                one.unflatten(1, (spec.channels, *spec.grid))
                for one, spec in zip(maps, self.maps, strict=True)
            ),
        )
