"""Feature maps of several scales, each told what the coarser ones see.

After Lin et al. 2017, "Feature Pyramid Networks for Object Detection", with depthwise-separable
convolutions (Chollet 2017) and group normalisation, which does not depend on the batch.
"""

from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.models.features import BackboneSpec, Features

_GROUPS = 8


class Pyramid(nn.Module):
    """The token grid, upsampled step by step and joined with the backbone's finer maps.

    Args:
        spec: Facts about the backbone; its maps that are finer than `stride` are not looked at.
        width: Channels of all levels but the finest, which has half as many; a multiple of 16.
        stride: Input pixels per cell of the finest level, at most. A backbone without a map that
            fine (a ViT) has its finest one upsampled.

    Attributes:
        grids: Rows and columns of each level, from coarse to fine.
        widths: Channels of each level.
    """

    def __init__(self, spec: BackboneSpec, width: int, stride: int) -> None:
        super().__init__()
        self.token_grid = spec.grid
        maps = [one for one in reversed(spec.maps) if spec.input_size / one.grid[0] >= stride]
        self.maps = len(maps)
        self.grids = [spec.grid, *(one.grid for one in maps)]
        while spec.input_size / self.grids[-1][0] >= 2 * stride:
            rows, columns = self.grids[-1]
            self.grids.append((2 * rows, 2 * columns))
        self.widths = [width] * (len(self.grids) - 1) + [width // 2]
        channels = [spec.token_width, *(one.channels for one in maps)]
        self.laterals = nn.ModuleList(
            _Normed(own, wide) for own, wide in zip(channels, self.widths, strict=False)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1) if coarse != fine else nn.Identity()
            for coarse, fine in zip(self.widths, self.widths[1:], strict=False)
        )
        self.steps = nn.ModuleList(_Separable(wide) for wide in self.widths[1:])

    def forward(self, features: Features) -> list[Float[Tensor, "batch _width _rows _columns"]]:
        """Return the levels, from coarse to fine."""
        tokens = features.tokens.transpose(1, 2).unflatten(2, self.token_grid)
        coarse_first = tuple(reversed(features.maps))[: self.maps]
        seen = [
            lateral(own)
            for lateral, own in zip(self.laterals, (tokens, *coarse_first), strict=True)
        ]
        levels = [seen[0]]
        for number, (narrow, step) in enumerate(zip(self.narrow, self.steps, strict=True), 1):
            finer = nn.functional.interpolate(
                narrow(levels[-1]), size=self.grids[number], mode="bilinear", align_corners=False
            )
            levels.append(step(finer + seen[number] if number < len(seen) else finer))
        return levels


class _Normed(nn.Sequential):
    """1 x 1 convolution and normalisation: maps of any scale of values become alike."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 1, bias=False), nn.GroupNorm(_GROUPS, width))


class _Separable(nn.Module):
    """Residual depthwise-separable 3 x 3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.GroupNorm(_GROUPS, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(
        self, x: Float[Tensor, "batch width rows columns"]
    ) -> Float[Tensor, "batch width rows columns"]:
        return x + self.layers(x)
